// order_key: writes one sort key, in either storage, into the rows' ordered keys.
//
// Algorithm: an ordered key is key_words 32-bit words, compared as unsigned numbers from the
// first to the last. Where a key may be null its first word is a rank: 1 for a value, the null's
// below or above. The value's words follow, the most significant first: signed integers with the
// sign turned over, floats by IEEE 754 totalOrder (Herf, "Radix Tricks", 2001), and all bits
// turned over for a descending key.
//
// Buffers:  values  the column's values, in either storage
//           valid   its validity; not read where the column has none
//           keys    u32[rows * key_words]  out: this key's words, zeros behind a null's rank
// Params:   rows, key_words, offset (of this key's words), ranked (1: a rank comes first),
//           null_rank (0 or 2), descending, number (0 unsigned, 1 signed, 2 float), kind, words,
//           bit_offset, valid_mode, valid_offset (hash/value.cuh; floats as plain words)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   keys, complete once every key column has been written.
// Determinism: the same bits in any order of threads.
#include "windlass.cuh"
#include "hash/value.cuh"

struct Params {
  u32 rows, key_words, offset, ranked, null_rank, descending, number;
  ColumnLayout column;
};

extern "C" __global__ void order_key(const u32* values, const u32* valid, u32* keys, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  const u32 words = p.column.words;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.rows; row += stride) {
    const bool ok = is_valid(valid, p.column, row);
    u32* out = keys + row * p.key_words + p.offset;
    if (p.ranked) *out++ = ok ? 1u : p.null_rank;
    Value v = {{0, 0, 0, 0}};
    if (ok) v = value_at(values, p.column, row);
    const u32 top = v.w[words - 1];
    const bool negative = (top >> 31) != 0;
    u32 turn_all = p.number == 2 && negative ? 0xffffffffu : 0u;
    u32 turn_top = p.number == 1 || (p.number == 2 && !negative) ? 0x80000000u : 0u;
    if (p.descending) turn_all = ~turn_all;
    if (!ok) {
      turn_all = 0;
      turn_top = 0;
    }
    for (u32 k = 0; k < words; ++k) {
      out[k] = v.w[words - 1 - k] ^ turn_all ^ (k == 0 ? turn_top : 0u);
    }
  }
}
