// pick_rows: the rows of the picked items, in order.
//
// Purpose:   the last step of picking candidates.
// Algorithm: the scatter of stream compaction (Blelloch, CMU-CS-90-190, 1990); an item is picked
//            by the same test as in pick_flags.
//
// Buffers:  keys    u32[n]
//           places  u32[n]           pick_flags' result after an exclusive scan
//           rows    u32[n]           the items' rows; not read unless named
//           out     u32[at + picked]
// Params:   n, shift, bound, equal (see pick_flags), named (0: item i is row i), at (of the first
//           picked row in out)
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   out[at .. at + picked]. Deterministic.
#include "windlass.cuh"

struct Params {
  u32 n, shift, bound, equal, named, at;
};

extern "C" __global__ void pick_rows(const u32* keys, const u32* places, const u32* rows, u32* out,
                                     Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    const u32 key = keys[i] >> p.shift;
    if (p.equal ? key == p.bound : key < p.bound) {
      out[p.at + places[i]] = p.named ? rows[i] : u32(i);
    }
  }
}
