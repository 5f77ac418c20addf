// int128: 128-bit integers as four 32-bit words, low word first, in 32-bit arithmetic that
// every adapter has. Needs int64.wgsl and one form of 64-bit integers before it.

alias I128 = vec4<u32>;

struct Divided128 {
    quotient: I128,
    remainder: I128,
}

fn i128_of(a: u32, b: u32, c: u32, d: u32) -> I128 { return vec4<u32>(a, b, c, d); }
fn negative_i128(a: I128) -> bool { return (a.w >> 31u) == 1u; }
fn i128_of_u32(a: u32) -> I128 { return vec4<u32>(a, 0u, 0u, 0u); }
fn i128_of_i32(a: i32) -> I128 {
    let sign = bitcast<u32>(a >> 31u);
    return vec4<u32>(bitcast<u32>(a), sign, sign, sign);
}
fn i128_of_u64(a: U64) -> I128 { return vec4<u32>(lo_u64(a), hi_u64(a), 0u, 0u); }
fn i128_of_i64(a: I64) -> I128 {
    let sign = 0u - (hi_i64(a) >> 31u);
    return vec4<u32>(lo_i64(a), hi_i64(a), sign, sign);
}

fn zero_i128(a: I128) -> bool { return (a.x | a.y | a.z | a.w) == 0u; }
fn minus_one_i128(a: I128) -> bool { return (a.x & a.y & a.z & a.w) == 0xffffffffu; }
fn smallest_i128(a: I128) -> bool { return (a.x | a.y | a.z) == 0u && a.w == 0x80000000u; }
fn eq_i128(a: I128, b: I128) -> bool { return all(a == b); }
fn lt_u128(a: I128, b: I128) -> bool {
    if (a.w != b.w) { return a.w < b.w; }
    if (a.z != b.z) { return a.z < b.z; }
    if (a.y != b.y) { return a.y < b.y; }
    return a.x < b.x;
}
fn lt_i128(a: I128, b: I128) -> bool {
    let sign = vec4<u32>(0u, 0u, 0u, 0x80000000u);
    return lt_u128(a ^ sign, b ^ sign);
}

// A sum of words and a carry, and its own carry.
fn add_word(a: u32, b: u32, carry: u32) -> vec2<u32> {
    let s = a + b;
    let t = s + carry;
    return vec2<u32>(t, select(0u, 1u, s < a || t < s));
}
fn add_carry_i128(a: I128, b: I128, carry: u32) -> I128 {
    let x = add_word(a.x, b.x, carry);
    let y = add_word(a.y, b.y, x.y);
    let z = add_word(a.z, b.z, y.y);
    return vec4<u32>(x.x, y.x, z.x, a.w + b.w + z.y);
}
fn add_i128(a: I128, b: I128) -> I128 { return add_carry_i128(a, b, 0u); }
fn sub_i128(a: I128, b: I128) -> I128 { return add_carry_i128(a, ~b, 1u); }
fn neg_i128(a: I128) -> I128 { return sub_i128(vec4<u32>(0u, 0u, 0u, 0u), a); }
fn abs_i128(a: I128) -> I128 {
    if (negative_i128(a)) { return neg_i128(a); }
    return a;
}

// The low 128 bits of a product with a word.
fn times_word(a: I128, b: u32) -> I128 {
    let p = mul_words(a.x, b);
    let q = mul_words(a.y, b);
    let r = mul_words(a.z, b);
    let low = vec4<u32>(lo_u64(p), lo_u64(q), lo_u64(r), a.w * b);
    return add_i128(low, vec4<u32>(0u, hi_u64(p), hi_u64(q), hi_u64(r)));
}
fn mul_i128(a: I128, b: I128) -> I128 {
    var product = times_word(a, b.x);
    if (b.y != 0u) {
        let t = times_word(a, b.y);
        product = add_i128(product, vec4<u32>(0u, t.x, t.y, t.z));
    }
    if ((b.z | b.w) != 0u) {
        let t = times_word(a, b.z);
        product = add_i128(product, vec4<u32>(0u, 0u, t.x, t.y + a.x * b.w));
    }
    return product;
}

// Counts are less than 128.
fn left_u128(a: I128, n: u32) -> I128 {
    var r = a;
    if ((n & 64u) != 0u) { r = vec4<u32>(0u, 0u, r.x, r.y); }
    if ((n & 32u) != 0u) { r = vec4<u32>(0u, r.x, r.y, r.z); }
    let s = n & 31u;
    if (s == 0u) { return r; }
    let below = vec4<u32>(0u, r.x, r.y, r.z);
    return (r << vec4<u32>(s)) | (below >> vec4<u32>(32u - s));
}
// `fill` comes in from above: all zeros or all ones.
fn right_filled(a: I128, n: u32, fill: u32) -> I128 {
    var r = a;
    if ((n & 64u) != 0u) { r = vec4<u32>(r.z, r.w, fill, fill); }
    if ((n & 32u) != 0u) { r = vec4<u32>(r.y, r.z, r.w, fill); }
    let s = n & 31u;
    if (s == 0u) { return r; }
    let above = vec4<u32>(r.y, r.z, r.w, fill);
    return (r >> vec4<u32>(s)) | (above << vec4<u32>(32u - s));
}
fn right_u128(a: I128, n: u32) -> I128 { return right_filled(a, n, 0u); }
fn zeros_u128(a: I128) -> u32 {
    if (a.w != 0u) { return countLeadingZeros(a.w); }
    if (a.z != 0u) { return 32u + countLeadingZeros(a.z); }
    if (a.y != 0u) { return 64u + countLeadingZeros(a.y); }
    return 96u + countLeadingZeros(a.x);
}
// Shift counts are taken modulo 128.
fn shl_i128(a: I128, b: I128) -> I128 { return left_u128(a, b.x & 127u); }
fn shr_i128(a: I128, b: I128) -> I128 {
    return right_filled(a, b.x & 127u, 0u - (a.w >> 31u));
}

// Quotient and remainder of (remainder, word) by a divisor below 2^16, above the remainder.
fn divide_word(remainder: u32, word: u32, divisor: u32) -> vec2<u32> {
    let high = (remainder << 16u) | (word >> 16u);
    let low = ((high % divisor) << 16u) | (word & 0xffffu);
    return vec2<u32>(((high / divisor) << 16u) | (low / divisor), low % divisor);
}
// Long division in digits of 16 bits, so that an estimate of a digit is one division of
// words: Knuth, "The Art of Computer Programming" 2, 4.3.1, Algorithm D. The divisor is not 0.
fn divide_u128(a: I128, b: I128) -> Divided128 {
    if (lt_u128(a, b)) { return Divided128(vec4<u32>(0u, 0u, 0u, 0u), a); }
    if ((b.y | b.z | b.w) == 0u && b.x < 0x10000u) {
        let w = divide_word(0u, a.w, b.x);
        let z = divide_word(w.y, a.z, b.x);
        let y = divide_word(z.y, a.y, b.x);
        let x = divide_word(y.y, a.x, b.x);
        return Divided128(vec4<u32>(x.x, y.x, z.x, w.x), vec4<u32>(x.y, 0u, 0u, 0u));
    }
    let zeros = zeros_u128(b);
    let shift = zeros & 15u;
    let divisor = left_u128(b, shift);
    let dividend = left_u128(a, shift);
    // Digits of the divisor, at least two, the first at least 2^15.
    let n = 8u - (zeros >> 4u);
    var v: array<u32, 8>;
    var u: array<u32, 9>;
    var q: array<u32, 8>;
    for (var i = 0u; i < 4u; i++) {
        v[2u * i] = divisor[i] & 0xffffu;
        v[2u * i + 1u] = divisor[i] >> 16u;
        u[2u * i] = dividend[i] & 0xffffu;
        u[2u * i + 1u] = dividend[i] >> 16u;
    }
    u[8] = (a.w >> 1u) >> (31u - shift);
    var first = 8u - n;
    if (u[8] == 0u) { first -= zeros_u128(dividend) >> 4u; }
    let top = v[n - 1u];
    let second = v[n - 2u];
    for (var left = first + 1u; left > 0u; left--) {
        let j = left - 1u;
        let head = (u[j + n] << 16u) | u[j + n - 1u];
        var digit = head / top;
        var rest = head % top;
        // At most two too large.
        while (digit >= 0x10000u || digit * second > ((rest << 16u) | u[j + n - 2u])) {
            digit -= 1u;
            rest += top;
            if (rest >= 0x10000u) { break; }
        }
        var borrow = 0i;
        for (var i = 0u; i < n; i++) {
            let p = digit * v[i];
            let t = i32(u[i + j]) - borrow - i32(p & 0xffffu);
            u[i + j] = bitcast<u32>(t) & 0xffffu;
            borrow = i32(p >> 16u) - (t >> 16u);
        }
        let t = i32(u[j + n]) - borrow;
        u[j + n] = bitcast<u32>(t) & 0xffffu;
        if (t < 0i) {
            // It was one too large still: the divisor goes back.
            digit -= 1u;
            var carry = 0u;
            for (var i = 0u; i < n; i++) {
                let s = u[i + j] + v[i] + carry;
                u[i + j] = s & 0xffffu;
                carry = s >> 16u;
            }
            u[j + n] = (u[j + n] + carry) & 0xffffu;
        }
        q[j] = digit;
    }
    let quotient = vec4<u32>(q[0] | (q[1] << 16u), q[2] | (q[3] << 16u),
                             q[4] | (q[5] << 16u), q[6] | (q[7] << 16u));
    let remainder = vec4<u32>(u[0] | (u[1] << 16u), u[2] | (u[3] << 16u),
                              u[4] | (u[5] << 16u), u[6] | (u[7] << 16u));
    return Divided128(quotient, right_u128(remainder, shift));
}
// Towards zero; MIN / -1 wraps.
fn divide_i128(a: I128, b: I128) -> Divided128 {
    var d = divide_u128(abs_i128(a), abs_i128(b));
    if (negative_i128(a ^ b)) { d.quotient = neg_i128(d.quotient); }
    if (negative_i128(a)) { d.remainder = neg_i128(d.remainder); }
    return d;
}
// Division by 0 divides by 1. Whether that is an error is asked apart.
fn div_i128(a: I128, b: I128) -> I128 {
    if (zero_i128(b)) { return a; }
    return divide_i128(a, b).quotient;
}
fn rem_i128(a: I128, b: I128) -> I128 {
    if (zero_i128(b)) { return b; }
    return divide_i128(a, b).remainder;
}
// The divisor is positive.
fn floor_div_i128(a: I128, b: I128) -> I128 {
    let d = divide_i128(a, b);
    if (negative_i128(d.remainder)) { return sub_i128(d.quotient, i128_of_u32(1u)); }
    return d.quotient;
}
fn floor_mod_i128(a: I128, b: I128) -> I128 {
    let r = divide_i128(a, b).remainder;
    if (negative_i128(r)) { return add_i128(r, b); }
    return r;
}
// Halves go away from zero; |r| < b, so b - |r| does not overflow.
fn div_round_i128(a: I128, b: I128) -> I128 {
    let d = divide_i128(a, b);
    let r = abs_i128(d.remainder);
    if (lt_i128(r, sub_i128(b, r))) { return d.quotient; }
    if (negative_i128(a)) { return sub_i128(d.quotient, i128_of_u32(1u)); }
    return add_i128(d.quotient, i128_of_u32(1u));
}

// Whether the exact result leaves the type.
fn add_over_i128(a: I128, b: I128) -> bool {
    let s = add_i128(a, b);
    return negative_i128((a ^ s) & (b ^ s));
}
fn sub_over_i128(a: I128, b: I128) -> bool {
    let s = sub_i128(a, b);
    return negative_i128((a ^ b) & (a ^ s));
}
fn mul_over_i128(a: I128, b: I128) -> bool {
    if (zero_i128(a) || zero_i128(b)) { return false; }
    let negative = negative_i128(a ^ b);
    let x = abs_i128(a);
    let y = abs_i128(b);
    // A product of n bits in all is at least 2^(n - 2) and less than 2^n.
    let bits = 256u - zeros_u128(x) - zeros_u128(y);
    if (bits < 128u) { return false; }
    if (bits > 129u) { return true; }
    if (bits == 129u) {
        // From 2^127 on: it is exactly that where both are powers of two.
        let one = i128_of_u32(1u);
        let powers = zero_i128(x & sub_i128(x, one)) && zero_i128(y & sub_i128(y, one));
        return !(negative && powers);
    }
    let p = mul_i128(x, y);
    return negative_i128(p) && !(negative && smallest_i128(p));
}

// To f32, rounded to nearest, ties to even.
fn f32_of_i128(a: I128) -> f32 {
    if (zero_i128(a)) { return 0.0f; }
    // The highest one goes to bit 127: 24 bits of significand, and the bits that round.
    let magnitude = abs_i128(a);
    let zeros = zeros_u128(magnitude);
    let m = left_u128(magnitude, zeros);
    let rest = m.w & 0xffu;
    let more = (m.x | m.y | m.z) != 0u;
    let up = rest > 0x80u || (rest == 0x80u && (more || ((m.w >> 8u) & 1u) == 1u));
    let bits = ((254u - zeros) << 23u) + ((m.w >> 8u) & 0x7fffffu) + select(0u, 1u, up);
    return bitcast<f32>(bits | (a.w & 0x80000000u));
}
// From f32: truncated, saturated, NaN to 0.
fn i128_of_f32(x: f32) -> I128 {
    if (is_nan_f32(x) || abs(x) < 1.0f) { return vec4<u32>(0u, 0u, 0u, 0u); }
    if (x >= 170141183460469231731687303715884105728.0f) {
        return vec4<u32>(0xffffffffu, 0xffffffffu, 0xffffffffu, 0x7fffffffu);
    }
    if (x <= -170141183460469231731687303715884105728.0f) {
        return vec4<u32>(0u, 0u, 0u, 0x80000000u);
    }
    let bits = bitcast<u32>(x);
    let m = (bits & 0x7fffffu) | 0x800000u;
    let e = ((bits >> 23u) & 0xffu) - 127u;
    var magnitude: I128;
    if (e <= 23u) {
        magnitude = i128_of_u32(m >> (23u - e));
    } else {
        magnitude = left_u128(i128_of_u32(m), e - 23u);
    }
    if (x < 0.0f) { return neg_i128(magnitude); }
    return magnitude;
}
