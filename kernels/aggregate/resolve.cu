// resolve: turns the rows' slots into group numbers and stores the keys of new groups.
//
// Buffers:  keys        u32[rows * key_words]    packed keys of this chunk
//           slots       u32[mask + 1]            the table, every slot 0 or g + 1
//           row_group   u32[rows]                in: row_slot as assign left it; out: the
//                                                row's group, NO_GROUP if not selected
//           group_keys  u32[groups * key_words]  out: keys of the groups new in this chunk
// Params:   rows, key_words
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   row_group and group_keys. Deterministic, given its input.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 rows, key_words;
};

W_INLINE void resolve_row(const u32* keys, const u32* slots, u32* row_group, u32* group_keys,
                          const Params& p, u32 row) {
  const u32 held = row_group[row];
  if (held == NO_GROUP) return;
  if ((held & CLAIMED) == 0) {
    row_group[row] = slots[held] - 1;
    return;
  }
  const u32 group = held & ~CLAIMED;
  for (u32 k = 0; k < p.key_words; ++k) {
    group_keys[u64(group) * p.key_words + k] = keys[u64(row) * p.key_words + k];
  }
  row_group[row] = group;
}

extern "C" __global__ void resolve(const u32* keys, const u32* slots, u32* row_group,
                                   u32* group_keys, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    resolve_row(keys, slots, row_group, group_keys, p, u32(row));
  }
}
