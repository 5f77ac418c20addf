// merge_runs: merges neighbouring pairs of sorted runs.
//
// Purpose:   one round of a merge sort over runs that are sorted already; stable.
// Algorithm: merge path (Green, McColl and Bader, "GPU Merge Path", ICS 2012): a thread finds by
//            binary search how many of its outputs' predecessors come from either run, and then
//            merges 8 outputs one after the other. A last run without a partner is copied.
//
// Buffers:  keys    u32[rows * words]  packed keys, least significant word first
//           rows    u32[n]             the rows of the runs, one run after the other
//           bounds  u32[runs + 1]      where each run begins, and n
//           out     u32[n]             the rows of the merged runs
// Params:   n, runs, words
// Launch:   any number of blocks of 256 threads; pieces of 8 outputs are strided over all.
// Result:   all of out; where a run is not sorted, rows of its pair, which ones is not defined.
//           Deterministic.
#include "windlass.cuh"

struct Params {
  u32 n, runs, words;
};

#define ITEMS 8u

// Whether the key of row a is less than that of row b.
W_INLINE bool less(const u32* keys, u32 words, u32 a, u32 b) {
  for (u32 w = words; w-- > 0;) {
    const u32 x = keys[u64(a) * words + w];
    const u32 y = keys[u64(b) * words + w];
    if (x != y) return x < y;
  }
  return false;
}

// The pair of runs that output i lies in.
W_INLINE u32 pair_of(const u32* bounds, u32 runs, u32 i) {
  u32 low = 0, high = (runs + 1) / 2 - 1;
  while (low < high) {
    const u32 middle = (low + high + 1) / 2;
    if (bounds[2 * middle] <= i) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// Merges outputs i … end, which lie in one pair of runs a … b and b … c.
W_INLINE void merge_piece(const u32* keys, const u32* rows, u32* out, u32 words, u32 a, u32 b,
                          u32 c, u32 i, u32 end) {
  const u32 diagonal = i - a;
  u32 low = diagonal > c - b ? diagonal - (c - b) : 0;
  u32 high = diagonal < b - a ? diagonal : b - a;
  while (low < high) {
    const u32 middle = (low + high) / 2;
    if (less(keys, words, rows[b + diagonal - 1 - middle], rows[a + middle])) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  u32 x = a + low, y = b + diagonal - low;
  for (; i < end; ++i) {
    const bool second = x == b || (y < c && less(keys, words, rows[y], rows[x]));
    out[i] = rows[second ? y++ : x++];
  }
}

extern "C" __global__ void merge_runs(const u32* keys, const u32* rows, const u32* bounds, u32* out,
                                      Params p) {
  const u64 stride = u64(gridDim.x) * 256u * ITEMS;
  for (u64 at = u64(blockIdx.x * 256u + threadIdx.x) * ITEMS; at < p.n; at += stride) {
    u32 i = u32(at);
    const u32 last = p.n - i < ITEMS ? p.n : i + ITEMS;
    u32 pair = pair_of(bounds, p.runs, i);
    while (i < last) {
      const u32 a = bounds[2 * pair];
      const u32 b = bounds[2 * pair + 1];
      const u32 c = 2 * pair + 2 <= p.runs ? bounds[2 * pair + 2] : b;
      const u32 end = c < last ? c : last;
      if (i < end) merge_piece(keys, rows, out, p.words, a, b, c, i, end);
      i = i < end ? end : i;
      ++pair;
    }
  }
}
