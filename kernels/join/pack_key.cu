// pack_key: writes one key column, in either storage, into the rows' packed keys.
//
// Algorithm: a packed key is key_words 32-bit words: first, where nulls are values like others,
// the null words (bit j is 1 where key j is null), then each key's words. Values are canonical
// (hash/value.cuh), so that equal keys have equal words and are compared as words. Our own.
//
// Buffers:  values  the column's values, in either storage
//           valid   its validity; not read where the column has none
//           keys    u32[rows * key_words]  out: this key's words, zeros for a null, and its null
//                                          bit
//           live    u32[rows]              out: 0 where a key is null and so the row matches
//                                          nothing; not touched if live_mode is 0
// Params:   rows, key_words, offset (of this key's words), nulls (1: null bits are kept),
//           null_word and null_bit (of this key), starts_word (this key is its null word's first,
//           so it stores the word that later keys or into), live_mode (1: store, 2: and), kind,
//           words, bit_offset, valid_mode, valid_offset (hash/value.cuh)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   keys and live, complete once every key column has been packed.
// Determinism: the same bits in any order of threads.
#include "windlass.cuh"
#include "hash/value.cuh"

struct Params {
  u32 rows, key_words, offset, nulls, null_word, null_bit, starts_word, live_mode;
  ColumnLayout column;
};

extern "C" __global__ void pack_key(const u32* values, const u32* valid, u32* keys, u32* live,
                                    Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.rows; row += stride) {
    const bool ok = is_valid(valid, p.column, row);
    u32* out = keys + row * p.key_words;
    if (p.nulls) {
      const u32 bit = ok ? 0u : 1u << p.null_bit;
      if (p.starts_word) {
        out[p.null_word] = bit;
      } else {
        out[p.null_word] |= bit;
      }
    }
    if (p.live_mode == 1) live[row] = ok ? 1u : 0u;
    if (p.live_mode == 2 && !ok) live[row] = 0;
    Value v = {{0, 0, 0, 0}};
    if (ok) v = value_at(values, p.column, row);
    W_UNROLL for (u32 k = 0; k < 4; ++k) {
      if (k < p.column.words) out[p.offset + k] = v.w[k];
    }
  }
}
