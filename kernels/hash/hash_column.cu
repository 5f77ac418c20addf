// hash_column: folds one column into the rows' 64-bit hashes.
//
// Algorithm: MurmurHash64B, the 64-bit MurmurHash2 for 32-bit machines (Austin Appleby,
// SMHasher's MurmurHash2.cpp, public domain), of a value's canonical little-endian bytes, with
// the hash of the columns before it as the seed. Its state is two 32-bit lanes. A null is hashed
// as zero bytes long. For values of up to 64 bits and one seed it is a bijection.
//
// Buffers:  values  the column's values, in either storage
//           valid   its validity; not read where the column has none
//           hashes  u32[rows * 2]  the rows' hashes, low word first; in unless first, and out
// Params:   rows, first (1: the seed is `seed`), seed (low word; the high one is 0), kind, words,
//           bit_offset, valid_mode, valid_offset (hash/value.cuh)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   hashes.
// Determinism: the same bits on every backend and in any order of threads.
#include "windlass.cuh"
#include "hash/value.cuh"

struct Params {
  u32 rows, first, seed;
  ColumnLayout column;
};

#define M 0x5bd1e995u

W_INLINE u32 feed(u32 lane, u32 word) {
  word *= M;
  word ^= word >> 24;
  return (lane * M) ^ (word * M);
}

extern "C" __global__ void hash_column(const u32* values, const u32* valid, u32* hashes,
                                       Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.rows; row += stride) {
    u32 h1 = p.seed, h2 = 0;
    if (!p.first) {
      h1 = hashes[row * 2];
      h2 = hashes[row * 2 + 1];
    }
    if (is_valid(valid, p.column, row)) {
      const Value v = value_at(values, p.column, row);
      h1 = feed(h1 ^ (p.column.words * 4u), v.w[0]);
      if (p.column.words >= 2) h2 = feed(h2, v.w[1]);
      if (p.column.words == 4) {
        h1 = feed(h1, v.w[2]);
        h2 = feed(h2, v.w[3]);
      }
    }
    h1 = (h1 ^ (h2 >> 18)) * M;
    h2 = (h2 ^ (h1 >> 22)) * M;
    h1 = (h1 ^ (h2 >> 17)) * M;
    h2 = (h2 ^ (h1 >> 19)) * M;
    hashes[row * 2] = h2;
    hashes[row * 2 + 1] = h1;
  }
}
