// scatter: where the rows of a scatter come from, so that a gather can do the moving.
//
// Algorithm: the inverse of the given row numbers (gather and scatter: He et al., "Efficient
// Gather and Scatter Operations on Graphics Processors", SC 2007). Writing values to their
// places would touch a whole memory sector for each value of each column; inverted, one column
// of row numbers is written so, and the values are read instead. It also keeps the parts of a
// row together where two rows are sent to one place.
//
// Purpose:  scatter.
// Buffers:  indices u32[n]     the place of each row; 0xffffffff: nowhere
//           sources u32[rows]  the row that each place gets; 0xffffffff everywhere at first
// Params:   n, rows (places; a number that is not less goes nowhere)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   sources. Determinism: the same bits in any order where no place is named twice;
//           else any one of the rows sent there.
#include "windlass.cuh"

struct Params {
  u32 n, rows;
};

extern "C" __global__ void scatter(const u32* indices, u32* sources, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    const u32 place = indices[i];
    if (place < p.rows) W_STORE(&sources[place], u32(i));
  }
}
