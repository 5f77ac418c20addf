// pick_valid: one row of each row's window frame, among those that are not null.
//
// Purpose:   FIRST_VALUE, LAST_VALUE, NTH_VALUE, LAG and LEAD with IGNORE NULLS: the number of the
//            row to gather.
// Algorithm: the running count of rows that are not null tells which of them, counted from the
//            first row of all, is wanted; binary search for the row where the count gets there
//            (Jacobson, "Space-efficient static trees and graphs", 1989: select by rank).
// Buffers:   low, high  u32[n]: the first row of the frame and the first after it
//            upto       u32[n]: rows that are not null up to each row, its own included
//            picked     u32[n]: the row, 0xffffffff where the frame has not so many
// Params:    n
//            k          how many such rows come between the frame's bound and the row
//            from_last  1 to count from the last row
// Launch:    blocks of 256 threads that stride over the rows.
// Result:    picked.
// Determinism: the same bits in any order of blocks.
#include "windlass.cuh"

struct Params {
  u32 n, k, from_last;
};

extern "C" __global__ void pick_valid(const u32* low, const u32* high, const u32* upto,
                                      u32* picked, Params p) {
  for (u32 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += gridDim.x * 256u) {
    u32 from = low[i], to = high[i];
    const u32 before = from == 0u ? 0u : upto[from - 1u];
    const u32 until = to == 0u ? 0u : upto[to - 1u];
    u32 row = 0xffffffffu;
    if (to > from && p.k < until - before) {
      const u32 rank = p.from_last != 0u ? until - p.k : before + p.k + 1u;
      while (from < to) {
        const u32 middle = from + (to - from) / 2u;
        if (upto[middle] < rank) {
          from = middle + 1u;
        } else {
          to = middle;
        }
      }
      row = from;
    }
    picked[i] = row;
  }
}
