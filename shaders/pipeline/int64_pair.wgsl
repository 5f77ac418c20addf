// int64_pair: 64-bit integers as two 32-bit words, low word first, for adapters without
// them. The same names as in int64_native.wgsl.

alias I64 = vec2<u32>;
alias U64 = vec2<u32>;

fn u64_of(lo: u32, hi: u32) -> U64 { return vec2<u32>(lo, hi); }
fn i64_of(lo: u32, hi: u32) -> I64 { return vec2<u32>(lo, hi); }
fn lo_u64(a: U64) -> u32 { return a.x; }
fn hi_u64(a: U64) -> u32 { return a.y; }
fn as_u64(a: I64) -> U64 { return a; }
fn as_i64(a: U64) -> I64 { return a; }

fn add_u64(a: U64, b: U64) -> U64 {
    let lo = a.x + b.x;
    return vec2<u32>(lo, a.y + b.y + select(0u, 1u, lo < a.x));
}
fn sub_u64(a: U64, b: U64) -> U64 {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}
// All 64 bits of a product of words, from 16-bit halves.
fn mul_words(a: u32, b: u32) -> U64 {
    let al = a & 0xffffu;
    let ah = a >> 16u;
    let bl = b & 0xffffu;
    let bh = b >> 16u;
    let low = al * bl;
    let mid = ah * bl + (low >> 16u);
    let mid2 = al * bh + (mid & 0xffffu);
    return vec2<u32>((mid2 << 16u) | (low & 0xffffu), ah * bh + (mid >> 16u) + (mid2 >> 16u));
}
fn mul_u64(a: U64, b: U64) -> U64 {
    let p = mul_words(a.x, b.x);
    return vec2<u32>(p.x, p.y + a.x * b.y + a.y * b.x);
}
fn eq_u64(a: U64, b: U64) -> bool { return a.x == b.x && a.y == b.y; }
fn lt_u64(a: U64, b: U64) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }
fn lt_i64(a: I64, b: I64) -> bool {
    let ah = bitcast<i32>(a.y);
    let bh = bitcast<i32>(b.y);
    return ah < bh || (ah == bh && a.x < b.x);
}
// Counts are less than 64.
fn left_u64(a: U64, n: u32) -> U64 {
    if (n == 0u) { return a; }
    if (n >= 32u) { return vec2<u32>(0u, a.x << (n - 32u)); }
    return vec2<u32>(a.x << n, (a.y << n) | (a.x >> (32u - n)));
}
fn right_u64(a: U64, n: u32) -> U64 {
    if (n == 0u) { return a; }
    if (n >= 32u) { return vec2<u32>(a.y >> (n - 32u), 0u); }
    return vec2<u32>((a.x >> n) | (a.y << (32u - n)), a.y >> n);
}
fn right_i64(a: I64, n: u32) -> I64 {
    let h = bitcast<i32>(a.y);
    if (n == 0u) { return a; }
    if (n >= 32u) { return vec2<u32>(bitcast<u32>(h >> (n - 32u)), bitcast<u32>(h >> 31u)); }
    return vec2<u32>((a.x >> n) | (a.y << (32u - n)), bitcast<u32>(h >> n));
}
// Quotient (x, y) and remainder (z, w): restoring division, a bit at a time.
fn divide_u64(a: U64, b: U64) -> vec4<u32> {
    if (a.y == 0u && b.y == 0u) { return vec4<u32>(a.x / b.x, 0u, a.x % b.x, 0u); }
    var q: U64; // every bit is shifted in
    var r = vec2<u32>(0u, 0u);
    for (var i = 0u; i < 64u; i++) {
        let n = 63u - i;
        let bit = select(a.x >> (n & 31u), a.y >> (n & 31u), n >= 32u) & 1u;
        // Of the i bits before it, so nothing leaves it.
        r = vec2<u32>((r.x << 1u) | bit, (r.y << 1u) | (r.x >> 31u));
        let takes = !lt_u64(r, b);
        if (takes) { r = sub_u64(r, b); }
        q = vec2<u32>((q.x << 1u) | select(0u, 1u, takes), (q.y << 1u) | (q.x >> 31u));
    }
    return vec4<u32>(q.x, q.y, r.x, r.y);
}
// The divisor is not 0, and for signed values not -1.
fn quo_u64(a: U64, b: U64) -> U64 { return divide_u64(a, b).xy; }
fn mod_u64(a: U64, b: U64) -> U64 { return divide_u64(a, b).zw; }
fn magnitude(a: I64) -> U64 {
    if ((a.y >> 31u) == 0u) { return a; }
    return sub_u64(vec2<u32>(0u, 0u), a);
}
fn quo_i64(a: I64, b: I64) -> I64 {
    let q = quo_u64(magnitude(a), magnitude(b));
    if (((a.y ^ b.y) >> 31u) == 0u) { return q; }
    return sub_u64(vec2<u32>(0u, 0u), q);
}
fn mod_i64(a: I64, b: I64) -> I64 {
    let r = mod_u64(magnitude(a), magnitude(b));
    if ((a.y >> 31u) == 0u) { return r; }
    return sub_u64(vec2<u32>(0u, 0u), r);
}
