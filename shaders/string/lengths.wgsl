// lengths: the length of each row's text, in bytes or in characters.
//
// Purpose:  SQL's octet_length and character_length, and the first pass of everything that
//           writes texts (gather, conversion, concat), whose scan gives the offsets.
// Algorithm: bytes are the difference of offsets or the view's first word. Characters of UTF-8
//           are its bytes other than 10xxxxxx (RFC 3629, section 3), counted four at a time with
//           one population count. A thread takes a row: texts of a column are short, and one
//           long text is read by one thread.
// Buffers:  heads, bytes, valid  the column (string/text.wgsl); valid is not read unless nullable
//           indices    u32[n]: row numbers; not read unless indexed
//           dst        u32[n]: lengths, 0 where null or where the row is not there
//           dst_valid  u32[n]: 1 where not null; not written unless writes_valid
// Params:   n, form, limit, rows, nullable (string/text.wgsl), indexed (0: row i is i), unit
//           (0 bytes, 1 characters), add (1: to the length that is there, and null where that is
//           null), writes_valid, clears (1: a null in either leaves a length of 0)
// Launch:   any number of workgroups of 256; rows are strided over all threads.
// Result:   dst and dst_valid. Sums are modulo 2^32.
// Determinism: the same words in any order of threads.
#import windlass::string::layout::{Text, TextLayout, characters_in}
#import windlass::string::text::{text_at, text_word}
#import windlass::string::valid::text_valid

struct Params {
    n: u32,
    form: u32,
    limit: u32,
    rows: u32,
    nullable: u32,
    indexed: u32,
    unit: u32,
    add: u32,
    writes_valid: u32,
    clears: u32,
}

@group(0) @binding(3) var<storage, read> indices: array<u32>;
@group(0) @binding(4) var<storage, read_write> dst: array<u32>;
@group(0) @binding(5) var<storage, read_write> dst_valid: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(256)
fn lengths(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let column = TextLayout(p.form, p.limit, p.rows, p.nullable);
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        var row = i;
        if p.indexed != 0u {
            row = indices[i];
        }
        var live = text_valid(column, row);
        var length = 0u;
        if live {
            let t = text_at(column, row);
            length = t.len;
            if p.unit == 1u {
                length = 0u;
                for (var k = 0u; k < t.len; k += 4u) {
                    length += characters_in(text_word(t, k));
                }
                // The last word's bytes past the text are zeros, which count.
                length -= (4u - (t.len & 3u)) & 3u;
            }
        }
        if p.add != 0u {
            length += dst[i];
            if p.writes_valid != 0u {
                live = live && dst_valid[i] != 0u;
            }
        }
        dst[i] = select(length, 0u, p.clears != 0u && !live);
        if p.writes_valid != 0u {
            dst_valid[i] = u32(live);
        }
    }
}
