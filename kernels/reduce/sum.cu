// sum: the sum and the number of a column's values, in a wider type.
//
// Algorithm: a thread adds up rows that lie a grid apart, a block adds its threads by a tree of
// shuffles, and the host adds the blocks in their order (Harris, "Optimizing Parallel Reduction
// in CUDA", 2007, with the last step on the host, where the result is wanted). Integers are
// summed modulo 2^128, which no batch of 64-bit values reaches, floats as f64.
//
// Purpose:  sums, averages, counts, any and all.
// Buffers:  values   u32[n * words], f32[n] or f64[n], as KIND says; not read when words is 0
//           valid    u32[n]: 1 where not null; not read unless has_valid
//           selected u32[n]: not 0 where the row counts; not read unless has_selected
//           sums     u32[blocks * 4], least significant word first, or f64[blocks]
//           counts   u32[blocks]: values added
// Params:   n, words (of an integer: 1, 2, 4, or 0 to count rows only), is_signed, has_valid,
//           has_selected, blocks
// Launch:   blocks blocks of 256 threads, any number; rows are strided over all threads.
// Result:   sums and counts. Determinism: the same bits in any order of threads; sums of floats
//           depend on `blocks` by the rounding of reassociated additions.
//
// KIND is defined before this text: 0 integers, 1 f32, 2 f64.
#include "windlass.cuh"

struct Params {
  u32 n, words, is_signed, has_valid, has_selected, blocks;
};

#if KIND == 0
typedef u32 Value;
typedef u32 Out;
struct Sum {
  u64 low, high;
};
W_INLINE void add(Sum& a, Sum b) {
  a.low += b.low;
  a.high += b.high + (a.low < b.low ? 1u : 0u);
}
W_INLINE Sum value_of(const Value* values, u64 row, const Params& p) {
  Sum s = {0u, 0u};
  if (p.words == 0) return s;
  const Value* at = values + row * p.words;
  u32 top = at[0];
  s.low = top;
  if (p.words == 1) {
    if (p.is_signed && (top >> 31) != 0) s.low |= ~u64(0) << 32;
  } else {
    top = at[1];
    s.low |= u64(top) << 32;
  }
  if (p.words == 4) {
    s.high = at[2] | u64(at[3]) << 32;
  } else if (p.is_signed && (top >> 31) != 0) {
    s.high = ~u64(0);
  }
  return s;
}
#else
typedef f64 Out;
#if KIND == 1
typedef f32 Value;
#else
typedef f64 Value;
#endif
struct Sum {
  f64 value;
};
W_INLINE void add(Sum& a, Sum b) { a.value += b.value; }
W_INLINE Sum value_of(const Value* values, u64 row, const Params&) {
  Sum s = {f64(values[row])};
  return s;
}
#endif

extern "C" __global__ void sum(const Value* values, const u32* valid, const u32* selected,
                               Out* sums, u32* counts, Params p) {
  W_SHARED(Sum, warp_sums, 8);
  W_SHARED(u32, warp_counts, 8);
  Sum s = {};
  u32 count = 0;
  const u64 stride = u64(p.blocks) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.n; row += stride) {
    if (p.has_selected && selected[row] == 0) continue;
    if (p.has_valid && valid[row] == 0) continue;
    add(s, value_of(values, row, p));
    count += 1;
  }
  for (u32 d = 16; d > 0; d /= 2) {
    const Sum other = W_SHFL_DOWN(s, d);
    const u32 more = W_SHFL_DOWN(count, d);
    if (W_LANE + d < 32u) {
      add(s, other);
      count += more;
    }
  }
  if (W_LANE == 0) {
    warp_sums[W_WARP_ID] = s;
    warp_counts[W_WARP_ID] = count;
  }
  W_SYNC();
  if (threadIdx.x != 0) return;
  for (u32 w = 1; w < 8; ++w) {
    add(s, warp_sums[w]);
    count += warp_counts[w];
  }
#if KIND == 0
  Out* out = sums + blockIdx.x * 4u;
  out[0] = u32(s.low);
  out[1] = u32(s.low >> 32);
  out[2] = u32(s.high);
  out[3] = u32(s.high >> 32);
#else
  sums[blockIdx.x] = s.value;
#endif
  counts[blockIdx.x] = count;
}
