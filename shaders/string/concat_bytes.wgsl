// concat_bytes: writes the texts of two columns, row by row one behind the other.
//
// Purpose:  the second pass of SQL's concatenation; more columns are concatenated in pairs.
// Algorithm: as copy_bytes: a thread takes 16 bytes of the output, finds their row by binary
//           search of the offsets, and copies from text to text until they are full, so that the
//           work is divided by output bytes and no two threads write the same word.
// Buffers:  heads, bytes, valid  the first column (string/text.wgsl); valid is not read unless
//           nullable; its text is left out where it is null
//           other_heads, other_bytes  the second column
//           offsets  u32[n + 1]: where the rows begin in dst, the last where they end
//           dst      bytes, of which the last word is filled with zeros
// Params:   n (at least 1), total (offsets[n], at least 1), form, limit, rows, nullable
//           (string/text.wgsl), other_form, other_limit, other_rows, other_nullable (not read)
// Launch:   any number of workgroups of 256; chunks of 16 bytes are strided over all threads.
// Result:   dst[0 .. total].
// Determinism: the same bytes in any order of threads.
#import windlass::string::layout::{Text, TextLayout}
#import windlass::string::text::{text_at, text_word}
#import windlass::string::valid::text_valid
#import windlass::string::other::{text_at as other_at, text_word as other_word}

struct Params {
    n: u32,
    total: u32,
    form: u32,
    limit: u32,
    rows: u32,
    nullable: u32,
    other_form: u32,
    other_limit: u32,
    other_rows: u32,
    other_nullable: u32,
}

@group(0) @binding(5) var<storage, read> offsets: array<u32>;
@group(0) @binding(6) var<storage, read_write> dst: array<u32>;
@group(0) @binding(7) var<uniform> p: Params;

// The last row whose first output byte is not after `place`, searched from row `low` on, for which
// that holds. Of empty rows at one place it is the last.
fn row_of(first: u32, place: u32) -> u32 {
    var low = first;
    var high = p.n;
    while high - low > 1u {
        let middle = low + (high - low) / 2u;
        if offsets[middle] <= place {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

fn left_of(row: u32) -> Text {
    let column = TextLayout(p.form, p.limit, p.rows, p.nullable);
    var t = text_at(column, row);
    if !text_valid(column, row) {
        t.len = 0u;
    }
    return t;
}

fn right_of(row: u32) -> Text {
    return other_at(TextLayout(p.other_form, p.other_limit, p.other_rows, p.other_nullable), row);
}

@compute @workgroup_size(256)
fn concat_bytes(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    let chunks = p.total / 16u + u32(p.total % 16u != 0u);
    for (var c = (wid.x + wid.y * nwg.x) * 256u + lid; c < chunks; c += stride) {
        var place = c * 16u;
        var row = row_of(0u, place);
        var a = left_of(row);
        var b = right_of(row);
        var begin = offsets[row];
        var end = offsets[row + 1u];
        for (var k = 0u; k < 4u && place < p.total; k += 1u) {
            var word = 0u;
            var filled = 0u;
            while filled < 4u && place < p.total {
                if place >= end {
                    row += 1u;
                    if row + 1u < p.n && offsets[row + 1u] <= place {
                        row = row_of(row, place);
                    }
                    a = left_of(row);
                    b = right_of(row);
                    begin = offsets[row];
                    end = offsets[row + 1u];
                }
                let inside = place - begin;
                var take = min(4u - filled, end - place);
                var piece = 0u;
                if inside < a.len {
                    take = min(take, a.len - inside);
                    piece = text_word(a, inside);
                } else {
                    piece = other_word(b, inside - a.len);
                }
                word |= extractBits(piece, 0u, take * 8u) << (8u * filled);
                filled += take;
                place += take;
            }
            dst[c * 4u + k] = word;
        }
    }
}
