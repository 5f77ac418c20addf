// order_key: writes one sort key, in either storage, into the rows' ordered keys.
//
// Algorithm: an ordered key is key_words 32-bit words, compared as unsigned numbers from the
// first to the last. Where a key may be null its first word is a rank: 1 for a value, the null's
// below or above. The value's words follow, the most significant first: signed integers with the
// sign turned over, floats by IEEE 754 totalOrder (Herf, "Radix Tricks", 2001), and all bits
// turned over for a descending key.
//
// Buffers:  values  the column's values, in either storage
//           valid   its validity; not read where the column has none
//           keys    u32[rows * key_words]  out: this key's words, zeros behind a null's rank
// Params:   rows, key_words, offset (of this key's words), ranked (1: a rank comes first),
//           null_rank (0 or 2), descending, number (0 unsigned, 1 signed, 2 float), kind, words,
//           bit_offset, valid_mode, valid_offset (hash/value.wgsl; floats as plain words)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   keys, complete once every key column has been written.
// Determinism: the same bits in any order of threads.
#import windlass::hash::value::{ColumnLayout, is_valid, value_at}

struct Params {
    rows: u32,
    key_words: u32,
    offset: u32,
    ranked: u32,
    null_rank: u32,
    descending: u32,
    number: u32,
    kind: u32,
    words: u32,
    bit_offset: u32,
    valid_mode: u32,
    valid_offset: u32,
}

@group(0) @binding(2) var<storage, read_write> keys: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(256)
fn order_key(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let column = ColumnLayout(p.kind, p.words, p.bit_offset, p.valid_mode, p.valid_offset);
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        let ok = is_valid(column, row);
        var out = row * p.key_words + p.offset;
        if p.ranked != 0u {
            keys[out] = select(p.null_rank, 1u, ok);
            out += 1u;
        }
        var v = vec4<u32>();
        var turn_all = 0u;
        var turn_top = 0u;
        if ok {
            v = value_at(column, row);
            let negative = (v[p.words - 1u] >> 31u) != 0u;
            if p.number == 2u && negative {
                turn_all = 0xffffffffu;
            }
            if p.number == 1u || (p.number == 2u && !negative) {
                turn_top = 0x80000000u;
            }
            if p.descending != 0u {
                turn_all = ~turn_all;
            }
        }
        for (var k = 0u; k < p.words; k++) {
            keys[out + k] = v[p.words - 1u - k] ^ turn_all ^ select(0u, turn_top, k == 0u);
        }
    }
}
