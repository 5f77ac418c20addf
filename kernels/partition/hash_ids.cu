// hash_ids: the partition of each row, by its hash.
//
// Algorithm: the low word of the row's hash modulo the number of partitions; the low words of
// different rows are as good as independent (kernels/hash/hash_column.cu).
//
// Buffers:  hashes  u32[rows * 2]  row hashes, low word first
//           ids     u32[rows]      out: partitions
// Params:   rows, parts
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   ids.
// Determinism: the same bits on every backend and in any order of threads.
#include "windlass.cuh"

struct Params {
  u32 rows, parts;
};

extern "C" __global__ void hash_ids(const u32* hashes, u32* ids, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.rows; row += stride) {
    ids[row] = hashes[row * 2] % p.parts;
  }
}
