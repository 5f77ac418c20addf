// substring: where a range of each row's characters lies.
//
// Purpose:  the first pass of SQL's substring; copy_bytes is the second.
// Algorithm: a thread takes a row and walks its text's characters (RFC 3629) from the start to
//           the end of the range, four bytes at a time as long as all their characters are
//           passed over.
// Buffers:  heads, bytes, valid  the column (string/text.wgsl); valid is not read unless nullable
//           skips    u32[n]: bytes of the text before the range
//           dst      u32[n]: bytes of the range; 0 where null
// Params:   n, form, limit, rows, nullable (string/text.wgsl), skip (characters before the
//           range), take (characters of the range)
// Launch:   any number of workgroups of 256; rows are strided over all threads.
// Result:   skips and dst.
// Determinism: the same words in any order of threads.
#import windlass::string::layout::{Text, TextLayout, characters_in, continues}
#import windlass::string::text::{text_at, text_byte, text_word}
#import windlass::string::valid::text_valid

struct Params {
    n: u32,
    form: u32,
    limit: u32,
    rows: u32,
    nullable: u32,
    skip: u32,
    take: u32,
}

@group(0) @binding(3) var<storage, read_write> skips: array<u32>;
@group(0) @binding(4) var<storage, read_write> dst: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

// The byte that `characters` characters after byte `from_byte` begin with, or the text's length.
fn pass_over(t: Text, from_byte: u32, characters: u32) -> u32 {
    var at = from_byte;
    var left = characters;
    // A character that begins in a word may go on after it: the bytes that continue it are passed
    // over below.
    while t.len - at >= 4u {
        let begun = characters_in(text_word(t, at));
        if begun > left {
            break;
        }
        left -= begun;
        at += 4u;
    }
    while at < t.len {
        if !continues(text_byte(t, at)) {
            if left == 0u {
                break;
            }
            left -= 1u;
        }
        at += 1u;
    }
    return at;
}

@compute @workgroup_size(256)
fn substring(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let column = TextLayout(p.form, p.limit, p.rows, p.nullable);
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.n; row += stride) {
        var skip = 0u;
        var length = 0u;
        if text_valid(column, row) {
            let t = text_at(column, row);
            skip = pass_over(t, 0u, p.skip);
            length = pass_over(t, skip, p.take) - skip;
        }
        skips[row] = skip;
        dst[row] = length;
    }
}
