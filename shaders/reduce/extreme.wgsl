// extreme: the least or the greatest of a column's values, and the first row that has it.
//
// Algorithm: as sum, on pairs of an order-preserving code and a row. The code of a value is an
// unsigned number with the order of the values: signed integers have their sign bit flipped;
// floats (IEEE 754 totalOrder) have it flipped, or all bits where it is set; a minimum is the
// largest complement. The greater code wins, of equal ones the earlier row.
//
// Purpose:  min, max and their rows.
// Buffers:  values   u32[n * WORDS], least significant word first
//           valid    u32[n]: 1 where not null; not read unless has_valid
//           selected u32[n]: not 0 where the row counts; not read unless has_selected
//           best     u32[blocks * 5]: the code's four words, least significant first, and the
//                    row; 0xffffffff: the block has no row that counts
// Params:   n, order (0 unsigned, 1 signed, 2 float), is_min, has_valid, has_selected, blocks
// Launch:   blocks workgroups of 256, any number; rows are strided over all threads.
// Result:   best. Determinism: the same bits in any order of threads.
//
// WORDS (32-bit words of a value: 1, 2 or 4) is a definition.

struct Params {
    n: u32,
    order: u32,
    is_min: u32,
    has_valid: u32,
    has_selected: u32,
    blocks: u32,
}

@group(0) @binding(0) var<storage, read> values: array<u32>;
@group(0) @binding(1) var<storage, read> valid: array<u32>;
@group(0) @binding(2) var<storage, read> selected: array<u32>;
@group(0) @binding(3) var<storage, read_write> best: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

const NONE = 0xffffffffu;
const SIGN = 0x80000000u;
const WORDS = #{WORDS}u;

// A code and its row. A code of fewer than four words has zeros above them.
struct Found {
    code: vec4<u32>,
    row: u32,
}

fn code_of(row: u32) -> vec4<u32> {
    var c = vec4<u32>(0u);
    for (var k = 0u; k < WORDS; k++) {
        c[k] = values[row * WORDS + k];
    }
    let flips = p.order == 2u && (c[WORDS - 1u] & SIGN) != 0u;
    for (var k = 0u; k < WORDS; k++) {
        if flips {
            c[k] = ~c[k];
        }
    }
    if !flips && p.order != 0u {
        c[WORDS - 1u] ^= SIGN;
    }
    for (var k = 0u; k < WORDS; k++) {
        if p.is_min != 0u {
            c[k] = ~c[k];
        }
    }
    return c;
}

fn better(a: Found, b: Found) -> Found {
    if b.row == NONE {
        return a;
    }
    if a.row == NONE {
        return b;
    }
    for (var k = 0u; k < 4u; k++) {
        let x = a.code[3u - k];
        let y = b.code[3u - k];
        if x != y {
            if x > y {
                return a;
            }
            return b;
        }
    }
    if b.row < a.row {
        return b;
    }
    return a;
}

var<workgroup> block_codes: array<vec4<u32>, 256>;
var<workgroup> block_rows: array<u32, 256>;

@compute @workgroup_size(256)
fn extreme(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let block = wid.x + wid.y * nwg.x;
    if block >= p.blocks {
        return;
    }
    var found = Found(vec4<u32>(), NONE);
    for (var row = block * 256u + lid; row < p.n; row += p.blocks * 256u) {
        if p.has_selected != 0u {
            if selected[row] == 0u {
                continue;
            }
        }
        if p.has_valid != 0u {
            if valid[row] == 0u {
                continue;
            }
        }
        found = better(found, Found(code_of(row), row));
    }
    block_codes[lid] = found.code;
    block_rows[lid] = found.row;
    workgroupBarrier();
    for (var d = 128u; d > 0u; d /= 2u) {
        if lid < d {
            let other = Found(block_codes[lid + d], block_rows[lid + d]);
            found = better(found, other);
            block_codes[lid] = found.code;
            block_rows[lid] = found.row;
        }
        workgroupBarrier();
    }
    if lid == 0u {
        for (var k = 0u; k < 4u; k++) {
            best[block * 5u + k] = found.code[k];
        }
        best[block * 5u + 4u] = found.row;
    }
}
