// place: brings the build rows of each key together.
//
// Algorithm: the fill of count, scan, fill (a counting sort by slot; Knuth, The Art of Computer
// Programming 3, 5.2).
//
// Buffers:  row_slot  u32[rows]       the rows' slots; NO_SLOT rows have no place
//           row_rank  u32[rows]       the rows' numbers within their slots
//           starts    u32[slots + 1]  the scan of the slots' counts
//           order     u32[live rows]  out: row numbers, those of one slot side by side
// Params:   rows
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   order.
// Determinism: given its input.
#include "windlass.cuh"

struct Params {
  u32 rows;
};

extern "C" __global__ void place(const u32* row_slot, const u32* row_rank, const u32* starts,
                                 u32* order, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.rows; row += stride) {
    const u32 slot = row_slot[row];
    if (slot != 0xffffffffu) order[u64(starts[slot]) + row_rank[row]] = u32(row);
  }
}
