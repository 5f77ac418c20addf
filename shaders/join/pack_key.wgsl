// pack_key: writes one key column, in either storage, into the rows' packed keys.
//
// Algorithm: a packed key is key_words 32-bit words: first, where nulls are values like others,
// the null words (bit j is 1 where key j is null), then each key's words. Values are canonical
// (hash/value.wgsl), so that equal keys have equal words and are compared as words. Our own.
//
// Buffers:  values  the column's values, in either storage
//           valid   its validity; not read where the column has none
//           keys    u32[rows * key_words]  out: this key's words, zeros for a null, and its null
//                                          bit
//           live    u32[rows]              out: 0 where a key is null and so the row matches
//                                          nothing; not touched if live_mode is 0
// Params:   rows, key_words, offset (of this key's words), nulls (1: null bits are kept),
//           null_word and null_bit (of this key), starts_word (this key is its null word's first,
//           so it stores the word that later keys or into), live_mode (1: store, 2: and), kind,
//           words, bit_offset, valid_mode, valid_offset (hash/value.wgsl)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   keys and live, complete once every key column has been packed.
// Determinism: the same bits in any order of threads.
#import windlass::hash::value::{ColumnLayout, is_valid, value_at}

struct Params {
    rows: u32,
    key_words: u32,
    offset: u32,
    nulls: u32,
    null_word: u32,
    null_bit: u32,
    starts_word: u32,
    live_mode: u32,
    kind: u32,
    words: u32,
    bit_offset: u32,
    valid_mode: u32,
    valid_offset: u32,
}

@group(0) @binding(2) var<storage, read_write> keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> live: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(256)
fn pack_key(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let column = ColumnLayout(p.kind, p.words, p.bit_offset, p.valid_mode, p.valid_offset);
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        let ok = is_valid(column, row);
        let out = row * p.key_words;
        if p.nulls != 0u {
            let bit = select(1u << p.null_bit, 0u, ok);
            if p.starts_word != 0u {
                keys[out + p.null_word] = bit;
            } else {
                keys[out + p.null_word] |= bit;
            }
        }
        if p.live_mode == 1u {
            live[row] = select(0u, 1u, ok);
        }
        if p.live_mode == 2u && !ok {
            live[row] = 0u;
        }
        var v = vec4<u32>();
        if ok {
            v = value_at(column, row);
        }
        keys[out + p.offset] = v.x;
        if p.words >= 2u {
            keys[out + p.offset + 1u] = v.y;
        }
        if p.words == 4u {
            keys[out + p.offset + 2u] = v.z;
            keys[out + p.offset + 3u] = v.w;
        }
    }
}
