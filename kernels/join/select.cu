// select: the numbers of the rows whose flag is the wanted one.
//
// Algorithm: compaction by flags, scan and scatter (Blelloch, "Prefix Sums and Their
// Applications", 1990): flag_wanted, the library's exclusive scan, write_wanted.
//
// Buffers:  flag_wanted:  flags u32[n], 0 or not; places u32[n] out: 1 where wanted, else 0
//           write_wanted: flags; places u32[n], scanned; rows u32[wanted] out: row numbers
// Params:   n, wanted (1: flags that are not 0, 0: flags that are)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   places; rows, ascending.
// Determinism: the same bits in any order of threads.
#include "windlass.cuh"

struct Params {
  u32 n, wanted;
};

extern "C" __global__ void flag_wanted(const u32* flags, u32* places, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = u64(blockIdx.x) * 256u + threadIdx.x; i < p.n; i += stride) {
    places[i] = (flags[i] != 0) == (p.wanted != 0) ? 1u : 0u;
  }
}

extern "C" __global__ void write_wanted(const u32* flags, const u32* places, u32* rows, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = u64(blockIdx.x) * 256u + threadIdx.x; i < p.n; i += stride) {
    if ((flags[i] != 0) == (p.wanted != 0)) rows[places[i]] = u32(i);
  }
}
