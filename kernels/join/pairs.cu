// pairs: writes the pairs of one piece.
//
// Algorithm: one thread for each pair finds its row by binary search in the scanned counts, so
// that a row with many pairs is shared out to many threads (load-balancing search; Baxter,
// Modern GPU, 2013). A block first finds the rows of its own pairs and searches among them.
//
// Buffers:  found    u32[batch rows]  where each row's build rows begin, NO_ROW without a match
//           offsets  u32[rows]        the exclusive scan of the piece's counts
//           order    u32[build rows]  build rows, those of one key side by side
//           probe    u32[pairs]       out: probe rows, ascending
//           build    u32[pairs]       out: build rows, NO_ROW for an outer row without a match
// Params:   first (row), rows, skip (pairs of the first row that earlier pieces had), pairs
// Launch:   one block of 256 threads for each 1,024 pairs.
// Result:   probe, build.
// Determinism: given its input.
#include "windlass.cuh"

struct Params {
  u32 first, rows, skip, pairs;
};

#define NO_ROW 0xffffffffu

// The last of rows low .. high - 1 whose offset is at most j; low's is.
W_INLINE u32 row_of(const u32* offsets, u32 low, u32 high, u32 j) {
  while (high - low > 1) {
    const u32 middle = low + (high - low) / 2;
    if (offsets[middle] <= j) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

extern "C" __global__ void pairs(const u32* found, const u32* offsets, const u32* order,
                                 u32* probe, u32* build, Params p) {
  W_SHARED(u32, ends, 2);
  const u32 base = blockIdx.x * 1024u;
  if (threadIdx.x < 2 && base < p.pairs) {
    const u32 last = p.pairs - base > 1024u ? base + 1023u : p.pairs - 1;
    ends[threadIdx.x] = row_of(offsets, 0, p.rows, threadIdx.x == 0 ? base : last);
  }
  W_SYNC();
  for (u32 k = 0; k < 4; ++k) {
    const u32 in_tile = k * 256u + threadIdx.x;
    if (base >= p.pairs || in_tile >= p.pairs - base) continue;
    const u32 j = base + in_tile;
    const u32 i = row_of(offsets, ends[0], ends[1] + 1, j);
    const u32 row = p.first + i;
    const u32 start = found[row];
    const u32 number = j - offsets[i] + (i == 0 ? p.skip : 0u);
    probe[j] = row;
    build[j] = start == NO_ROW ? NO_ROW : order[u64(start) + number];
  }
}
