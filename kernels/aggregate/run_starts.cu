// run_starts: the selected rows that begin a group, of rows whose equal keys are adjacent.
//
// Purpose:   group-by over sorted rows: groups are runs, so no table is needed.
// Algorithm: a map over pairs of neighbours; the first selected row of a chunk is compared with
//            the last group so far, which it may continue.
//
// Buffers:  keys        u32[rows * key_words]    packed keys of this chunk
//           selected    u32[batch rows]          0 where a row is not selected; not read unless
//                                                has_selected
//           before      u32[rows]                number, from 1 on, of the selected row before
//                                                each row; 0: none. Not read unless has_selected:
//                                                it is the row before then
//           group_keys  u32[groups * key_words]  packed keys of the groups so far
//           starts      u32[rows]                out: 1 where a selected row begins a group
// Params:   rows, row_base, key_words, groups, has_selected
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   starts. Deterministic.
#include "windlass.cuh"
#include "aggregate/key_hash.cuh"

struct Params {
  u32 rows, row_base, key_words, groups, has_selected;
};

W_INLINE u32 starts_group(const u32* keys, const u32* selected, const u32* before,
                          const u32* group_keys, const Params& p, u32 row) {
  if (p.has_selected && selected[u64(p.row_base) + row] == 0) return 0;
  const u32 number = p.has_selected ? before[row] : row;
  if (number == 0 && p.groups == 0) return 1;
  const u32* other = number != 0 ? keys + u64(number - 1) * p.key_words
                                 : group_keys + u64(p.groups - 1) * p.key_words;
  return same_key(keys + u64(row) * p.key_words, other, p.key_words) ? 0 : 1;
}

extern "C" __global__ void run_starts(const u32* keys, const u32* selected, const u32* before,
                                      const u32* group_keys, u32* starts, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    starts[row] = starts_group(keys, selected, before, group_keys, p, u32(row));
  }
}
