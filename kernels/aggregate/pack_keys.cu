// pack_keys: writes one key column into the rows' packed keys.
//
// A packed key is key_words 32-bit words: first the null words (bit j of the nullable keys'
// bitmap is 1 where nullable key j is null), then the words of each key, least significant
// first. Nulls have zero words. Floats are made canonical, so that equal keys have equal
// words: every NaN becomes the quiet NaN, -0.0 becomes 0.0.
//
// Buffers:  values  u32[batch rows * value_words]  the key column, wide storage
//           valid   u32[batch rows]                1 where not null; not read unless has_valid
//           keys    u32[rows * key_words]          out: this key's words, and its null bit
// Params:   rows (of this chunk), row_base (its first row in the batch), key_words, offset (of
//           this key's words), value_words, kind (0 integer, 1 f32, 2 f64), has_valid, nullable,
//           null_word and null_bit (of this key), starts_word (this key is its null word's
//           first, so it stores the word where later keys or into it)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   keys, complete once every key column has been packed.
// Deterministic.
#include "windlass.cuh"

struct Params {
  u32 rows, row_base, key_words, offset, value_words, kind;
  u32 has_valid, nullable, null_word, null_bit, starts_word;
};

W_INLINE void pack_row(const u32* values, const u32* valid, u32* keys, const Params& p, u32 row) {
  const u64 source = u64(p.row_base) + row;
  const bool is_null = p.has_valid && valid[source] == 0;
  u32* out = keys + u64(row) * p.key_words;
  if (p.nullable) {
    const u32 bit = is_null ? 1u << p.null_bit : 0u;
    if (p.starts_word) {
      out[p.null_word] = bit;
    } else {
      out[p.null_word] |= bit;
    }
  }
  if (p.kind == 2) {
    u32 lo = 0, hi = 0;
    if (!is_null) {
      lo = values[source * 2];
      hi = values[source * 2 + 1];
      const u32 magnitude = hi & 0x7fffffffu;
      if (magnitude > 0x7ff00000u || (magnitude == 0x7ff00000u && lo != 0)) {
        lo = 0;
        hi = 0x7ff80000u;
      } else if (magnitude == 0 && lo == 0) {
        hi = 0;
      }
    }
    out[p.offset] = lo;
    out[p.offset + 1] = hi;
    return;
  }
  for (u32 k = 0; k < p.value_words; ++k) {
    u32 word = is_null ? 0u : values[source * p.value_words + k];
    if (p.kind == 1) {
      const u32 magnitude = word & 0x7fffffffu;
      if (magnitude > 0x7f800000u) {
        word = 0x7fc00000u;
      } else if (magnitude == 0) {
        word = 0;
      }
    }
    out[p.offset + k] = word;
  }
}

extern "C" __global__ void pack_keys(const u32* values, const u32* valid, u32* keys, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    pack_row(values, valid, keys, p, u32(row));
  }
}
