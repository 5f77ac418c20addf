// What generated pipelines compute with: wrapping integers, division that cannot trap, the
// order of floats, casts that cannot overflow, civil dates. The interpreter
// (windlass-kernels, cpu/pipeline) computes the same bits, but for exp, log and pow.
#pragma once

// The unsigned type in which an integer type wraps without undefined behaviour; at least
// 32 bits, since narrower ones are promoted to int.
template <class T> struct w_wrap { typedef u32 type; };
template <> struct w_wrap<i64> { typedef u64 type; };
template <> struct w_wrap<u64> { typedef u64 type; };
template <> struct w_wrap<i128> { typedef u128 type; };
#define W_U typename w_wrap<T>::type

template <class T> W_INLINE T w_add(T a, T b) { return T(W_U(a) + W_U(b)); }
template <class T> W_INLINE T w_sub(T a, T b) { return T(W_U(a) - W_U(b)); }
template <class T> W_INLINE T w_mul(T a, T b) { return T(W_U(a) * W_U(b)); }
template <class T> W_INLINE T w_neg(T a) { return T(W_U(0) - W_U(a)); }
template <class T> W_INLINE T w_abs(T a) { return a < T(0) ? w_neg(a) : a; }
template <class T> W_INLINE bool w_signed() { return T(-1) < T(0); }
// Shift counts are taken modulo the width.
template <class T> W_INLINE T w_shl(T a, T b) {
  return T(W_U(a) << (u32(b) & u32(8 * sizeof(T) - 1)));
}
template <class T> W_INLINE T w_shr(T a, T b) {
  return T(a >> (u32(b) & u32(8 * sizeof(T) - 1)));
}

// Division by 0 divides by 1; MIN / -1 wraps. Whether that is an error is asked apart.
template <class T> W_INLINE T w_div(T a, T b) {
  if (b == T(0)) return a;
  if (w_signed<T>() && b == T(-1)) return w_neg(a);
  return T(a / b);
}
template <class T> W_INLINE T w_rem(T a, T b) {
  if (b == T(0) || (w_signed<T>() && b == T(-1))) return T(0);
  return T(a % b);
}
// The divisor is positive.
template <class T> W_INLINE T w_floor_div(T a, T b) {
  const T q = T(a / b);
  return T(a % b) < T(0) ? T(q - T(1)) : q;
}
template <class T> W_INLINE T w_floor_mod(T a, T b) {
  const T r = T(a % b);
  return r < T(0) ? T(r + b) : r;
}
// Halves go away from zero; |r| < b, so b - |r| does not overflow.
template <class T> W_INLINE T w_div_round(T a, T b) {
  const T q = T(a / b);
  const T r = w_abs(T(a % b));
  if (r < T(b - r)) return q;
  return a < T(0) ? T(q - T(1)) : T(q + T(1));
}

// Whether the exact result leaves the type.
template <class T> W_INLINE bool w_add_over(T a, T b) {
  const T s = w_add(a, b);
  return ((a ^ s) & (b ^ s)) < T(0);
}
template <class T> W_INLINE bool w_sub_over(T a, T b) {
  const T s = w_sub(a, b);
  return ((a ^ b) & (a ^ s)) < T(0);
}
W_INLINE bool w_mul_over(i64 a, i64 b) {
  const i128 p = i128(a) * i128(b);
  return p != i128(i64(p));
}
W_INLINE bool w_mul_over(i128 a, i128 b) {
  // Factors of up to 64 bits cannot leave 128 bits; this is nearly always so.
  if (a == i128(i64(a)) && b == i128(i64(b))) return false;
  if (a == 0 || b == 0) return false;
  if (a == -1) return w_neg(b) == b;
  if (b == -1) return w_neg(a) == a;
  return w_mul(a, b) / b != a;
}

// IEEE 754 totalOrder: as integers the keys compare as the floats do.
W_INLINE i32 w_key(f32 x) {
  const i32 b = i32(w_f32_bits(x));
  return b ^ i32(u32(b >> 31) >> 1);
}
W_INLINE i64 w_key(f64 x) {
  const i64 b = i64(w_f64_bits(x));
  return b ^ i64(u64(b >> 63) >> 1);
}

// A float to an integer: truncated, saturated, NaN to 0. `lo` and `hi` are the type's
// smallest value and its largest plus one, both exact in F.
template <class T, class F> W_INLINE T w_to_int(F x, F lo, F hi, T min, T max) {
  if (!(x == x)) return T(0);
  if (x < lo) return min;
  if (x >= hi) return max;
  return T(x);
}
template <class F> W_INLINE bool w_fits(F truncated, F lo, F hi) {
  return truncated >= lo && truncated < hi;
}
// Whether an integer survives the way to T and back with its sign.
template <class T, class S> W_INLINE bool w_fits_int(S x) {
  const T t = T(x);
  return S(t) == x && (t < T(0)) == (x < S(0));
}

// Civil dates of days since 1970-01-01: Howard Hinnant, "chrono-Compatible Low-Level Date
// Algorithms" (2013). Years start in March and are counted in eras of 400.
struct w_date {
  i32 year, month, day;
};
W_INLINE w_date w_civil(i32 days) {
  // The era is taken before the shift of the epoch, so that nothing overflows.
  const i32 shifted = w_floor_mod(days, 146097) + 719468;
  const i32 era = w_floor_div(days, 146097) + shifted / 146097;
  const i32 doe = shifted % 146097;
  const i32 yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const i32 doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const i32 mp = (5 * doy + 2) / 153;
  w_date d;
  d.day = doy - (153 * mp + 2) / 5 + 1;
  d.month = mp < 10 ? mp + 3 : mp - 9;
  d.year = yoe + era * 400 + (d.month <= 2 ? 1 : 0);
  return d;
}
W_INLINE i32 w_year(i32 days) { return w_civil(days).year; }
W_INLINE i32 w_month(i32 days) { return w_civil(days).month; }
W_INLINE i32 w_day(i32 days) { return w_civil(days).day; }
// First day of a month given as months since January 1970, modulo 2^32.
W_INLINE i32 w_month_start(i32 months) {
  const i32 month = w_floor_mod(months, 12) + 1;
  const i32 year = w_floor_div(months, 12) + 1970 - (month <= 2 ? 1 : 0);
  const i32 era = w_floor_div(year, 400);
  const i32 yoe = w_floor_mod(year, 400);
  const i32 mp = month > 2 ? month - 3 : month + 9;
  const i32 doe = yoe * 365 + yoe / 4 - yoe / 100 + (153 * mp + 2) / 5;
  return w_add(w_mul(era, 146097), doe - 719468);
}
