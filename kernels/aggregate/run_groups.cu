// run_groups: numbers the groups of sorted rows in their order, and stores the keys of new ones.
//
// Purpose:   group-by over sorted rows: groups are runs, so no table is needed.
// Algorithm: a map over the scan of the rows that begin a group: the sum up to a row is the
//            number of its group. The row that begins a group stores its key.
//
// Buffers:  keys        u32[rows * key_words]    packed keys of this chunk
//           selected    u32[batch rows]          0 where a row is not selected; not read unless
//                                                has_selected
//           sums        u32[rows + 1]            how many rows before each row begin a group, and
//                                                in all
//           row_group   u32[rows]                out: the row's group; NO_GROUP if not selected
//           group_keys  u32[groups * key_words]  packed keys of the groups; out: of the new ones
// Params:   rows, row_base, key_words, groups (so far), has_selected
// Limits:   fewer than 2^32 - 1 groups.
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   row_group and group_keys. Deterministic.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 rows, row_base, key_words, groups, has_selected;
};

W_INLINE void number_row(const u32* keys, const u32* selected, const u32* sums, u32* row_group,
                         u32* group_keys, const Params& p, u32 row) {
  if (p.has_selected && selected[u64(p.row_base) + row] == 0) {
    row_group[row] = NO_GROUP;
    return;
  }
  const u32 group = p.groups + sums[row + 1] - 1;
  row_group[row] = group;
  if (sums[row + 1] == sums[row]) return;
  for (u32 k = 0; k < p.key_words; ++k) {
    group_keys[u64(group) * p.key_words + k] = keys[u64(row) * p.key_words + k];
  }
}

extern "C" __global__ void run_groups(const u32* keys, const u32* selected, const u32* sums,
                                      u32* row_group, u32* group_keys, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    number_row(keys, selected, sums, row_group, group_keys, p, u32(row));
  }
}
