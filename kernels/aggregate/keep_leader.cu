// keep_leader: takes over the order key and the argument of a chunk's leading row where it comes
// before what a group has kept.
//
// Purpose:   first_value and last_value over several chunks and batches, whose rows are gone.
// Algorithm: a map over groups; rows of a later chunk come later among equals.
//
// Buffers:  keys    u32[batch rows * key_words]    packed order keys, least significant word first;
//                                                  not read where key_words is 0
//           values  u32[batch rows * value_words]  the argument
//           valid   u32[batch rows]                1 where not null; not read unless has_valid
//           leader  u32[groups]                    the row that leader.cu found, counted from
//                                                  row_base on, or NO_GROUP; out: NO_GROUP
//           state   u32[groups * (2 + key_words + value_words)]  for each group whether it has a
//                                                  row, whether its argument is not null, its key,
//                                                  its argument; zeros at first
// Params:   groups, row_base, key_words, value_words, has_valid, last (1: of equal rows the last,
//           0: the first)
// Launch:   any number of blocks of 256 threads; groups are strided over all threads.
// Result:   state. Deterministic.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 groups, row_base, key_words, value_words, has_valid, last;
};

// Whether a key comes before the one of a state, or where they are equal a later row counts.
W_INLINE bool replaces(const u32* key, const u32* kept, const Params& p) {
  for (u32 k = p.key_words; k > 0; --k) {
    if (key[k - 1] != kept[k - 1]) return key[k - 1] < kept[k - 1];
  }
  return p.last != 0;
}

extern "C" __global__ void keep_leader(const u32* keys, const u32* values, const u32* valid,
                                       u32* leader, u32* state, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 group = blockIdx.x * 256u + threadIdx.x; group < p.groups; group += stride) {
    if (leader[group] == NO_GROUP) continue;
    const u64 row = u64(p.row_base) + leader[group];
    leader[group] = NO_GROUP;
    const u32* key = keys + row * p.key_words;
    u32* at = state + group * (2 + p.key_words + p.value_words);
    if (at[0] != 0 && !replaces(key, at + 2, p)) continue;
    at[0] = 1;
    at[1] = p.has_valid == 0 || valid[row] != 0 ? 1 : 0;
    for (u32 k = 0; k < p.key_words; ++k) at[2 + k] = key[k];
    u32* value = at + 2 + p.key_words;
    for (u32 k = 0; k < p.value_words; ++k) value[k] = values[row * p.value_words + k];
  }
}
