// assign: numbers the new groups that insert claimed, and stores their keys.
//
// The row that represents a new group takes the next number g, writes g + 1 into its slot and
// the group's key. Rows that look at the slot meanwhile see another row's claim or a group,
// and in both cases are not its representative.
//
// Buffers:  keys        u32[rows * key_words]    packed keys of this chunk
//           slots       u32[mask + 1]            claims become g + 1
//           row_group   u32[rows]                as insert left it; resolve completes it
//           group_keys  u32[groups * key_words]  out: keys of the new groups
//           counters    u32[3]                   [0] counts the groups
// Params:   rows, key_words
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   slots, group_keys and counters[0]. The order of the numbers depends on the order of
//           execution.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 rows, key_words;
};

W_INLINE void assign_row(const u32* keys, u32* slots, const u32* row_group, u32* group_keys,
                         u32* counters, const Params& p, u32 row) {
  const u32 held = row_group[row];
  if (held == NO_GROUP || (held & CLAIMED) == 0) return;
  const u32 slot = held & ~CLAIMED;
  if (W_LOAD(&slots[slot]) != (CLAIMED | row)) return;
  const u32 group = atomicAdd(&counters[0], 1u);
  W_STORE(&slots[slot], group + 1);
  for (u32 k = 0; k < p.key_words; ++k) {
    group_keys[u64(group) * p.key_words + k] = keys[u64(row) * p.key_words + k];
  }
}

extern "C" __global__ void assign(const u32* keys, u32* slots, const u32* row_group,
                                  u32* group_keys, u32* counters, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    assign_row(keys, slots, row_group, group_keys, counters, p, u32(row));
  }
}
