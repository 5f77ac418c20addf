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
// Launch:   blocks blocks of 256 threads, any number; rows are strided over all threads.
// Result:   sums. Determinism: the same bits in any order of threads; they depend on `blocks`
//           by the rounding of reassociated additions.
#include "windlass.cuh"

struct Params {
  u32 n, x_type, y_type, has_y, has_x_valid, has_y_valid, has_selected, blocks;
  u32 x_shift[2], y_shift[2];
};

#define SUMS 6u

// The value as an f64: integers of 64 bits are rounded once, of 128 bits twice.
W_INLINE f64 value_of(const u32* values, u32 type, u64 row) {
  if (type == 0) return f64(values[row]);
  if (type == 1) return f64(i32(values[row]));
  if (type == 2) return f64(w_bits_f32(values[row]));
  const u32* at = values + row * (type == 6 ? 4u : 2u);
  u64 low = at[0] | u64(at[1]) << 32;
  if (type == 3) return f64(low);
  if (type == 4) return f64(i64(low));
  if (type == 5) return w_bits_f64(low);
  u64 high = at[2] | u64(at[3]) << 32;
  const bool negative = (high >> 63) != 0;
  if (negative) {
    low = ~low + 1u;
    high = ~high + (low == 0 ? 1u : 0u);
  }
  const f64 magnitude = f64(high) * 18446744073709551616.0 + f64(low);
  return negative ? -magnitude : magnitude;
}

extern "C" __global__ void moments(const u32* x, const u32* x_valid, const u32* y,
                                   const u32* y_valid, const u32* selected, f64* sums, Params p) {
  W_SHARED(f64, warp_sums, 8 * SUMS);
  const f64 x_shift = w_bits_f64(p.x_shift[0] | u64(p.x_shift[1]) << 32);
  const f64 y_shift = w_bits_f64(p.y_shift[0] | u64(p.y_shift[1]) << 32);
  f64 s[SUMS] = {};
  const u64 stride = u64(p.blocks) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.n; row += stride) {
    if (p.has_selected && selected[row] == 0) continue;
    if (p.has_x_valid && x_valid[row] == 0) continue;
    if (p.has_y_valid && y_valid[row] == 0) continue;
    const f64 dx = value_of(x, p.x_type, row) - x_shift;
    const f64 dy = p.has_y ? value_of(y, p.y_type, row) - y_shift : 0.0;
    s[0] += 1.0;
    s[1] += dx;
    s[2] += dy;
    s[3] += dx * dx;
    s[4] += dy * dy;
    s[5] += dx * dy;
  }
  for (u32 k = 0; k < SUMS; ++k) {
    for (u32 d = 16; d > 0; d /= 2) {
      const f64 other = W_SHFL_DOWN(s[k], d);
      if (W_LANE + d < 32u) s[k] += other;
    }
    if (W_LANE == 0) warp_sums[W_WARP_ID * SUMS + k] = s[k];
  }
  W_SYNC();
  if (threadIdx.x >= SUMS) return;
  f64 total = 0.0;
  for (u32 w = 0; w < 8; ++w) total += warp_sums[w * SUMS + threadIdx.x];
  sums[blockIdx.x * SUMS + threadIdx.x] = total;
}
