// group_ranks: the place of each item in its group of sorted rows.
//
// Purpose:   the row numbers within groups, from 0 on.
// Algorithm: a gather of the group's first item.
//
// Buffers:  flags    u32[n]       1 where a group begins
//           numbers  u32[n]       flags after an exclusive scan
//           starts   u32[groups]  group_starts' result
//           ranks    u32[n]       out
// Params:   n
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   all of ranks. Deterministic.
#include "windlass.cuh"

struct Params {
  u32 n;
};

extern "C" __global__ void group_ranks(const u32* flags, const u32* numbers, const u32* starts,
                                       u32* ranks, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    ranks[i] = u32(i) - starts[numbers[i] + flags[i] - 1];
  }
}
