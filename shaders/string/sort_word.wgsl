// sort_word: eight bytes of each row's text as a number that orders as they do.
//
// Purpose:  keys of a radix sort of texts: by the words of a text, the first as the highest, and
//           last by its length, which tells a shorter text from one that goes on with zeros.
// Algorithm: bytes 8 k to 8 k + 7 of the text, big-endian, zeros past its end. A thread takes a
//           row.
// Buffers:  heads, bytes, valid  the column (string/text.wgsl); valid is not read unless nullable
//           order      u32[n]: row numbers; not read unless ordered
//           dst        u32[n * 2]: the numbers, low word first
//           dst_valid  u32[n]: 1 where not null; not written unless nullable
// Params:   n, form, limit, rows, nullable (string/text.wgsl), ordered (0: row i is i), first (the
//           byte 8 k)
// Launch:   any number of workgroups of 256; rows are strided over all threads.
// Result:   dst, 0 where null, and dst_valid.
// Determinism: the same words in any order of threads.
#import windlass::string::layout::{TextLayout, swap_bytes}
#import windlass::string::text::{text_at, text_word}
#import windlass::string::valid::text_valid

struct Params {
    n: u32,
    form: u32,
    limit: u32,
    rows: u32,
    nullable: u32,
    ordered: u32,
    first: u32,
}

@group(0) @binding(3) var<storage, read> order: array<u32>;
@group(0) @binding(4) var<storage, read_write> dst: array<u32>;
@group(0) @binding(5) var<storage, read_write> dst_valid: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(256)
fn sort_word(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let column = TextLayout(p.form, p.limit, p.rows, p.nullable);
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        var row = i;
        if p.ordered != 0u {
            row = order[i];
        }
        let live = text_valid(column, row);
        var high = 0u;
        var low = 0u;
        if live {
            let t = text_at(column, row);
            if p.first < t.len {
                high = swap_bytes(text_word(t, p.first));
                if t.len - p.first > 4u {
                    low = swap_bytes(text_word(t, p.first + 4u));
                }
            }
        }
        dst[i * 2u] = low;
        dst[i * 2u + 1u] = high;
        if p.nullable != 0u {
            dst_valid[i] = u32(live);
        }
    }
}
