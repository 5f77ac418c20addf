// min_max_merge: keeps, for each group, the larger of two codes of several units.
//
// Buffers:  chunk  u64[groups * phases]  codes of one chunk, most significant unit first
//           state  u64[groups * phases]  codes so far; out: the larger
// Params:   groups, phases
// Launch:   one thread a group, 256 to a block.
// Result:   state. Deterministic.
#include "windlass.cuh"

struct Params {
  u32 groups, phases;
};

extern "C" __global__ void min_max_merge(const u64* chunk, u64* state, Params p) {
  const u32 group = blockIdx.x * 256u + threadIdx.x;
  if (group >= p.groups) return;
  const u64 at = u64(group) * p.phases;
  u32 first = 0;
  while (first < p.phases && chunk[at + first] == state[at + first]) ++first;
  if (first == p.phases || chunk[at + first] < state[at + first]) return;
  for (u32 k = first; k < p.phases; ++k) state[at + k] = chunk[at + k];
}
