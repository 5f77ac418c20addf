// moments: sums of one or two columns' differences from given shifts, and of their products.
//
// Algorithm: as sum. The host runs it twice, with shifts of 0 and then with the means: sums of
// squared differences from the mean do not cancel, and the sum of the differences corrects the
// mean's own rounding (the two-pass algorithm of Chan, Golub and LeVeque, "Algorithms for
// Computing the Sample Variance", 1983).
//
// Purpose:  means, variances, covariances, correlations.
// Buffers:  x, y       u32[n * words of the type]; y is not read unless has_y
//           x_valid    u32[n]: 1 where not null; not read unless has_x_valid
//           y_valid    u32[n]: 1 where not null; not read unless has_y_valid
//           selected   u32[n]: not 0 where the row counts; not read unless has_selected
//           sums       f64[blocks * 6]: rows, and the sums of dx, dy, dx * dx, dy * dy, dx * dy,
//                      where dx = x - shift of x
// Params:   n, x_type, y_type (0 u32, 1 i32, 2 f32, 3 u64, 4 i64, 5 f64, 6 i128), has_y,
//           has_x_valid, has_y_valid, has_selected, blocks, the shift of x and that of y (two
//           words each, low first)
// Launch:   blocks workgroups of 256, any number; rows are strided over all threads.
// Result:   sums. Determinism: the same bits in any order of threads; they depend on `blocks`
//           by the rounding of reassociated additions.
//
// Needs 64-bit integers and floats.

struct Params {
    n: u32,
    x_type: u32,
    y_type: u32,
    has_y: u32,
    has_x_valid: u32,
    has_y_valid: u32,
    has_selected: u32,
    blocks: u32,
    x_shift_low: u32,
    x_shift_high: u32,
    y_shift_low: u32,
    y_shift_high: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> x_valid: array<u32>;
@group(0) @binding(2) var<storage, read> y: array<u32>;
@group(0) @binding(3) var<storage, read> y_valid: array<u32>;
@group(0) @binding(4) var<storage, read> selected: array<u32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f64>;
@group(0) @binding(6) var<uniform> p: Params;

const SUMS = 6u;

fn f64_bits(low: u32, high: u32) -> f64 {
    return bitcast<f64>((u64(high) << 32u) | u64(low));
}

// A magnitude of 128 bits, from words that are exact as floats.
fn magnitude(w: vec4<u32>) -> f64 {
    let low = f64(w.y) * 4294967296.0lf + f64(w.x);
    let high = f64(w.w) * 4294967296.0lf + f64(w.z);
    return high * 18446744073709551616.0lf + low;
}

fn signed_of(w: vec4<u32>) -> f64 {
    if (w.w >> 31u) == 0u {
        return magnitude(w);
    }
    // Two's complement, with the carry of the added 1.
    var n = ~w;
    for (var k = 0u; k < 4u; k++) {
        n[k] += 1u;
        if n[k] != 0u {
            break;
        }
    }
    return -magnitude(n);
}

// Word `word` of the row in `x`, or in `y`.
fn word_of(second: bool, at: u32) -> u32 {
    if second {
        return y[at];
    }
    return x[at];
}

// The value as an f64: integers of 64 bits are rounded once, of 128 bits up to three times.
fn value_of(second: bool, of_type: u32, row: u32) -> f64 {
    if of_type < 3u {
        let word = word_of(second, row);
        if of_type == 0u {
            return f64(word);
        }
        if of_type == 1u {
            return f64(bitcast<i32>(word));
        }
        return f64(bitcast<f32>(word));
    }
    if of_type == 6u {
        let at = row * 4u;
        let low = vec2<u32>(word_of(second, at), word_of(second, at + 1u));
        let high = vec2<u32>(word_of(second, at + 2u), word_of(second, at + 3u));
        return signed_of(vec4<u32>(low, high));
    }
    let low = word_of(second, row * 2u);
    let high = word_of(second, row * 2u + 1u);
    if of_type == 3u {
        return f64(high) * 4294967296.0lf + f64(low);
    }
    if of_type == 4u {
        return f64(bitcast<i32>(high)) * 4294967296.0lf + f64(low);
    }
    return f64_bits(low, high);
}

var<workgroup> block_sums: array<f64, 256>;

@compute @workgroup_size(256)
fn moments(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let block = wid.x + wid.y * nwg.x;
    if block >= p.blocks {
        return;
    }
    let x_shift = f64_bits(p.x_shift_low, p.x_shift_high);
    let y_shift = f64_bits(p.y_shift_low, p.y_shift_high);
    var s: array<f64, 6>;
    for (var row = block * 256u + lid; row < p.n; row += p.blocks * 256u) {
        if p.has_selected != 0u {
            if selected[row] == 0u {
                continue;
            }
        }
        if p.has_x_valid != 0u {
            if x_valid[row] == 0u {
                continue;
            }
        }
        if p.has_y_valid != 0u {
            if y_valid[row] == 0u {
                continue;
            }
        }
        let dx = value_of(false, p.x_type, row) - x_shift;
        var dy: f64;
        if p.has_y != 0u {
            dy = value_of(true, p.y_type, row) - y_shift;
        }
        s[0] += 1.0lf;
        s[1] += dx;
        s[2] += dy;
        s[3] += dx * dx;
        s[4] += dy * dy;
        s[5] += dx * dy;
    }
    for (var k = 0u; k < SUMS; k++) {
        block_sums[lid] = s[k];
        workgroupBarrier();
        for (var d = 128u; d > 0u; d /= 2u) {
            if lid < d {
                block_sums[lid] += block_sums[lid + d];
            }
            workgroupBarrier();
        }
        if lid == 0u {
            sums[block * SUMS + k] = block_sums[0];
        }
        workgroupBarrier();
    }
}
