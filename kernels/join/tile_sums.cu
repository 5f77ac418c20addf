// tile_sums: how many pairs the rows of each tile have, without overflow.
//
// Algorithm: a tree sum in shared memory (Harris, "Optimizing Parallel Reduction in CUDA", 2007)
// of the low and of the high halves of the counts: 1,024 halves of 16 bits fit 32 bits.
//
// Buffers:  counts  u32[rows]       pairs of each row
//           sums    u32[tiles * 2]  out: the sum of the low halves, and that of the high halves
// Params:   rows
// Launch:   one block of 256 threads for each tile of 1,024 rows.
// Result:   sums.
// Determinism: the same bits in any order of threads.
#include "windlass.cuh"

struct Params {
  u32 rows;
};

extern "C" __global__ void tile_sums(const u32* counts, u32* sums, Params p) {
  W_SHARED(u32, low, 256);
  W_SHARED(u32, high, 256);
  u32 a = 0, b = 0;
  for (u32 k = 0; k < 4; ++k) {
    const u64 row = u64(blockIdx.x) * 1024u + k * 256u + threadIdx.x;
    const u32 count = row < p.rows ? counts[row] : 0u;
    a += count & 0xffffu;
    b += count >> 16;
  }
  low[threadIdx.x] = a;
  high[threadIdx.x] = b;
  W_SYNC();
  for (u32 d = 128; d > 0; d /= 2) {
    if (threadIdx.x < d) {
      low[threadIdx.x] += low[threadIdx.x + d];
      high[threadIdx.x] += high[threadIdx.x + d];
    }
    W_SYNC();
  }
  if (threadIdx.x == 0) {
    sums[u64(blockIdx.x) * 2] = low[0];
    sums[u64(blockIdx.x) * 2 + 1] = high[0];
  }
}
