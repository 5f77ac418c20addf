// float64: 64-bit floats, on adapters that have them and 64-bit integers.

fn f64_bits(lo: u32, hi: u32) -> f64 { return bitcast<f64>(u64_of(lo, hi)); }
fn is_nan_f64(x: f64) -> bool {
    return (bitcast<u64>(x) & u64_of(0xffffffffu, 0x7fffffffu)) > u64_of(0u, 0x7ff00000u);
}
fn is_zero_f64(x: f64) -> bool {
    return (bitcast<u64>(x) & u64_of(0xffffffffu, 0x7fffffffu)) == u64_of(0u, 0u);
}
// IEEE 754 totalOrder: as integers the keys compare as the floats do.
fn key_f64(x: f64) -> i64 {
    let b = bitcast<i64>(x);
    return b ^ bitcast<i64>(bitcast<u64>(b >> 63u) >> 1u);
}

// As IEEE 754 compares, though WGSL lets a device assume that there are no NaNs.
fn float_eq_f64(x: f64, y: f64) -> bool {
    return x == y && !is_nan_f64(x) && !is_nan_f64(y);
}
fn float_lt_f64(x: f64, y: f64) -> bool {
    return x < y && !is_nan_f64(x) && !is_nan_f64(y);
}
fn float_le_f64(x: f64, y: f64) -> bool {
    return x <= y && !is_nan_f64(x) && !is_nan_f64(y);
}

// Truncated, saturated, NaN to 0.
fn i64_of_f64(x: f64) -> i64 {
    if (is_nan_f64(x)) { return i64_of(0u, 0u); }
    if (x >= 9223372036854775808.0lf) { return i64_of(0xffffffffu, 0x7fffffffu); }
    if (x < -9223372036854775808.0lf) { return i64_of(0u, 0x80000000u); }
    return i64(x);
}
fn u64_of_f64(x: f64) -> u64 {
    if (is_nan_f64(x) || x < 1.0lf) { return u64_of(0u, 0u); }
    if (x >= 18446744073709551616.0lf) { return u64_of(0xffffffffu, 0xffffffffu); }
    return u64(x);
}
fn i32_of_f64(x: f64) -> i32 {
    if (is_nan_f64(x)) { return 0i; }
    if (x >= 2147483648.0lf) { return 2147483647i; }
    if (x <= -2147483649.0lf) { return bitcast<i32>(0x80000000u); }
    return i32(x);
}
fn u32_of_f64(x: f64) -> u32 {
    if (is_nan_f64(x) || x < 1.0lf) { return 0u; }
    if (x >= 4294967296.0lf) { return 0xffffffffu; }
    return u32(x);
}
fn fits_f64(x: f64, lo: f64, hi: f64) -> bool {
    let t = trunc(x);
    return !is_nan_f64(x) && t >= lo && t < hi;
}

// Halves away from zero (WGSL's round goes to even). x - trunc(x) is exact.
fn round_f64(x: f64) -> f64 {
    let t = trunc(x);
    return select(t, t + select(1.0lf, -1.0lf, x < 0.0lf), abs(x - t) >= 0.5lf);
}
// Halves to the even one; what is past 2^52 is integral.
fn rint_f64(x: f64) -> f64 {
    if (is_nan_f64(x) || abs(x) >= 4503599627370496.0lf) { return x; }
    let f = floor(x);
    let d = x - f;
    let odd = floor(f * 0.5lf) * 2.0lf != f;
    let v = select(f, f + 1.0lf, d > 0.5lf || (d == 0.5lf && odd));
    let sign = bitcast<u64>(x) & u64_of(0u, 0x80000000u);
    return bitcast<f64>((bitcast<u64>(v) & u64_of(0xffffffffu, 0x7fffffffu)) | sign);
}
fn sqrt_f64(x: f64) -> f64 {
    if (x < 0.0lf) { return f64_bits(0u, 0x7ff80000u); }
    if (is_zero_f64(x) || bitcast<u64>(x) == u64_of(0u, 0x7ff00000u)) { return x; }
    return sqrt(x);
}

// C's fmod, exact: long division of the significands, a bit at a time.
fn fmod_f64(x: f64, y: f64) -> f64 {
    let one = u64_of(0u, 0x00100000u);
    let fraction = one - u64_of(1u, 0u);
    let inf = u64_of(0u, 0x7ff00000u);
    let sign = bitcast<u64>(x) & u64_of(0u, 0x80000000u);
    let ax = bitcast<u64>(x) & u64_of(0xffffffffu, 0x7fffffffu);
    let ay = bitcast<u64>(y) & u64_of(0xffffffffu, 0x7fffffffu);
    if (ay == u64_of(0u, 0u) || ax >= inf || ay > inf) { return f64_bits(0u, 0x7ff80000u); }
    if (ax < ay) { return x; }
    var ex = bitcast<i32>(hi_u64(ax) >> 20u);
    var ey = bitcast<i32>(hi_u64(ay) >> 20u);
    var mx = (ax & fraction) | one;
    var my = (ay & fraction) | one;
    if (ex == 0i) {
        mx = ax & fraction;
        ex = 1i;
        while (mx < one) { mx = mx << 1u; ex -= 1i; }
    }
    if (ey == 0i) {
        my = ay & fraction;
        ey = 1i;
        while (my < one) { my = my << 1u; ey -= 1i; }
    }
    while (ex > ey) {
        if (mx >= my) { mx = mx - my; }
        mx = mx << 1u;
        ex -= 1i;
    }
    if (mx >= my) { mx = mx - my; }
    if (mx == u64_of(0u, 0u)) { return bitcast<f64>(sign); }
    while (mx < one) { mx = mx << 1u; ex -= 1i; }
    if (ex > 0i) {
        return bitcast<f64>(sign | (mx & fraction) | (u64(u32(ex)) << 52u));
    }
    return bitcast<f64>(sign | (mx >> u32(1i - ex)));
}
