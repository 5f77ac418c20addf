// mark_rows: sets the flags of rows by number.
//
// Algorithm: a scatter of one value, so that rows named twice are no conflict.
//
// Buffers:  numbers  u32[n]     row numbers; those past `rows` are passed over
//           flags    u32[rows]  1 for each row named; the others keep theirs
// Params:   n, rows
// Launch:   any number of blocks of 256 threads; numbers are strided over all threads.
// Result:   flags.
// Determinism: the same bits in any order of threads.
#include "windlass.cuh"

struct Params {
  u32 n, rows;
};

extern "C" __global__ void mark_rows(const u32* numbers, u32* flags, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = u64(blockIdx.x) * 256u + threadIdx.x; i < p.n; i += stride) {
    const u32 row = numbers[i];
    if (row < p.rows) W_STORE(&flags[row], 1u);
  }
}
