// One value of a column in either storage as 32-bit words, canonical: equal values have equal
// words. Booleans and 8- and 16-bit integers are extended to a word, as wide storage has them;
// every NaN becomes the quiet NaN, -0.0 becomes 0.0. Twin: kernels/hash/value.cuh.
//
// Binds the two buffers that a kernel which imports it takes first: the values and the validity.
#define_import_path windlass::hash::value

// How the values lie.
const KIND_BIT: u32 = 1u;   // bits, from bit_offset on
const KIND_I8: u32 = 2u;
const KIND_U8: u32 = 3u;
const KIND_I16: u32 = 4u;
const KIND_U16: u32 = 5u;
const KIND_F32: u32 = 6u;   // one word, a float
const KIND_F64: u32 = 7u;   // two words, a float
// All other kinds (0) are whole words, the least significant first.

// How the validity lies.
const VALID_ALL: u32 = 0u;   // no null; the buffer is not read
const VALID_WORDS: u32 = 2u; // a word for each row, 0 where null
// Otherwise (1): bits, from valid_offset on.

struct ColumnLayout {
    kind: u32,
    words: u32,
    bit_offset: u32,
    valid_mode: u32,
    valid_offset: u32,
}

@group(0) @binding(0) var<storage, read> values: array<u32>;
@group(0) @binding(1) var<storage, read> valid: array<u32>;

fn is_valid(c: ColumnLayout, row: u32) -> bool {
    if c.valid_mode == VALID_ALL {
        return true;
    }
    if c.valid_mode == VALID_WORDS {
        return valid[row] != 0u;
    }
    let bit = row + c.valid_offset;
    return ((valid[bit >> 5u] >> (bit & 31u)) & 1u) != 0u;
}

// The words past c.words are zero.
fn value_at(c: ColumnLayout, row: u32) -> vec4<u32> {
    switch c.kind {
        case KIND_BIT: {
            let bit = row + c.bit_offset;
            return vec4<u32>((values[bit >> 5u] >> (bit & 31u)) & 1u, 0u, 0u, 0u);
        }
        case KIND_I8, KIND_U8: {
            let byte = (values[row >> 2u] >> ((row & 3u) * 8u)) & 0xffu;
            let extended = select(byte, byte | 0xffffff00u, c.kind == KIND_I8 && byte > 0x7fu);
            return vec4<u32>(extended, 0u, 0u, 0u);
        }
        case KIND_I16, KIND_U16: {
            let half = (values[row >> 1u] >> ((row & 1u) * 16u)) & 0xffffu;
            let extended = select(half, half | 0xffff0000u, c.kind == KIND_I16 && half > 0x7fffu);
            return vec4<u32>(extended, 0u, 0u, 0u);
        }
        default: {}
    }
    let at = row * c.words;
    var v = vec4<u32>(values[at], 0u, 0u, 0u);
    if c.words >= 2u {
        v.y = values[at + 1u];
    }
    if c.words == 4u {
        v.z = values[at + 2u];
        v.w = values[at + 3u];
    }
    if c.kind == KIND_F32 {
        let magnitude = v.x & 0x7fffffffu;
        if magnitude > 0x7f800000u {
            v.x = 0x7fc00000u;
        } else if magnitude == 0u {
            v.x = 0u;
        }
    } else if c.kind == KIND_F64 {
        let magnitude = v.y & 0x7fffffffu;
        if magnitude > 0x7ff00000u || (magnitude == 0x7ff00000u && v.x != 0u) {
            v.x = 0u;
            v.y = 0x7ff80000u;
        } else if magnitude == 0u && v.x == 0u {
            v.y = 0u;
        }
    }
    return v;
}
