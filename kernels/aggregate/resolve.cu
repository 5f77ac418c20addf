// resolve: gives the rows of new groups their group numbers.
//
// Buffers:  slots      u32[mask + 1]  the table, every slot 0 or g + 1
//           row_group  u32[rows]      in: as assign left it; out: the row's group, NO_GROUP if
//                                     not selected
// Params:   rows
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   row_group. Deterministic, given its input.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 rows;
};

extern "C" __global__ void resolve(const u32* slots, u32* row_group, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    const u32 held = row_group[row];
    if (held != NO_GROUP && (held & CLAIMED) != 0) row_group[row] = slots[held & ~CLAIMED] - 1;
  }
}
