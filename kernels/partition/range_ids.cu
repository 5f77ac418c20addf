// range_ids: the partition of each row, by splitters.
//
// Algorithm: binary search for the number of splitters that are at most the row's key.
//
// Buffers:  keys       u32[rows * key_words]       ordered keys of the rows (order_key)
//           splitters  u32[splitters * key_words]  ordered keys, ascending
//           ids        u32[rows]                   out: partitions, 0 to the number of splitters
// Params:   rows, splitters (how many), key_words
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   ids.
// Determinism: the same bits in any order of threads.
#include "windlass.cuh"

struct Params {
  u32 rows, splitters, key_words;
};

// Whether key a is at most key b.
W_INLINE bool at_most(const u32* a, const u32* b, u32 words) {
  for (u32 k = 0; k < words; ++k) {
    if (a[k] != b[k]) return a[k] < b[k];
  }
  return true;
}

extern "C" __global__ void range_ids(const u32* keys, const u32* splitters, u32* ids, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.rows; row += stride) {
    u32 low = 0, high = p.splitters;
    while (low < high) {
      const u32 middle = low + (high - low) / 2;
      if (at_most(splitters + u64(middle) * p.key_words, keys + row * p.key_words, p.key_words)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    ids[row] = low;
  }
}
