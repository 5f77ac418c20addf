// clip: the pair counts of the rows of one piece, ready to be scanned.
//
// Algorithm: a copy; a piece may begin within the pairs of its first row.
//
// Buffers:  counts   u32[batch rows]  pairs of each row
//           offsets  u32[rows]        out: the piece's counts
// Params:   first (row), rows, skip (pairs of the first row that earlier pieces had)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   offsets.
// Determinism: the same bits in any order of threads.
#include "windlass.cuh"

struct Params {
  u32 first, rows, skip;
};

extern "C" __global__ void clip(const u32* counts, u32* offsets, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = u64(blockIdx.x) * 256u + threadIdx.x; i < p.rows; i += stride) {
    offsets[i] = counts[p.first + i] - (i == 0 ? p.skip : 0u);
  }
}
