// int128_float64: casts between 128-bit integers and 64-bit floats. Needs int128.wgsl and
// float64.wgsl before it.

// Rounded to nearest, ties to even.
fn f64_of_i128(a: I128) -> f64 {
    if (zero_i128(a)) { return 0.0lf; }
    // The highest one goes to bit 127: 53 bits of significand, and the bits that round.
    let magnitude = abs_i128(a);
    let zeros = zeros_u128(magnitude);
    let m = left_u128(magnitude, zeros);
    let rest = m.z & 0x7ffu;
    let odd = ((m.z >> 11u) & 1u) == 1u;
    let up = rest > 0x400u || (rest == 0x400u && ((m.x | m.y) != 0u || odd));
    let lo = (m.w << 21u) | (m.z >> 11u);
    let hi = ((1150u - zeros) << 20u) + ((m.w >> 11u) & 0xfffffu);
    let rounded = add_u64(u64_of(lo, hi), u64_of(select(0u, 1u, up), 0u));
    return f64_bits(lo_u64(rounded), hi_u64(rounded) | (a.w & 0x80000000u));
}
// Truncated, saturated, NaN to 0.
fn i128_of_f64(x: f64) -> I128 {
    if (is_nan_f64(x) || abs(x) < 1.0lf) { return vec4<u32>(0u, 0u, 0u, 0u); }
    if (x >= 170141183460469231731687303715884105728.0lf) {
        return vec4<u32>(0xffffffffu, 0xffffffffu, 0xffffffffu, 0x7fffffffu);
    }
    if (x <= -170141183460469231731687303715884105728.0lf) {
        return vec4<u32>(0u, 0u, 0u, 0x80000000u);
    }
    let bits = bitcast<u64>(x);
    let hi = hi_u64(bits);
    let m = vec4<u32>(lo_u64(bits), (hi & 0xfffffu) | 0x100000u, 0u, 0u);
    let e = ((hi >> 20u) & 0x7ffu) - 1023u;
    var magnitude: I128;
    if (e <= 52u) {
        magnitude = right_u128(m, 52u - e);
    } else {
        magnitude = left_u128(m, e - 52u);
    }
    if (x < 0.0lf) { return neg_i128(magnitude); }
    return magnitude;
}
