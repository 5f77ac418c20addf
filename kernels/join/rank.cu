// rank: counts the rows of each slot, and numbers them.
//
// Algorithm: each block first counts the rows of up to 256 slots in shared memory, so that a
// frequent key costs one global atomic per block and not one per row; a row whose place in
// shared memory another slot holds counts on its own. Our own, after the privatised histograms
// of Podlozhnyuk, "Histogram calculation in CUDA", 2007.
//
// Buffers:  row_slot  u32[rows]  the rows' slots; NO_SLOT rows have no number
//           counts    u32[slots]  in: zeros; out: rows of each slot
//           row_rank  u32[rows]  out: the row's number among those of its slot, from 0 on
// Params:   rows
// Launch:   any number of blocks of 256 threads, which take rows 256 at a time.
// Result:   counts, row_rank.
// Determinism: the counts are; the numbers depend on the order of execution.
#include "windlass.cuh"

struct Params {
  u32 rows;
};

#define NO_SLOT 0xffffffffu

extern "C" __global__ void rank(const u32* row_slot, u32* counts, u32* row_rank, Params p) {
  W_SHARED(u32, owner, 256);
  W_SHARED(u32, tally, 256);
  W_SHARED(u32, base, 256);
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 first = u64(blockIdx.x) * 256u; first < p.rows; first += stride) {
    owner[threadIdx.x] = NO_SLOT;
    tally[threadIdx.x] = 0;
    W_SYNC();
    const u64 row = first + threadIdx.x;
    const u32 slot = row < p.rows ? row_slot[row] : NO_SLOT;
    const u32 place = slot & 255u;
    bool shared = false;
    u32 number = 0;
    if (slot != NO_SLOT) {
      const u32 held = atomicCAS(&owner[place], NO_SLOT, slot);
      shared = held == NO_SLOT || held == slot;
      number = shared ? atomicAdd(&tally[place], 1u) : atomicAdd(&counts[slot], 1u);
    }
    W_SYNC();
    if (tally[threadIdx.x] != 0) {
      base[threadIdx.x] = atomicAdd(&counts[owner[threadIdx.x]], tally[threadIdx.x]);
    }
    W_SYNC();
    if (slot != NO_SLOT) row_rank[row] = shared ? base[place] + number : number;
    W_SYNC();
  }
}
