// boundary: where the text of a sorted row differs from that of the row before.
//
// Purpose:  numbers of texts in their order (a scan of the flags), by which other keys, groups
//           and joins can stand beside texts.
// Algorithm: a thread takes a place in the order and compares two texts, first by their lengths,
//           then four bytes at a time, the first four of a view from the view itself.
// Buffers:  heads, bytes, valid  the column (string/text.wgsl); valid is not read unless nullable
//           order  u32[n]: row numbers
//           dst    u32[n]: 1 where the row differs from the one before it, 0 for the first
// Params:   n, form, limit, rows, nullable (string/text.wgsl)
// Launch:   any number of workgroups of 256; rows are strided over all threads.
// Result:   dst. Null equals null.
// Determinism: the same words in any order of threads.
#import windlass::string::layout::TextLayout
#import windlass::string::text::{text_at, text_first, text_word}
#import windlass::string::valid::text_valid

struct Params {
    n: u32,
    form: u32,
    limit: u32,
    rows: u32,
    nullable: u32,
}

@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read_write> dst: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

@compute @workgroup_size(256)
fn boundary(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let column = TextLayout(p.form, p.limit, p.rows, p.nullable);
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        let row = order[i];
        let before = order[max(i, 1u) - 1u];
        let live = text_valid(column, row);
        var differs = live != text_valid(column, before);
        if live && !differs {
            let a = text_at(column, before);
            let b = text_at(column, row);
            let first = text_first(column, before, a);
            differs = a.len != b.len || first != text_first(column, row, b);
            for (var k = 4u; k < a.len && !differs; k += 4u) {
                differs = text_word(a, k) != text_word(b, k);
            }
        }
        dst[i] = u32(differs);
    }
}
