// leader: finds, for each group, the row of a chunk that comes first in an order.
//
// Purpose:   first_value and last_value: the argument of one row of each group.
// Algorithm: a group's leader is a row number, exchanged for that of a row which comes before
//            it: one compare-exchange, tried again while the row held comes later. No thread
//            waits for another, since every exchange that fails is another row's success, and
//            what is compared, the packed keys, was written by earlier launches. A thread first
//            finds the leader of a run of rows of one group by itself, and looks before it
//            exchanges, so that few rows of a group queue at it.
//
// Buffers:  groups  u32[rows]                    the rows' groups, see rows.cuh for modes
//           taken   u32[batch rows]              1 where a row counts; not read unless has_taken
//           keys    u32[batch rows * key_words]  packed order keys, least significant word first;
//                                                not read where key_words is 0
//           leader  u32[groups]                  in: NO_GROUP, or a row; out: the row, counted
//                                                from row_base on, or NO_GROUP as it was
// Params:   rows, row_base, mode, has_taken, key_words, last (1: of equal rows the last, 0: the
//           first)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   leader. Deterministic: no two rows of a group are equal in keys and number.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 rows, row_base, mode, has_taken, key_words, last;
};

// Whether row a comes before row b.
W_INLINE bool comes_before(const u32* keys, const Params& p, u32 a, u32 b) {
  const u64 at_a = (u64(p.row_base) + a) * p.key_words;
  const u64 at_b = (u64(p.row_base) + b) * p.key_words;
  for (u32 k = p.key_words; k > 0; --k) {
    const u32 x = keys[at_a + k - 1], y = keys[at_b + k - 1];
    if (x != y) return x < y;
  }
  return p.last ? a > b : a < b;
}

W_INLINE void offer(const u32* keys, u32* leader, const Params& p, u32 group, u32 row) {
  u32 held = W_LOAD(&leader[group]);
  while (held == NO_GROUP || comes_before(keys, p, row, held)) {
    const u32 before = atomicCAS(&leader[group], held, row);
    if (before == held) return;
    held = before;
  }
}

extern "C" __global__ void leader(const u32* groups, const u32* taken, const u32* keys, u32* leader,
                                  Params p) {
  u32 run = NO_GROUP;
  u32 best = 0;
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.rows; i += stride) {
    const u32 row = u32(i);
    const u32 group = group_of(groups, p.mode, row);
    if (group == NO_GROUP) continue;
    if (p.has_taken && taken[u64(p.row_base) + row] == 0) continue;
    if (group != run) {
      if (run != NO_GROUP) offer(keys, leader, p, run, best);
      run = group;
      best = row;
    } else if (comes_before(keys, p, row, best)) {
      best = row;
    }
  }
  if (run != NO_GROUP) offer(keys, leader, p, run, best);
}
