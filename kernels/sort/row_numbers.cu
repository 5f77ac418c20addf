// row_numbers: the numbers from 0 on.
//
// Purpose:   the order of rows before a sort.
// Algorithm: a map.
//
// Buffers:  out  u32[n]
// Params:   n
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   all of out. Deterministic.
#include "windlass.cuh"

struct Params {
  u32 n;
};

extern "C" __global__ void row_numbers(u32* out, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) out[i] = u32(i);
}
