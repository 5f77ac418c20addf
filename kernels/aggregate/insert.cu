// insert: finds or claims a slot of the group table for the key of each selected row.
//
// Open addressing with linear probing over a power-of-two table at a load of at most one
// half. A slot is 0 (empty), g + 1 (group g, known from an earlier chunk), or CLAIMED | row
// (a new group, represented by that row of this chunk). A claim is one compare-exchange;
// what it is compared with, the packed keys of rows and of groups, was written by earlier
// launches, so relaxed atomics suffice and no thread waits for another.
//
// Buffers:  keys        u32[rows * key_words]    packed keys of this chunk
//           selected    u32[batch rows]          flag of each row; not read unless has_selected
//           group_keys  u32[groups * key_words]  packed keys of the known groups
//           slots       u32[mask + 1]            the table
//           row_group   u32[rows]                out: the row's group where it is known,
//                                                CLAIMED | slot where it is new in this chunk,
//                                                NO_GROUP if not selected
//           counters    u32[3]                   [1] counts claims, of all chunks so far; [2]
//                                                becomes 1 if the table was full
// Params:   rows, row_base, key_words, mask, has_selected
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Limits:   at most 2^30 slots, so that no CLAIMED | slot is NO_GROUP.
// Result:   row_group, and the claims in slots. Without a new claim row_group is complete, and
//           assign and resolve have nothing to do. Which row of equal keys claims, and so
//           which slot a key gets, depends on the order of execution.
#include "windlass.cuh"
#include "aggregate/key_hash.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 rows, row_base, key_words, mask, has_selected;
};

W_INLINE void insert_row(const u32* keys, const u32* selected, const u32* group_keys, u32* slots,
                         u32* row_group, u32* counters, const Params& p, u32 row) {
  if (p.has_selected && selected[u64(p.row_base) + row] == 0) {
    row_group[row] = NO_GROUP;
    return;
  }
  const u32* key = keys + u64(row) * p.key_words;
  u32 slot = hash_key(key, p.key_words) & p.mask;
  for (u64 probes = 0; probes <= p.mask; ++probes) {
    u32 held = W_LOAD(&slots[slot]);
    if (held == 0) {
      held = atomicCAS(&slots[slot], 0u, CLAIMED | row);
      if (held == 0) {
        atomicAdd(&counters[1], 1u);
        row_group[row] = CLAIMED | slot;
        return;
      }
    }
    const bool claimed = (held & CLAIMED) != 0;
    const u32* other = claimed ? keys + u64(held & ~CLAIMED) * p.key_words
                               : group_keys + u64(held - 1) * p.key_words;
    if (same_key(key, other, p.key_words)) {
      row_group[row] = claimed ? CLAIMED | slot : held - 1;
      return;
    }
    slot = (slot + 1) & p.mask;
  }
  row_group[row] = NO_GROUP;
  W_STORE(&counters[2], 1u);
}

extern "C" __global__ void insert(const u32* keys, const u32* selected, const u32* group_keys,
                                  u32* slots, u32* row_group, u32* counters, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    insert_row(keys, selected, group_keys, slots, row_group, counters, p, u32(row));
  }
}
