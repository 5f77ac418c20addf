// values: what generated pipelines compute with in 32 bits. The interpreter
// (windlass-kernels, cpu/pipeline) computes the same bits, but for exp, log and pow, and for
// division and square root, where WGSL leaves the last places open.

// Division by 0 divides by 1, MIN / -1 wraps, and the remainder of both is 0: so WGSL defines
// them ("Arithmetic Expressions"). Whether that is an error is asked apart.
fn div_i32(a: i32, b: i32) -> i32 { return a / b; }
fn rem_i32(a: i32, b: i32) -> i32 { return a % b; }
fn div_u32(a: u32, b: u32) -> u32 { return a / b; }
fn rem_u32(a: u32, b: u32) -> u32 { return a % b; }
// The divisor is positive.
fn floor_div_i32(a: i32, b: i32) -> i32 {
    return a / b - select(0i, 1i, a % b < 0i);
}
fn floor_mod_i32(a: i32, b: i32) -> i32 {
    let r = a % b;
    return select(r, r + b, r < 0i);
}
fn floor_div_u32(a: u32, b: u32) -> u32 { return a / b; }
fn floor_mod_u32(a: u32, b: u32) -> u32 { return a % b; }
// Halves go away from zero; |r| < b, so b - |r| does not overflow.
fn div_round_i32(a: i32, b: i32) -> i32 {
    let q = a / b;
    let r = abs(a % b);
    if (r < b - r) { return q; }
    return select(q + 1i, q - 1i, a < 0i);
}
fn div_round_u32(a: u32, b: u32) -> u32 {
    let r = a % b;
    return a / b + select(1u, 0u, r < b - r);
}
fn abs_i32(a: i32) -> i32 { return select(a, 0i - a, a < 0i); }

// The bits of a float that a literal cannot name.
fn f32_bits(b: u32) -> f32 { return bitcast<f32>(b); }
fn is_nan_f32(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn is_zero_f32(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) == 0u; }
// IEEE 754 totalOrder: as integers the keys compare as the floats do.
fn key_f32(x: f32) -> i32 {
    let b = bitcast<i32>(x);
    return b ^ bitcast<i32>(bitcast<u32>(b >> 31u) >> 1u);
}

// As IEEE 754 compares, though WGSL lets a device assume that there are no NaNs.
fn float_eq_f32(x: f32, y: f32) -> bool {
    return x == y && !is_nan_f32(x) && !is_nan_f32(y);
}
fn float_lt_f32(x: f32, y: f32) -> bool {
    return x < y && !is_nan_f32(x) && !is_nan_f32(y);
}
fn float_le_f32(x: f32, y: f32) -> bool {
    return x <= y && !is_nan_f32(x) && !is_nan_f32(y);
}

// Truncated, saturated, NaN to 0.
fn i32_of_f32(x: f32) -> i32 {
    if (is_nan_f32(x)) { return 0i; }
    if (x >= 2147483648.0f) { return 2147483647i; }
    if (x < -2147483648.0f) { return bitcast<i32>(0x80000000u); }
    return i32(x);
}
fn u32_of_f32(x: f32) -> u32 {
    if (is_nan_f32(x) || x <= 0.0f) { return 0u; }
    if (x >= 4294967296.0f) { return 0xffffffffu; }
    return u32(x);
}
fn fits_f32(x: f32, lo: f32, hi: f32) -> bool {
    let t = trunc(x);
    return !is_nan_f32(x) && t >= lo && t < hi;
}

// Halves away from zero (WGSL's round goes to even). x - trunc(x) is exact.
fn round_f32(x: f32) -> f32 {
    let t = trunc(x);
    return select(t, t + select(1.0f, -1.0f, x < 0.0f), abs(x - t) >= 0.5f);
}
fn sqrt_f32(x: f32) -> f32 {
    if (x < 0.0f) { return f32_bits(0x7fc00000u); }
    let bits = bitcast<u32>(x);
    if (is_zero_f32(x) || bits == 0x7f800000u) { return x; }
    // A subnormal, which a device may take for zero: its bits count units of 2^-149.
    if (bits < 0x00800000u) { return sqrt(f32(bits) * 2.0f) * 2.646977960169689e-23f; }
    return sqrt(x);
}
fn exp_f32(x: f32) -> f32 {
    // Both ends of f32, where the builtin may give anything.
    if (is_nan_f32(x)) { return x; }
    if (x > 88.8f) { return f32_bits(0x7f800000u); }
    if (x < -104.0f) { return 0.0f; }
    return exp(x);
}
fn log2_f32(x: f32) -> f32 {
    if (is_nan_f32(x) || bitcast<u32>(x) == 0x7f800000u) { return x; }
    if (is_zero_f32(x)) { return f32_bits(0xff800000u); }
    let bits = bitcast<u32>(x);
    if ((bits >> 31u) == 1u) { return f32_bits(0x7fc00000u); }
    // As in sqrt_f32.
    if (bits < 0x00800000u) { return log2(f32(bits)) - 149.0f; }
    return log2(x);
}
fn ln_f32(x: f32) -> f32 { return log2_f32(x) * 0.69314718f; }
fn log10_f32(x: f32) -> f32 { return log2_f32(x) * 0.30103f; }

// The special cases of IEEE 754-2019, 9.2.1, around the builtin, which takes positive bases.
fn pow_f32(x: f32, y: f32) -> f32 {
    let inf = f32_bits(0x7f800000u);
    if (is_zero_f32(y) || x == 1.0f) { return 1.0f; }
    if (is_nan_f32(x) || is_nan_f32(y)) { return f32_bits(0x7fc00000u); }
    let ax = abs(x);
    let y_inf = abs(y) == inf;
    if (y_inf) {
        if (ax == 1.0f) { return 1.0f; }
        return select(0.0f, inf, (ax > 1.0f) == (y > 0.0f));
    }
    let whole = trunc(y) == y;
    // From 2^24 on every float is even.
    let odd = whole && abs(y) < 16777216.0f && (i32(y) & 1i) == 1i;
    let negative = (bitcast<u32>(x) >> 31u) == 1u;
    var r: f32;
    if (is_zero_f32(x)) {
        r = select(0.0f, inf, y < 0.0f);
    } else if (ax == inf) {
        r = select(inf, 0.0f, y < 0.0f);
    } else {
        if (negative && !whole) { return f32_bits(0x7fc00000u); }
        let e = log2_f32(ax) * y;
        if (e >= 128.0f) {
            r = inf;
        } else if (e < -150.0f) {
            r = 0.0f;
        } else {
            // As in sqrt_f32.
            r = select(pow(ax, y), exp2(e), bitcast<u32>(ax) < 0x00800000u);
        }
    }
    return select(r, -r, negative && odd);
}

// C's fmod, exact: long division of the significands, a bit at a time.
fn fmod_f32(x: f32, y: f32) -> f32 {
    let sign = bitcast<u32>(x) & 0x80000000u;
    let ax = bitcast<u32>(x) & 0x7fffffffu;
    let ay = bitcast<u32>(y) & 0x7fffffffu;
    if (ay == 0u || ax >= 0x7f800000u || ay > 0x7f800000u) { return f32_bits(0x7fc00000u); }
    if (ax < ay) { return x; }
    var ex = bitcast<i32>(ax >> 23u);
    var ey = bitcast<i32>(ay >> 23u);
    var mx = (ax & 0x7fffffu) | 0x800000u;
    var my = (ay & 0x7fffffu) | 0x800000u;
    if (ex == 0i) {
        let shift = countLeadingZeros(ax) - 8u;
        ex = 1i - bitcast<i32>(shift);
        mx = ax << shift;
    }
    if (ey == 0i) {
        let shift = countLeadingZeros(ay) - 8u;
        ey = 1i - bitcast<i32>(shift);
        my = ay << shift;
    }
    while (ex > ey) {
        if (mx >= my) { mx -= my; }
        mx <<= 1u;
        ex -= 1i;
    }
    if (mx >= my) { mx -= my; }
    if (mx == 0u) { return f32_bits(sign); }
    let shift = countLeadingZeros(mx) - 8u;
    mx <<= shift;
    ex -= bitcast<i32>(shift);
    if (ex > 0i) {
        return f32_bits(sign | (mx & 0x7fffffu) | (bitcast<u32>(ex) << 23u));
    }
    return f32_bits(sign | (mx >> bitcast<u32>(1i - ex)));
}

// Civil dates of days since 1970-01-01 (year, month, day): Howard Hinnant,
// "chrono-Compatible Low-Level Date Algorithms" (2013). Years start in March and are
// counted in eras of 400.
fn civil(days: i32) -> vec3<i32> {
    // The era is taken before the shift of the epoch, so that nothing overflows.
    let shifted = floor_mod_i32(days, 146097i) + 719468i;
    let era = floor_div_i32(days, 146097i) + shifted / 146097i;
    let doe = shifted % 146097i;
    let yoe = (doe - doe / 1460i + doe / 36524i - doe / 146096i) / 365i;
    let doy = doe - (365i * yoe + yoe / 4i - yoe / 100i);
    let mp = (5i * doy + 2i) / 153i;
    let day = doy - (153i * mp + 2i) / 5i + 1i;
    let month = select(mp - 9i, mp + 3i, mp < 10i);
    return vec3<i32>(yoe + era * 400i + select(0i, 1i, month <= 2i), month, day);
}
// First day of a month given as months since January 1970, modulo 2^32.
fn month_start(months: i32) -> i32 {
    let month = floor_mod_i32(months, 12i) + 1i;
    let year = floor_div_i32(months, 12i) + 1970i - select(0i, 1i, month <= 2i);
    let era = floor_div_i32(year, 400i);
    let yoe = floor_mod_i32(year, 400i);
    let mp = select(month + 9i, month - 3i, month > 2i);
    let doe = yoe * 365i + yoe / 4i - yoe / 100i + (153i * mp + 2i) / 5i;
    return era * 146097i + (doe - 719468i);
}
