// insert: gives each build row the slot of its key.
//
// Algorithm: open addressing with linear probing over a power-of-two table at a load of at most
// one half. A slot is 0 (empty) or r + 1, where row r is the first that claimed it; the packed
// keys, written by earlier launches, are compared exactly. A claim is one compare-exchange, so
// relaxed atomics suffice and no thread waits for another (Alcantara et al., "Real-Time Parallel
// Hashing on the GPU", 2009; Juenger et al., "WarpCore", 2020).
//
// Buffers:  keys      u32[rows * key_words]  packed keys
//           live      u32[rows]              0 where the row matches nothing; not read unless
//                                            has_live
//           slots     u32[mask + 1]          in: zeros; out: the table
//           row_slot  u32[rows]              out: the slot of the row's key, NO_SLOT if not live
// Params:   rows, key_words, mask, has_live
// Launch:   any number of blocks of 256 threads; rows are strided over all threads. The table
//           has at least twice as many slots as rows.
// Result:   slots, row_slot.
// Determinism: which row of equal keys claims, and which slot a key gets, depends on the order
// of execution.
#include "windlass.cuh"
#include "aggregate/key_hash.cuh"

struct Params {
  u32 rows, key_words, mask, has_live;
};

#define NO_SLOT 0xffffffffu

extern "C" __global__ void insert(const u32* keys, const u32* live, u32* slots, u32* row_slot,
                                  Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.rows; row += stride) {
    if (p.has_live && live[row] == 0) {
      row_slot[row] = NO_SLOT;
      continue;
    }
    const u32* key = keys + row * p.key_words;
    u32 slot = hash_key(key, p.key_words) & p.mask;
    for (;;) {
      u32 held = W_LOAD(&slots[slot]);
      if (held == 0) held = atomicCAS(&slots[slot], 0u, u32(row) + 1);
      if (held == 0 || same_key(key, keys + u64(held - 1) * p.key_words, p.key_words)) break;
      slot = (slot + 1) & p.mask;
    }
    row_slot[row] = slot;
  }
}
