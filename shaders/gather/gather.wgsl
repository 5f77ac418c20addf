// gather: brings rows of one column together, in the layout that kernels write.
//
// Algorithm: gather (He et al., "Efficient Gather and Scatter Operations on Graphics
// Processors", SC 2007): a thread reads the number of its row, then the row's value and
// validity, and writes both at its own place, so that writes are contiguous and only reads are
// not. Without row numbers it moves the rows of a range and changes their layout.
//
// Purpose:  gather, concat, slice and widen.
// Buffers:  values    the column: Value[rows], or for a form other than 0 Arrow's bits, bytes
//                     or 16-bit integers in words; not read with form 6
//           valid     bits or u32[rows], as valid_mode says; not read with 0
//           indices   u32[n]: row numbers; not read unless indexed
//           dst       Value[at + n], written from `at` on
//           dst_valid u32[at + n], written from `at` on if writes_valid: 1 where not null
// Params:   n, rows (of the column), form (0 values of WORDS words, 1 bits, 2 u8, 3 i8, 4 u16,
//           5 i16, 6 none: the value is 1), bit (of row 0 with form 1), valid_mode (0 all
//           valid, 1 bits, 2 words), valid_bit (of row 0), indexed (0: row i is first + i),
//           first, at, writes_valid
// Launch:   any number of workgroups of 256; rows are strided over all threads.
// Result:   dst and dst_valid. A row number that is not less than `rows` gives a null whose
//           value is 0. Determinism: the same bits in any order of threads.
//
// WORDS (32-bit words of a value: 1, 2 or 4) is a definition; layouts other than 0 need 1.

struct Params {
    n: u32,
    rows: u32,
    form: u32,
    bit: u32,
    valid_mode: u32,
    valid_bit: u32,
    indexed: u32,
    first: u32,
    at: u32,
    writes_valid: u32,
}

#if WORDS == 1
alias Value = u32;
#else
alias Value = vec#{WORDS}<u32>;
#endif

@group(0) @binding(0) var<storage, read> values: array<Value>;
@group(0) @binding(1) var<storage, read> valid: array<u32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> dst: array<Value>;
@group(0) @binding(4) var<storage, read_write> dst_valid: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

fn value_of(row: u32) -> Value {
#if WORDS == 1
    switch p.form {
        case 1u: {
            let at = p.bit + row;
            return (values[at >> 5u] >> (at & 31u)) & 1u;
        }
        case 2u: {
            return extractBits(values[row >> 2u], (row & 3u) * 8u, 8u);
        }
        case 3u: {
            let word = bitcast<i32>(values[row >> 2u]);
            return bitcast<u32>(extractBits(word, (row & 3u) * 8u, 8u));
        }
        case 4u: {
            return extractBits(values[row >> 1u], (row & 1u) * 16u, 16u);
        }
        case 5u: {
            let word = bitcast<i32>(values[row >> 1u]);
            return bitcast<u32>(extractBits(word, (row & 1u) * 16u, 16u));
        }
        case 6u: {
            return 1u;
        }
        default: {}
    }
#endif
    return values[row];
}

fn valid_of(row: u32) -> u32 {
    if p.valid_mode == 0u {
        return 1u;
    }
    if p.valid_mode == 1u {
        let at = p.valid_bit + row;
        return (valid[at >> 5u] >> (at & 31u)) & 1u;
    }
    return valid[row];
}

@compute @workgroup_size(256)
fn gather(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        var row = p.first + i;
        if p.indexed != 0u {
            row = indices[i];
        }
        let inside = row < p.rows;
        var value = Value();
        if inside {
            value = value_of(row);
        }
        dst[p.at + i] = value;
        if p.writes_valid != 0u {
            var is_valid = 0u;
            if inside {
                is_valid = valid_of(row);
            }
            dst_valid[p.at + i] = is_valid;
        }
    }
}
