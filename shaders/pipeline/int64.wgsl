// int64: what both forms of 64-bit integers (int64_native.wgsl, int64_pair.wgsl) build.

fn lo_i64(a: I64) -> u32 { return lo_u64(as_u64(a)); }
fn hi_i64(a: I64) -> u32 { return hi_u64(as_u64(a)); }
fn negative(a: I64) -> bool { return (hi_i64(a) >> 31u) == 1u; }
fn i64_of_u32(a: u32) -> I64 { return i64_of(a, 0u); }
fn i64_of_i32(a: i32) -> I64 { return i64_of(bitcast<u32>(a), bitcast<u32>(a >> 31u)); }
fn u64_of_u32(a: u32) -> U64 { return u64_of(a, 0u); }
fn u64_of_i32(a: i32) -> U64 { return as_u64(i64_of_i32(a)); }

fn add_i64(a: I64, b: I64) -> I64 { return as_i64(add_u64(as_u64(a), as_u64(b))); }
fn sub_i64(a: I64, b: I64) -> I64 { return as_i64(sub_u64(as_u64(a), as_u64(b))); }
fn mul_i64(a: I64, b: I64) -> I64 { return as_i64(mul_u64(as_u64(a), as_u64(b))); }
fn neg_i64(a: I64) -> I64 { return sub_i64(i64_of(0u, 0u), a); }
fn abs_i64(a: I64) -> I64 {
    if (negative(a)) { return neg_i64(a); }
    return a;
}
fn eq_i64(a: I64, b: I64) -> bool { return eq_u64(as_u64(a), as_u64(b)); }
fn zero_u64(a: U64) -> bool { return (lo_u64(a) | hi_u64(a)) == 0u; }
fn zero_i64(a: I64) -> bool { return zero_u64(as_u64(a)); }
fn minus_one_i64(a: I64) -> bool { return (lo_i64(a) & hi_i64(a)) == 0xffffffffu; }
fn smallest_i64(a: I64) -> bool { return lo_i64(a) == 0u && hi_i64(a) == 0x80000000u; }
// Shift counts are taken modulo 64.
fn shl_u64(a: U64, b: U64) -> U64 { return left_u64(a, lo_u64(b) & 63u); }
fn shr_u64(a: U64, b: U64) -> U64 { return right_u64(a, lo_u64(b) & 63u); }
fn shl_i64(a: I64, b: I64) -> I64 { return as_i64(left_u64(as_u64(a), lo_i64(b) & 63u)); }
fn shr_i64(a: I64, b: I64) -> I64 { return right_i64(a, lo_i64(b) & 63u); }

// Division by 0 divides by 1; MIN / -1 wraps. Whether that is an error is asked apart.
fn div_u64(a: U64, b: U64) -> U64 {
    if (zero_u64(b)) { return a; }
    return quo_u64(a, b);
}
fn rem_u64(a: U64, b: U64) -> U64 {
    if (zero_u64(b)) { return b; }
    return mod_u64(a, b);
}
fn div_i64(a: I64, b: I64) -> I64 {
    if (zero_i64(b)) { return a; }
    if (minus_one_i64(b)) { return neg_i64(a); }
    return quo_i64(a, b);
}
fn rem_i64(a: I64, b: I64) -> I64 {
    if (zero_i64(b) || minus_one_i64(b)) { return i64_of(0u, 0u); }
    return mod_i64(a, b);
}
// The divisor is positive.
fn floor_div_u64(a: U64, b: U64) -> U64 { return quo_u64(a, b); }
fn floor_mod_u64(a: U64, b: U64) -> U64 { return mod_u64(a, b); }
fn floor_div_i64(a: I64, b: I64) -> I64 {
    let q = quo_i64(a, b);
    if (negative(mod_i64(a, b))) { return sub_i64(q, i64_of(1u, 0u)); }
    return q;
}
fn floor_mod_i64(a: I64, b: I64) -> I64 {
    let r = mod_i64(a, b);
    if (negative(r)) { return add_i64(r, b); }
    return r;
}
// Halves go away from zero; |r| < b, so b - |r| does not overflow.
fn div_round_u64(a: U64, b: U64) -> U64 {
    let q = quo_u64(a, b);
    let r = mod_u64(a, b);
    if (lt_u64(r, sub_u64(b, r))) { return q; }
    return add_u64(q, u64_of(1u, 0u));
}
fn div_round_i64(a: I64, b: I64) -> I64 {
    let q = quo_i64(a, b);
    let r = abs_i64(mod_i64(a, b));
    if (lt_i64(r, sub_i64(b, r))) { return q; }
    if (negative(a)) { return sub_i64(q, i64_of(1u, 0u)); }
    return add_i64(q, i64_of(1u, 0u));
}

// Whether the exact result leaves the type.
fn add_over_i64(a: I64, b: I64) -> bool {
    let s = hi_i64(add_i64(a, b));
    return (((hi_i64(a) ^ s) & (hi_i64(b) ^ s)) >> 31u) == 1u;
}
fn sub_over_i64(a: I64, b: I64) -> bool {
    let s = hi_i64(sub_i64(a, b));
    return (((hi_i64(a) ^ hi_i64(b)) & (hi_i64(a) ^ s)) >> 31u) == 1u;
}
fn mul_over_i64(a: I64, b: I64) -> bool {
    if (zero_i64(a) || zero_i64(b)) { return false; }
    if (minus_one_i64(a)) { return smallest_i64(b); }
    if (minus_one_i64(b)) { return smallest_i64(a); }
    return !eq_i64(quo_i64(mul_i64(a, b), b), a);
}

// To f32, rounded to nearest, ties to even.
fn f32_of_u64(a: U64) -> f32 {
    if (zero_u64(a)) { return 0.0f; }
    // The highest one goes to bit 63: 24 bits of significand and 40 that round.
    let hi = hi_u64(a);
    let zeros = select(countLeadingZeros(hi), 32u + countLeadingZeros(lo_u64(a)), hi == 0u);
    let m = left_u64(a, zeros);
    let mh = hi_u64(m);
    let rest = mh & 0xffu;
    let low = lo_u64(m);
    let up = rest > 0x80u || (rest == 0x80u && (low != 0u || ((mh >> 8u) & 1u) == 1u));
    let bits = ((190u - zeros) << 23u) + ((mh >> 8u) & 0x7fffffu) + select(0u, 1u, up);
    return bitcast<f32>(bits);
}
fn f32_of_i64(a: I64) -> f32 {
    if (negative(a)) { return -f32_of_u64(as_u64(neg_i64(a))); }
    return f32_of_u64(as_u64(a));
}
// From f32: truncated, saturated, NaN to 0.
fn u64_of_f32(x: f32) -> U64 {
    if (is_nan_f32(x) || x < 1.0f) { return u64_of(0u, 0u); }
    if (x >= 18446744073709551616.0f) { return u64_of(0xffffffffu, 0xffffffffu); }
    let bits = bitcast<u32>(x);
    let m = (bits & 0x7fffffu) | 0x800000u;
    let e = (bits >> 23u) - 127u;
    if (e <= 23u) { return u64_of(m >> (23u - e), 0u); }
    return left_u64(u64_of(m, 0u), e - 23u);
}
fn i64_of_f32(x: f32) -> I64 {
    if (x >= 9223372036854775808.0f) { return i64_of(0xffffffffu, 0x7fffffffu); }
    if (x < -9223372036854775808.0f) { return i64_of(0u, 0x80000000u); }
    let m = as_i64(u64_of_f32(abs(x)));
    if (x < 0.0f) { return neg_i64(m); }
    return m;
}
