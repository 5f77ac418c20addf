// math32: functions of 32-bit floats that WGSL lacks, or whose builtins it lets be off by more
// than a few units in the last place. Series are Taylor's, cut where the next term is less than
// half a unit in the last place of the range that the argument is brought to.

fn nan_f32() -> f32 { return f32_bits(0x7fc00000u); }
fn inf_f32() -> f32 { return f32_bits(0x7f800000u); }
fn is_inf_f32(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u; }
fn with_sign_f32(x: f32, sign: f32) -> f32 {
    return f32_bits((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(sign) & 0x80000000u));
}

fn rint_f32(x: f32) -> f32 {
    // WGSL's round takes halves to the even one; what is past 2^23 is integral.
    if (is_nan_f32(x) || abs(x) >= 8388608.0f) { return x; }
    return with_sign_f32(round(x), x);
}
fn exp2_f32(x: f32) -> f32 {
    if (is_nan_f32(x)) { return x; }
    if (x >= 128.0f) { return inf_f32(); }
    if (x < -150.0f) { return 0.0f; }
    return exp2(x);
}
fn expm1_f32(x: f32) -> f32 {
    if (abs(x) < 0.35f) {
        let p = 1.0f / 720.0f + x * (1.0f / 5040.0f + x * (1.0f / 40320.0f));
        let q = 0.5f + x * (1.0f / 6.0f + x * (1.0f / 24.0f + x * (1.0f / 120.0f + x * p)));
        return x + x * x * q;
    }
    return exp_f32(x) - 1.0f;
}
// Between -0.4 and 0.4 as twice the inverse hyperbolic tangent of x / (2 + x).
fn log1p_f32(x: f32) -> f32 {
    if (abs(x) < 0.4f) {
        let s = x / (2.0f + x);
        let z = s * s;
        let p = 1.0f / 7.0f + z * (1.0f / 9.0f + z * (1.0f / 11.0f));
        return 2.0f * (s + s * z * (1.0f / 3.0f + z * (1.0f / 5.0f + z * p)));
    }
    return ln_f32(1.0f + x);
}
fn sinh_f32(x: f32) -> f32 {
    let a = abs(x);
    if (is_nan_f32(x)) { return x; }
    if (a > 80.0f) {
        // The square would overflow before the result does.
        let h = exp_f32(0.5f * a);
        return with_sign_f32(0.5f * h * h, x);
    }
    let e = expm1_f32(a);
    return with_sign_f32(0.5f * (e + e / (e + 1.0f)), x);
}
fn cosh_f32(x: f32) -> f32 {
    let a = abs(x);
    if (is_nan_f32(x)) { return x; }
    if (a > 80.0f) {
        let h = exp_f32(0.5f * a);
        return 0.5f * h * h;
    }
    let e = exp_f32(a);
    return 0.5f * (e + 1.0f / e);
}
fn tanh_f32(x: f32) -> f32 {
    if (is_nan_f32(x)) { return x; }
    let a = abs(x);
    if (a > 10.0f) { return with_sign_f32(1.0f, x); }
    let e = expm1_f32(2.0f * a);
    return with_sign_f32(e / (e + 2.0f), x);
}
fn asinh_f32(x: f32) -> f32 {
    let a = abs(x);
    if (is_nan_f32(x) || is_inf_f32(x)) { return x; }
    if (a > 1e10f) { return with_sign_f32(ln_f32(a) + 0.69314718f, x); }
    return with_sign_f32(log1p_f32(a + a * a / (1.0f + sqrt_f32(1.0f + a * a))), x);
}
fn acosh_f32(x: f32) -> f32 {
    if (is_nan_f32(x) || x < 1.0f) { return nan_f32(); }
    if (x > 1e10f) { return ln_f32(x) + 0.69314718f; }
    let t = x - 1.0f;
    return log1p_f32(t + sqrt_f32(t * (2.0f + t)));
}
fn atanh_f32(x: f32) -> f32 {
    let a = abs(x);
    if (is_nan_f32(x) || a > 1.0f) { return nan_f32(); }
    if (a == 1.0f) { return with_sign_f32(inf_f32(), x); }
    return with_sign_f32(0.5f * log1p_f32(2.0f * a / (1.0f - a)), x);
}
fn cbrt_f32(x: f32) -> f32 {
    if (is_nan_f32(x) || is_inf_f32(x) || is_zero_f32(x)) { return x; }
    let a = abs(x);
    var y = exp2(log2(a) / 3.0f);
    // Newton's step, twice.
    y = y - (y - a / (y * y)) / 3.0f;
    y = y - (y - a / (y * y)) / 3.0f;
    return with_sign_f32(y, x);
}

// An angle as a multiple of pi / 2, modulo 4, and the rest, between -pi/4 and pi/4.
struct Turn {
    quarter: u32,
    rest: f32,
}
// Words of 2 / pi, the highest bits first (the binary expansion of a constant).
const TWO_OVER_PI = array<u32, 8>(
    0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u,
    0xdb629599u, 0x3c439041u, 0xfe5163abu, 0xdebbc561u,
);
fn high_of_product(a: u32, b: u32) -> u32 {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let mid = ah * bl + ((al * bl) >> 16u);
    return ah * bh + (mid >> 16u) + ((al * bh + (mid & 0xffffu)) >> 16u);
}
// M. H. Payne and R. N. Hanek, "Radian Reduction for Trigonometric Functions" (1983): of the
// product with 2 / pi only the bits that tell are made.
fn turn_of_large(a: f32) -> Turn {
    let bits = bitcast<u32>(a);
    let m = (bits & 0x7fffffu) | 0x800000u;
    // a = m * 2^e, with e from -10 on; leading bits of 2 / pi that give whole turns are left out.
    let e = bitcast<i32>(bits >> 23u) - 150i;
    let skip = bitcast<u32>(max(e - 2i, 0i));
    let at = skip >> 5u;
    let shift = skip & 31u;
    var words = TWO_OVER_PI;
    var w: array<u32, 3>;
    for (var k = 0u; k < 3u; k++) {
        let hi = words[min(at + k, 7u)];
        let lo = words[min(at + k + 1u, 7u)];
        w[k] = select((hi << shift) | (lo >> (32u - max(shift, 1u))), hi, shift == 0u);
    }
    // The product with m, of 128 bits, the lowest word last.
    let p3 = m * w[2];
    let c3 = high_of_product(m, w[2]);
    let p2 = m * w[1] + c3;
    let c2 = high_of_product(m, w[1]) + select(0u, 1u, p2 < c3);
    let p1 = m * w[0] + c2;
    let p0 = high_of_product(m, w[0]) + select(0u, 1u, p1 < c2);
    // Its point is brought above bit 106: quarters are bits 10 and 11 of the first word.
    let up = bitcast<u32>(e - bitcast<i32>(skip) + 10i);
    let down = 32u - max(up, 1u);
    let s0 = select((p0 << up) | (p1 >> down), p0, up == 0u);
    let s1 = select((p1 << up) | (p2 >> down), p1, up == 0u);
    let s2 = select((p2 << up) | (p3 >> down), p2, up == 0u);
    let top = (s0 << 22u) | (s1 >> 10u);
    let next = (s1 << 22u) | (s2 >> 10u);
    // To the nearest quarter; 2^-32 and 2^-64.
    let half = top >> 31u;
    let sign = select(1.0f, -1.0f, half == 1u);
    let high = f32(select(top, ~top, half == 1u));
    let low = f32(select(next, ~next, half == 1u));
    let fraction = sign * (high * 2.3283064e-10f + low * 5.4210109e-20f);
    return Turn((s0 >> 10u) + half, fraction * 1.5707964f);
}
fn turn_of(a: f32) -> Turn {
    if (a >= 8192.0f) { return turn_of_large(a); }
    let n = floor(a * 0.63661975f + 0.5f);
    // pi / 2 in parts of 11 bits, whose products with n are exact (Cody and Waite, 1980).
    let r = ((a - n * 1.5703125f) - n * 0.000483751297f) - n * 7.54953362e-08f;
    return Turn(u32(n), r - n * 2.56334407e-12f);
}
fn sin_of_rest(r: f32) -> f32 {
    let z = r * r;
    let p = -1.0f / 5040.0f + z * (1.0f / 362880.0f);
    return r + r * z * (-1.0f / 6.0f + z * (1.0f / 120.0f + z * p));
}
fn cos_of_rest(r: f32) -> f32 {
    let z = r * r;
    let p = -1.0f / 720.0f + z * (1.0f / 40320.0f - z * (1.0f / 3628800.0f));
    return 1.0f + z * (-0.5f + z * (1.0f / 24.0f + z * p));
}
fn sin_f32(x: f32) -> f32 {
    if (is_nan_f32(x) || is_inf_f32(x)) { return nan_f32(); }
    let t = turn_of(abs(x));
    let v = select(sin_of_rest(t.rest), cos_of_rest(t.rest), (t.quarter & 1u) == 1u);
    let negative = ((t.quarter & 2u) != 0u) != (x < 0.0f);
    return select(select(v, -v, negative), x, is_zero_f32(x));
}
fn cos_f32(x: f32) -> f32 {
    if (is_nan_f32(x) || is_inf_f32(x)) { return nan_f32(); }
    let t = turn_of(abs(x));
    let v = select(cos_of_rest(t.rest), sin_of_rest(t.rest), (t.quarter & 1u) == 1u);
    return select(v, -v, ((t.quarter + 1u) & 2u) != 0u);
}
fn tan_f32(x: f32) -> f32 {
    if (is_nan_f32(x) || is_inf_f32(x)) { return nan_f32(); }
    let t = turn_of(abs(x));
    let s = sin_of_rest(t.rest);
    let c = cos_of_rest(t.rest);
    let v = select(s / c, -c / s, (t.quarter & 1u) == 1u);
    return select(select(v, -v, x < 0.0f), x, is_zero_f32(x));
}

// Of what is not negative.
fn atan_of_positive(a: f32) -> f32 {
    var z = a;
    var base = 0.0f;
    if (a > 2.4142137f) {
        z = -1.0f / a;
        base = 1.5707964f;
    } else if (a > 0.41421357f) {
        z = (a - 1.0f) / (a + 1.0f);
        base = 0.78539819f;
    }
    let q = z * z;
    let high = 1.0f / 13.0f - q * (1.0f / 15.0f - q * (1.0f / 17.0f - q * (1.0f / 19.0f)));
    let low = 1.0f / 7.0f - q * (1.0f / 9.0f - q * (1.0f / 11.0f - q * high));
    return base + (z - z * q * (1.0f / 3.0f - q * (1.0f / 5.0f - q * low)));
}
fn atan_f32(x: f32) -> f32 {
    if (is_nan_f32(x) || is_zero_f32(x)) { return x; }
    let a = abs(x);
    if (is_inf_f32(x)) { return with_sign_f32(1.5707964f, x); }
    return with_sign_f32(atan_of_positive(a), x);
}
fn atan2_f32(y: f32, x: f32) -> f32 {
    if (is_nan_f32(x) || is_nan_f32(y)) { return nan_f32(); }
    let left = (bitcast<u32>(x) >> 31u) == 1u;
    let ax = abs(x);
    let ay = abs(y);
    var v = 0.0f;
    if (is_zero_f32(y)) {
        v = 0.0f;
    } else if (is_zero_f32(x)) {
        v = 1.5707964f;
    } else if (is_inf_f32(x)) {
        v = select(0.0f, 0.78539819f, is_inf_f32(y));
    } else if (is_inf_f32(y)) {
        v = 1.5707964f;
    } else if (ay > ax) {
        v = 1.5707964f - atan_of_positive(ax / ay);
    } else {
        v = atan_of_positive(ay / ax);
    }
    return with_sign_f32(select(v, 3.1415927f - v, left), y);
}
fn asin_f32(x: f32) -> f32 {
    if (is_nan_f32(x) || abs(x) > 1.0f) { return nan_f32(); }
    return atan2_f32(x, sqrt_f32((1.0f - x) * (1.0f + x)));
}
fn acos_f32(x: f32) -> f32 {
    if (is_nan_f32(x) || abs(x) > 1.0f) { return nan_f32(); }
    return 2.0f * atan2_f32(sqrt_f32(1.0f - x), sqrt_f32(1.0f + x));
}
fn hypot_f32(x: f32, y: f32) -> f32 {
    if (is_inf_f32(x) || is_inf_f32(y)) { return inf_f32(); }
    if (is_nan_f32(x) || is_nan_f32(y)) { return nan_f32(); }
    let most = max(abs(x), abs(y));
    let least = min(abs(x), abs(y));
    if (is_zero_f32(most)) { return 0.0f; }
    let ratio = least / most;
    return most * sqrt_f32(1.0f + ratio * ratio);
}
