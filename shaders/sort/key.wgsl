// Normalised keys: 32-bit words whose unsigned order is the sort order of a key column.
// Twin: kernels/sort/key.cuh, which says how. Bindings 0 and 1 of a shader that imports this are
// the column's values and validity.
#define_import_path windlass::sort::key

const NULL_WORD: u32 = 4u;

const KIND_UNSIGNED: u32 = 0u;
const KIND_FLOAT: u32 = 2u;

const NULLS_NONE: u32 = 0u;  // valid is not read
const NULLS_WORDS: u32 = 2u; // a word for each row, 0 where null; 1 is a bitmap

// How a key column lies in memory and sorts.
struct KeyColumn {
    bytes: u32,
    first_bit: u32,
    bits: u32,
    kind: u32,
    descending: u32,
    nulls: u32,
    null_bit: u32,
    nulls_first: u32,
}

@group(0) @binding(0) var<storage, read> values: array<u32>;
@group(0) @binding(1) var<storage, read> valid: array<u32>;

fn key_is_null(c: KeyColumn, row: u32) -> bool {
    if c.nulls == NULLS_NONE {
        return false;
    }
    if c.nulls == NULLS_WORDS {
        return valid[row] == 0u;
    }
    let at = row + c.null_bit;
    return ((valid[at / 32u] >> (at % 32u)) & 1u) == 0u;
}

// Word w of a row's value as it lies in memory.
fn key_raw(c: KeyColumn, row: u32, w: u32) -> u32 {
    if c.bytes == 0u {
        let at = row + c.first_bit;
        return (values[at / 32u] >> (at % 32u)) & 1u;
    }
    if c.bytes == 1u {
        return values[row / 4u] >> (row % 4u * 8u);
    }
    if c.bytes == 2u {
        return values[row / 2u] >> (row % 2u * 16u);
    }
    return values[row * (c.bytes / 4u) + w];
}

// Word w of a row's normalised key, least significant first, or its NULL_WORD.
fn key_word(c: KeyColumn, row: u32, w: u32) -> u32 {
    let null_row = key_is_null(c, row);
    if w == NULL_WORD {
        return select(0u, 1u, null_row) ^ c.nulls_first;
    }
    if null_row {
        return 0u;
    }
    let top = (c.bits - 1u) / 32u;
    let sign = 1u << ((c.bits - 1u) % 32u);
    let raw = key_raw(c, row, w);
    var flip = 0u;
    if c.kind != KIND_UNSIGNED && w == top {
        flip = sign;
    }
    if c.kind == KIND_FLOAT {
        var high = raw;
        if w != top {
            high = key_raw(c, row, top);
        }
        if (high & sign) != 0u {
            flip = 0xffffffffu;
        }
    }
    if c.descending != 0u {
        flip = ~flip;
    }
    let mask = select(0xffffffffu, (1u << (c.bits % 32u)) - 1u, c.bits < 32u);
    return (raw ^ flip) & mask;
}
