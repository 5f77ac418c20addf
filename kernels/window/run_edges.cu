// run_edges: what running maxima and minima turn into the first row of each row's run, and the
// first row after it.
//
// Purpose:   partitions and peers of window functions, of which only the first rows are marked.
// Algorithm: the row's number where a run starts, to be spread by a running maximum; the numbers
//            of the rows after runs' ends in reverse order, to be spread by a running minimum.
// Buffers:   starts  u32[n]: not 0 in the first row of a run; row 0 always starts one
//            first   u32[n]: the row's number where it starts a run, else 0
//            after   u32[n]: at n - 1 - row, the next row's number where that starts a run (or
//                    there is none), else 0xffffffff
// Params:    n
// Launch:    blocks of 256 threads that stride over the rows.
// Result:    first and after.
// Determinism: the same bits in any order of blocks.
#include "windlass.cuh"

struct Params {
  u32 n;
};

extern "C" __global__ void run_edges(const u32* starts, u32* first, u32* after, Params p) {
  for (u32 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += gridDim.x * 256u) {
    first[i] = starts[i] != 0 ? i : 0u;
    const bool ends = i + 1u == p.n || starts[i + 1u] != 0;
    after[p.n - 1u - i] = ends ? i + 1u : 0xffffffffu;
  }
}
