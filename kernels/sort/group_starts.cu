// group_starts: the first item of each group of sorted rows.
//
// Purpose:   what items' ranks in their groups are counted from.
// Algorithm: a scatter to the groups' numbers, which are a scan of the bounds.
//
// Buffers:  flags    u32[n]       1 where a group begins
//           numbers  u32[n]       flags after an exclusive scan
//           starts   u32[groups]  out
// Params:   n
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   all of starts. Deterministic.
#include "windlass.cuh"

struct Params {
  u32 n;
};

extern "C" __global__ void group_starts(const u32* flags, const u32* numbers, u32* starts,
                                        Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    if (flags[i]) starts[numbers[i]] = u32(i);
  }
}
