// select_counts: how often each digit occurs among the keys with a given prefix.
//
// Purpose:   finds the k-th smallest key, a digit at a time, without a sort.
// Algorithm: radix selection, most significant digit first (Alabi, Blanchard, Gordon and
//            Steinbach, "Fast k-Selection Algorithms for Graphics Processing Units", ACM JEA
//            17, 2012). A block counts in shared memory and adds its counts to the result.
//
// Buffers:  keys    u32[n]
//           counts  u32[256], zeros at first; out: of each digit
// Params:   n, shift (of the digit), bound (1: only keys whose bits above the digit equal
//           prefix), prefix
// Launch:   any number of blocks of 256 threads; keys are strided over all threads.
// Result:   all of counts. Determinism: the same bits in any order.
#include "windlass.cuh"

struct Params {
  u32 n, shift, bound, prefix;
};

extern "C" __global__ void select_counts(const u32* keys, u32* counts, Params p) {
  W_SHARED(u32, local, 256);
  local[threadIdx.x] = 0;
  W_SYNC();
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    const u32 key = keys[i] >> p.shift;
    if (!p.bound || (key >> 8) == p.prefix) atomicAdd(&local[key & 255u], 1u);
  }
  W_SYNC();
  const u32 c = local[threadIdx.x];
  if (c) atomicAdd(&counts[threadIdx.x], c);
}
