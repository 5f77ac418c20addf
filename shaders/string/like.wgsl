// like: whether each row's text matches a pattern.
//
// Purpose:  SQL's LIKE, and with it prefixes, suffixes and parts of texts.
// Algorithm: the pattern is compiled on the host: its parts between `%` are segments of
//           elements, a byte or any one character. The first segment is matched at the text's
//           start and the last one at its end unless a `%` stands there; each one between is
//           matched at the first place after the one before it, which leaves the most to the
//           rest (greedy matching of patterns without alternatives; every segment has a fixed
//           number of characters). Texts are walked by characters of UTF-8. A thread takes a row.
// Buffers:  heads, bytes  the column (string/text.wgsl)
//           program  u32: segments, anchors (1: start, 2: end), least bytes that match, then for
//                    each segment its number of elements and the elements, 256 for any character
//           dst      u32[n]: 1 where the text matches, or 0 where negated
// Params:   n, form, limit, rows, nullable (string/text.wgsl), negated
// Launch:   any number of workgroups of 256; rows are strided over all threads.
// Result:   dst, also of null rows (of what their heads name).
// Determinism: the same words in any order of threads.
#import windlass::string::layout::{Text, TextLayout, continues}
#import windlass::string::text::{text_at, text_byte}

struct Params {
    n: u32,
    form: u32,
    limit: u32,
    rows: u32,
    nullable: u32,
    negated: u32,
}

@group(0) @binding(2) var<storage, read> program: array<u32>;
@group(0) @binding(3) var<storage, read_write> dst: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

const ANY: u32 = 256u;
const NOWHERE: u32 = 0xffffffffu;
const AT_START: u32 = 1u;
const AT_END: u32 = 2u;

// The first byte after the character that byte `at`, which there is, is of.
fn next_character(t: Text, at: u32) -> u32 {
    var next = at + 1u;
    while next < t.len {
        if !continues(text_byte(t, next)) {
            break;
        }
        next += 1u;
    }
    return next;
}

// Where a segment that is matched from byte `from_byte` on ends.
fn end_of_match(t: Text, elements: u32, count: u32, from_byte: u32) -> u32 {
    var at = from_byte;
    for (var e = 0u; e < count; e += 1u) {
        if at >= t.len {
            return NOWHERE;
        }
        let element = program[elements + e];
        if element == ANY {
            at = next_character(t, at);
        } else {
            if text_byte(t, at) != element {
                return NOWHERE;
            }
            at += 1u;
        }
    }
    return at;
}

// Whether a segment that ends with the text begins at byte `from_byte` or after it.
fn matches_end(t: Text, elements: u32, count: u32, from_byte: u32) -> bool {
    var at = t.len;
    for (var e = count; e > 0u; e -= 1u) {
        if at <= from_byte {
            return false;
        }
        at -= 1u;
        let element = program[elements + e - 1u];
        if element == ANY {
            while at > from_byte {
                if !continues(text_byte(t, at)) {
                    break;
                }
                at -= 1u;
            }
        } else if text_byte(t, at) != element {
            return false;
        }
    }
    return true;
}

fn matches(t: Text) -> bool {
    let segments = program[0];
    let anchors = program[1];
    if t.len < program[2] {
        return false;
    }
    var segment = 3u;
    var at = 0u;
    for (var s = 0u; s < segments; s += 1u) {
        let count = program[segment];
        let elements = segment + 1u;
        segment += 1u + count;
        if s == 0u && (anchors & AT_START) != 0u {
            at = end_of_match(t, elements, count, 0u);
            if at == NOWHERE {
                return false;
            }
            if segments == 1u && (anchors & AT_END) != 0u && at != t.len {
                return false;
            }
        } else if s + 1u == segments && (anchors & AT_END) != 0u {
            return matches_end(t, elements, count, at);
        } else {
            var end = NOWHERE;
            while at < t.len {
                end = end_of_match(t, elements, count, at);
                if end != NOWHERE {
                    break;
                }
                at = next_character(t, at);
            }
            if end == NOWHERE {
                return false;
            }
            at = end;
        }
    }
    return true;
}

@compute @workgroup_size(256)
fn like(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let column = TextLayout(p.form, p.limit, p.rows, p.nullable);
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.n; row += stride) {
        dst[row] = u32(matches(text_at(column, row))) ^ p.negated;
    }
}
