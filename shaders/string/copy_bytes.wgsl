// copy_bytes: writes the bytes of rows' texts one after the other, at given offsets.
//
// Purpose:  the second pass of gather, substring and conversion to offsets and bytes.
// Algorithm: gather by output: a thread takes 16 bytes of the output, finds the row that they
//           begin in by binary search of the offsets (as merge path divides work by output;
//           Green, McColl and Bader, ICS 2012), and copies from row to row until they are full.
//           So a long text is copied by many threads, and no two write the same word. The search
//           is shared by four words; a row that ends inside them costs a step to the next one, or
//           another search where empty rows follow.
// Buffers:  heads, bytes  the column (string/text.wgsl)
//           indices  u32[n]: row numbers; not read unless indexed
//           skips    u32[n]: first byte of each row's text that is taken; not read unless skipping
//           offsets  u32[n + 1]: where the texts begin in dst, the last where they end
//           dst      bytes, of which the last word is filled with zeros
// Params:   n (at least 1), total (offsets[n], at least 1), form, limit, rows, nullable
//           (string/text.wgsl), indexed (0: row i is i), skipping
// Launch:   any number of workgroups of 256; chunks of 16 bytes are strided over all threads.
// Result:   dst[0 .. total]. Where a text is shorter than its place, zeros.
// Determinism: the same bytes in any order of threads.
#import windlass::string::layout::{Text, TextLayout}
#import windlass::string::text::{text_at, text_word}

struct Params {
    n: u32,
    total: u32,
    form: u32,
    limit: u32,
    rows: u32,
    nullable: u32,
    indexed: u32,
    skipping: u32,
}

@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read> skips: array<u32>;
@group(0) @binding(4) var<storage, read> offsets: array<u32>;
@group(0) @binding(5) var<storage, read_write> dst: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

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

fn source(row: u32) -> Text {
    var from_row = row;
    if p.indexed != 0u {
        from_row = indices[row];
    }
    return text_at(TextLayout(p.form, p.limit, p.rows, p.nullable), from_row);
}

fn skip_of(row: u32) -> u32 {
    if p.skipping != 0u {
        return skips[row];
    }
    return 0u;
}

@compute @workgroup_size(256)
fn copy_bytes(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    let chunks = p.total / 16u + u32(p.total % 16u != 0u);
    for (var c = (wid.x + wid.y * nwg.x) * 256u + lid; c < chunks; c += stride) {
        var place = c * 16u;
        var row = row_of(0u, place);
        var t = source(row);
        var begin = offsets[row];
        var end = offsets[row + 1u];
        var skip = skip_of(row);
        for (var k = 0u; k < 4u && place < p.total; k += 1u) {
            var word = 0u;
            var filled = 0u;
            while filled < 4u && place < p.total {
                if place >= end {
                    row += 1u;
                    if row + 1u < p.n && offsets[row + 1u] <= place {
                        row = row_of(row, place);
                    }
                    t = source(row);
                    begin = offsets[row];
                    end = offsets[row + 1u];
                    skip = skip_of(row);
                }
                let take = min(4u - filled, end - place);
                let piece = extractBits(text_word(t, place - begin + skip), 0u, take * 8u);
                word |= piece << (8u * filled);
                filled += take;
                place += take;
            }
            dst[c * 4u + k] = word;
        }
    }
}
