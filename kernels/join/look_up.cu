// look_up: finds the build rows of each probe row's key, and counts them.
//
// Algorithm: linear probing in the table that insert filled; keys are compared exactly.
//
// Buffers:  keys        u32[rows * key_words]        packed keys of the probe rows
//           live        u32[rows]                    0 where the row matches nothing; not read
//                                                    unless has_live
//           build_keys  u32[build rows * key_words]  packed keys of the build rows
//           slots       u32[mask + 1]                the table
//           starts      u32[mask + 2]                where a slot's build rows begin; not read if
//                                                    exists
//           found       u32[rows]                    out: starts of the row's slot, NO_ROW without
//                                                    a match; not written if exists
//           counts      u32[rows]                    out: pairs of the row; 0 or 1 if exists
//           marks       u32[build rows]              out, if mark: 1 for the first row of each key
//                                                    that is found
// Params:   rows, key_words, mask, has_live, exists, outer (1: a row without a match has one
//           pair), mark
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   found, counts, marks.
// Determinism: counts are; found and marks are given the table.
#include "windlass.cuh"
#include "aggregate/key_hash.cuh"

struct Params {
  u32 rows, key_words, mask, has_live, exists, outer, mark;
};

#define NO_ROW 0xffffffffu

extern "C" __global__ void look_up(const u32* keys, const u32* live, const u32* build_keys,
                                   const u32* slots, const u32* starts, u32* found, u32* counts,
                                   u32* marks, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.rows; row += stride) {
    u32 held = 0;
    u32 slot = 0;
    if (!p.has_live || live[row] != 0) {
      const u32* key = keys + row * p.key_words;
      slot = hash_key(key, p.key_words) & p.mask;
      for (;;) {
        held = slots[slot];
        if (held == 0) break;
        if (same_key(key, build_keys + u64(held - 1) * p.key_words, p.key_words)) break;
        slot = (slot + 1) & p.mask;
      }
    }
    if (held != 0 && p.mark && W_LOAD(&marks[held - 1]) == 0) W_STORE(&marks[held - 1], 1u);
    if (p.exists) {
      counts[row] = held != 0 ? 1u : 0u;
      continue;
    }
    u32 start = NO_ROW;
    u32 count = p.outer;
    if (held != 0) {
      start = starts[slot];
      count = starts[slot + 1] - start;
    }
    found[row] = start;
    counts[row] = count;
  }
}
