// compare: two columns of texts, row by row.
//
// Purpose:  equality and order of texts by their bytes, which for UTF-8 is the order of the
//           characters' numbers.
// Algorithm: equality by the lengths first, then as order: four bytes at a time up to the end of
//           the shorter text, zeros past its end, the first four of a view from the view itself;
//           the first words that differ decide as big-endian numbers, and if none do, the
//           lengths. A thread takes a row.
// Buffers:  heads, bytes  the left column (string/text.cuh)
//           valid         its validity; not read unless nullable
//           other_heads, other_bytes, other_valid  the right one
//           out           u32[n]: the result
//           out_valid     u32[n]: 1 where both are not null; not written unless writes_valid
// Params:   n, form, limit, rows, nullable (string/text.cuh), other_form, other_limit,
//           other_rows, other_nullable, wanted (bit 0: true for less, bit 1: for equal, bit 2:
//           for greater; 8: the order itself, -1, 0 or 1), writes_valid
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   out, 0 or 1 where wanted is not 8; out_valid.
// Determinism: the same words in any order of threads.
#include "windlass.cuh"
#include "string/text.cuh"

struct Params {
  u32 n;
  TextLayout column, other;
  u32 wanted, writes_valid;
};

#define WANTS_ORDER 8u
#define WANTS_EQUAL 2u
#define WANTS_DIFFERENT 5u

// 0 less, 1 equal, 2 greater; x and y are the texts' first words.
W_INLINE u32 order_of(const Text& a, const Text& b, u32 x, u32 y) {
  const u32 both = w_least(a.len, b.len);
  for (u32 i = 0; x == y && both - i > 4;) {
    i += 4;
    x = text_word(a, i);
    y = text_word(b, i);
  }
  if (x != y) return w_swap_bytes(x) < w_swap_bytes(y) ? 0 : 2;
  return a.len == b.len ? 1 : (a.len < b.len ? 0 : 2);
}

extern "C" __global__ void compare(const u32* heads, const u32* bytes, const u32* valid,
                                   const u32* other_heads, const u32* other_bytes,
                                   const u32* other_valid, u32* out, u32* out_valid, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.n; row += stride) {
    const bool live = text_valid(valid, p.column, row) && text_valid(other_valid, p.other, row);
    u32 order = 1;
    if (live) {
      const Text a = text_at(heads, bytes, p.column, row);
      const Text b = text_at(other_heads, other_bytes, p.other, row);
      const bool by_length = p.wanted == WANTS_EQUAL || p.wanted == WANTS_DIFFERENT;
      const u32 x = text_first(heads, p.column, row, a);
      const u32 y = text_first(other_heads, p.other, row, b);
      order = by_length && a.len != b.len ? 0 : order_of(a, b, x, y);
    }
    out[row] = p.wanted == WANTS_ORDER ? order - 1 : (p.wanted >> order) & 1u;
    if (p.writes_valid) out_valid[row] = live ? 1u : 0u;
  }
}
