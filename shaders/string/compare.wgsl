// compare: two columns of texts, row by row.
//
// Purpose:  equality and order of texts by their bytes, which for UTF-8 is the order of the
//           characters' numbers.
// Algorithm: equality by the lengths first, then as order: four bytes at a time up to the end of
//           the shorter text, zeros past its end, the first four of a view from the view itself;
//           the first words that differ decide as big-endian numbers, and if none do, the
//           lengths. A thread takes a row.
// Buffers:  heads, bytes  the left column (string/text.wgsl)
//           valid         its validity; not read unless nullable
//           other_heads, other_bytes, other_valid  the right one
//           dst           u32[n]: the result
//           dst_valid     u32[n]: 1 where both are not null; not written unless writes_valid
// Params:   n, form, limit, rows, nullable (string/text.wgsl), other_form, other_limit,
//           other_rows, other_nullable, wanted (bit 0: true for less, bit 1: for equal, bit 2:
//           for greater; 8: the order itself, -1, 0 or 1), writes_valid
// Launch:   any number of workgroups of 256; rows are strided over all threads.
// Result:   dst, 0 or 1 where wanted is not 8; dst_valid.
// Determinism: the same words in any order of threads.
#import windlass::string::layout::{FORM_CONSTANT, Text, TextLayout, swap_bytes}
#import windlass::string::text::{text_at, text_first, text_word}
#import windlass::string::valid::text_valid
#import windlass::string::other::{text_at as other_at, text_first as other_first, text_word as other_word}

struct Params {
    n: u32,
    form: u32,
    limit: u32,
    rows: u32,
    nullable: u32,
    other_form: u32,
    other_limit: u32,
    other_rows: u32,
    other_nullable: u32,
    wanted: u32,
    writes_valid: u32,
}

@group(0) @binding(5) var<storage, read> other_valid: array<u32>;
@group(0) @binding(6) var<storage, read_write> dst: array<u32>;
@group(0) @binding(7) var<storage, read_write> dst_valid: array<u32>;
@group(0) @binding(8) var<uniform> p: Params;

const WANTS_ORDER: u32 = 8u;
const WANTS_EQUAL: u32 = 2u;
const WANTS_DIFFERENT: u32 = 5u;

// 0 less, 1 equal, 2 greater; first and second are the texts' first words.
fn order_of(a: Text, b: Text, first: u32, second: u32) -> u32 {
    let both = min(a.len, b.len);
    var x = first;
    var y = second;
    for (var i = 0u; x == y && both - i > 4u; ) {
        i += 4u;
        x = text_word(a, i);
        y = other_word(b, i);
    }
    if x != y {
        return select(2u, 0u, swap_bytes(x) < swap_bytes(y));
    }
    if a.len == b.len {
        return 1u;
    }
    return select(2u, 0u, a.len < b.len);
}

@compute @workgroup_size(256)
fn compare(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let column = TextLayout(p.form, p.limit, p.rows, p.nullable);
    let other = TextLayout(p.other_form, p.other_limit, p.other_rows, p.other_nullable);
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.n; row += stride) {
        let all_rows = (other.form & FORM_CONSTANT) != 0u;
        var live = text_valid(column, row) && (all_rows || row < other.rows);
        if live && other.nullable != 0u {
            live = other_valid[select(row, 0u, all_rows)] != 0u;
        }
        var order = 1u;
        if live {
            let a = text_at(column, row);
            let b = other_at(other, row);
            order = 0u;
            let by_length = p.wanted == WANTS_EQUAL || p.wanted == WANTS_DIFFERENT;
            if !by_length || a.len == b.len {
                order = order_of(a, b, text_first(column, row, a), other_first(other, row, b));
            }
        }
        if p.wanted == WANTS_ORDER {
            dst[row] = order - 1u;
        } else {
            dst[row] = (p.wanted >> order) & 1u;
        }
        if p.writes_valid != 0u {
            dst_valid[row] = u32(live);
        }
    }
}
