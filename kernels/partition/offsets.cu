// offsets: where each partition begins among the rows in the order of their partitions.
//
// Algorithm: binary search, one thread for each partition, so that a partition with most of the
// rows costs no more than an empty one.
//
// Buffers:  ids      u32[rows]       partitions by row
//           order    u32[rows]       row numbers in the order of their partitions
//           starts   u32[parts + 1]  out: rows before each partition, and all rows
// Params:   rows, parts
// Launch:   any number of blocks of 256 threads; partitions are strided over all threads.
// Result:   starts.
// Determinism: the same bits in any order of threads.
#include "windlass.cuh"

struct Params {
  u32 rows, parts;
};

extern "C" __global__ void offsets(const u32* ids, const u32* order, u32* starts, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 part = u64(blockIdx.x) * 256u + threadIdx.x; part <= p.parts; part += stride) {
    u32 low = 0, high = p.rows;
    while (low < high) {
      const u32 middle = low + (high - low) / 2;
      if (ids[order[middle]] < part) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    starts[part] = low;
  }
}
