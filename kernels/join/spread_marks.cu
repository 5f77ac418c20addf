// spread_marks: gives every build row the mark of its key's first row.
//
// Algorithm: a gather.
//
// Buffers:  marks     u32[rows]   marks of keys' first rows
//           slots     u32[slots]  the table: first row + 1
//           row_slot  u32[rows]   the rows' slots; NO_SLOT rows have no mark
//           out       u32[rows]   out: the rows' marks
// Params:   rows
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   out.
// Determinism: the same bits in any order of threads.
#include "windlass.cuh"

struct Params {
  u32 rows;
};

extern "C" __global__ void spread_marks(const u32* marks, const u32* slots, const u32* row_slot,
                                        u32* out, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.rows; row += stride) {
    const u32 slot = row_slot[row];
    out[row] = slot == 0xffffffffu ? 0u : marks[slots[slot] - 1];
  }
}
