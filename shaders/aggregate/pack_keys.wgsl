// pack_keys: writes one key column into the rows' packed keys.
//
// A packed key is key_words 32-bit words: first the null words (bit j of the nullable keys'
// bitmap is 1 where nullable key j is null), then the words of each key, least significant
// first. Nulls have zero words. Floats are made canonical, so that equal keys have equal
// words: every NaN becomes the quiet NaN, -0.0 becomes 0.0.
//
// Buffers:  values  u32[batch rows * value_words]  the key column, wide storage
//           valid   u32[batch rows]                1 where not null; not read unless has_valid
//           keys    u32[rows * key_words]          out: this key's words, and its null bit
// Params:   rows (of this chunk), row_base (its first row in the batch), key_words, offset (of
//           this key's words), value_words, kind (0 integer, 1 f32, 2 f64), has_valid, nullable,
//           null_word and null_bit (of this key), starts_word (this key is its null word's
//           first, so it stores the word where later keys or into it)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   keys, complete once every key column has been packed.
// Deterministic.
struct Params {
    rows: u32,
    row_base: u32,
    key_words: u32,
    offset: u32,
    value_words: u32,
    kind: u32,
    has_valid: u32,
    nullable: u32,
    null_word: u32,
    null_bit: u32,
    starts_word: u32,
}

@group(0) @binding(0) var<storage, read> values: array<u32>;
@group(0) @binding(1) var<storage, read> valid: array<u32>;
@group(0) @binding(2) var<storage, read_write> keys: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

fn pack_row(row: u32) {
    let source = p.row_base + row;
    var is_null = false;
    if p.has_valid != 0u {
        is_null = valid[source] == 0u;
    }
    let out = row * p.key_words;
    if p.nullable != 0u {
        let bit = select(0u, 1u << p.null_bit, is_null);
        if p.starts_word != 0u {
            keys[out + p.null_word] = bit;
        } else {
            keys[out + p.null_word] |= bit;
        }
    }
    if p.kind == 2u {
        // Of a null: zeros.
        var lo: u32;
        var hi: u32;
        if !is_null {
            lo = values[source * 2u];
            hi = values[source * 2u + 1u];
            let magnitude = hi & 0x7fffffffu;
            if magnitude > 0x7ff00000u || (magnitude == 0x7ff00000u && lo != 0u) {
                lo = 0u;
                hi = 0x7ff80000u;
            } else if magnitude == 0u && lo == 0u {
                hi = 0u;
            }
        }
        keys[out + p.offset] = lo;
        keys[out + p.offset + 1u] = hi;
        return;
    }
    for (var k = 0u; k < p.value_words; k++) {
        var word: u32;
        if !is_null {
            word = values[source * p.value_words + k];
        }
        if p.kind == 1u {
            let magnitude = word & 0x7fffffffu;
            if magnitude > 0x7f800000u {
                word = 0x7fc00000u;
            } else if magnitude == 0u {
                word = 0u;
            }
        }
        keys[out + p.offset + k] = word;
    }
}

@compute @workgroup_size(256)
fn pack_keys(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        pack_row(row);
    }
}
