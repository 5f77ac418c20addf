// pick: one row of each row's window frame.
//
// Purpose:   FIRST_VALUE, LAST_VALUE, NTH_VALUE, LAG and LEAD: the number of the row to gather.
// Algorithm: counted from the frame's first row, or from its last.
// Buffers:   low, high  u32[n]: the first row of the frame and the first after it
//            picked     u32[n]: the row, 0xffffffff where the frame has not so many
// Params:    n
//            k          how many rows come between the frame's bound and the row
//            from_last  1 to count from the last row
// Launch:    blocks of 256 threads that stride over the rows.
// Result:    picked.
// Determinism: the same bits in any order of blocks.
#include "windlass.cuh"

struct Params {
  u32 n, k, from_last;
};

extern "C" __global__ void pick(const u32* low, const u32* high, u32* picked, Params p) {
  for (u32 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += gridDim.x * 256u) {
    const u32 from = low[i], to = high[i];
    const u32 row = p.from_last != 0 ? to - 1u - p.k : from + p.k;
    picked[i] = p.k < to - from ? row : 0xffffffffu;
  }
}
