// pick_flags: which items have a key below, or equal to, a bound.
//
// Purpose:   the first step of picking candidates; their scan gives the places.
// Algorithm: a map.
//
// Buffers:  keys   u32[n]
//           flags  u32[n]  out: 1 where the item is picked, else 0
// Params:   n, shift (keys are shifted right by it first), bound, equal (1: equal to the bound,
//           0: below it)
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   all of flags. Deterministic.
#include "windlass.cuh"

struct Params {
  u32 n, shift, bound, equal;
};

extern "C" __global__ void pick_flags(const u32* keys, u32* flags, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    const u32 key = keys[i] >> p.shift;
    flags[i] = u32(p.equal ? key == p.bound : key < p.bound);
  }
}
