// int64_native: 64-bit integers where the adapter has them. The same names as in
// int64_pair.wgsl, which does without.

alias I64 = i64;
alias U64 = u64;

fn u64_of(lo: u32, hi: u32) -> U64 { return (u64(hi) << 32u) | u64(lo); }
fn i64_of(lo: u32, hi: u32) -> I64 { return bitcast<i64>(u64_of(lo, hi)); }
fn lo_u64(a: U64) -> u32 { return u32(a & u64_of(0xffffffffu, 0u)); }
fn hi_u64(a: U64) -> u32 { return u32(a >> 32u); }
fn as_u64(a: I64) -> U64 { return bitcast<u64>(a); }
fn as_i64(a: U64) -> I64 { return bitcast<i64>(a); }

fn add_u64(a: U64, b: U64) -> U64 { return a + b; }
fn sub_u64(a: U64, b: U64) -> U64 { return a - b; }
fn mul_u64(a: U64, b: U64) -> U64 { return a * b; }
fn mul_words(a: u32, b: u32) -> U64 { return u64(a) * u64(b); }
fn eq_u64(a: U64, b: U64) -> bool { return a == b; }
fn lt_u64(a: U64, b: U64) -> bool { return a < b; }
fn lt_i64(a: I64, b: I64) -> bool { return a < b; }
// Counts are less than 64.
fn left_u64(a: U64, n: u32) -> U64 { return a << n; }
fn right_u64(a: U64, n: u32) -> U64 { return a >> n; }
fn right_i64(a: I64, n: u32) -> I64 { return a >> n; }
// The divisor is not 0, and for signed values not -1.
fn quo_u64(a: U64, b: U64) -> U64 { return a / b; }
fn mod_u64(a: U64, b: U64) -> U64 { return a % b; }
fn quo_i64(a: I64, b: I64) -> I64 { return a / b; }
fn mod_i64(a: I64, b: I64) -> I64 { return a % b; }
