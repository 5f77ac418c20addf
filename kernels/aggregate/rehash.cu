// rehash: fills an empty, larger group table with the groups known so far.
//
// Buffers:  group_keys  u32[groups * key_words]  packed keys of the groups, all different
//           slots       u32[mask + 1]            in: zeros; out: g + 1 in each group's slot
// Params:   groups, key_words, mask
// Launch:   any number of blocks of 256 threads; groups are strided over all threads. The
//           table has more slots than groups.
// Result:   slots. Which slot a key gets depends on the order of execution.
#include "windlass.cuh"
#include "aggregate/key_hash.cuh"

struct Params {
  u32 groups, key_words, mask;
};

W_INLINE void rehash_group(const u32* group_keys, u32* slots, const Params& p, u32 group) {
  u32 slot = hash_key(group_keys + u64(group) * p.key_words, p.key_words) & p.mask;
  while (W_LOAD(&slots[slot]) != 0 || atomicCAS(&slots[slot], 0u, group + 1) != 0) {
    slot = (slot + 1) & p.mask;
  }
}

extern "C" __global__ void rehash(const u32* group_keys, u32* slots, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 group = blockIdx.x * 256u + threadIdx.x; group < p.groups; group += stride) {
    rehash_group(group_keys, slots, p, u32(group));
  }
}
