// run_rows: the selected rows by number, for a scan that finds the selected row before each row.
//
// Purpose:   group-by over sorted rows of which a filter drops some.
// Algorithm: a map; the exclusive maximum scan of the result names, for each row, the last
//            selected one before it.
//
// Buffers:  selected  u32[batch rows]  0 where a row is not selected
//           numbers   u32[rows]        out: the number of the row within the chunk, from 1 on; 0
//                                      where it is not selected
// Params:   rows (of the chunk), row_base (its first row in the batch)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   numbers. Deterministic.
#include "windlass.cuh"

struct Params {
  u32 rows, row_base;
};

extern "C" __global__ void run_rows(const u32* selected, u32* numbers, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    numbers[row] = selected[p.row_base + row] != 0 ? u32(row) + 1 : 0;
  }
}
