// min_max_merge: keeps, for each group, the larger of two codes of several units.
//
// Buffers:  chunk  u64[groups * phases]  codes of one chunk, most significant unit first
//           state  u64[groups * phases]  codes so far; out: the larger
// Params:   groups, phases
// Launch:   any number of blocks of 256 threads; groups are strided over all threads.
// Result:   state. Deterministic.
#include "windlass.cuh"

struct Params {
  u32 groups, phases;
};

W_INLINE void merge_group(const u64* chunk, u64* state, const Params& p, u32 group) {
  const u64 at = u64(group) * p.phases;
  u32 first = 0;
  while (first < p.phases && chunk[at + first] == state[at + first]) ++first;
  if (first == p.phases || chunk[at + first] < state[at + first]) return;
  for (u32 k = first; k < p.phases; ++k) state[at + k] = chunk[at + k];
}

extern "C" __global__ void min_max_merge(const u64* chunk, u64* state, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 group = blockIdx.x * 256u + threadIdx.x; group < p.groups; group += stride) {
    merge_group(chunk, state, p, u32(group));
  }
}
