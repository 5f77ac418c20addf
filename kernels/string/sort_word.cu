// sort_word: eight bytes of each row's text as a number that orders as they do.
//
// Purpose:  keys of a radix sort of texts: by the words of a text, the first as the highest, and
//           last by its length, which tells a shorter text from one that goes on with zeros.
// Algorithm: bytes 8 k to 8 k + 7 of the text, big-endian, zeros past its end. A thread takes a
//           row.
// Buffers:  heads, bytes, valid  the column (string/text.cuh); valid is not read unless nullable
//           order      u32[n]: row numbers; not read unless ordered
//           out        u32[n * 2]: the numbers, low word first
//           out_valid  u32[n]: 1 where not null; not written unless nullable
// Params:   n, form, limit, rows, nullable (string/text.cuh), ordered (0: row i is i), first (the
//           byte 8 k)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   out, 0 where null, and out_valid.
// Determinism: the same words in any order of threads.
#include "windlass.cuh"
#include "string/text.cuh"

struct Params {
  u32 n;
  TextLayout column;
  u32 ordered, first;
};

extern "C" __global__ void sort_word(const u32* heads, const u32* bytes, const u32* valid,
                                     const u32* order, u32* out, u32* out_valid, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = u64(blockIdx.x) * 256u + threadIdx.x; i < p.n; i += stride) {
    const u64 row = p.ordered ? u64(order[i]) : i;
    const bool live = text_valid(valid, p.column, row);
    u32 high = 0, low = 0;
    if (live) {
      const Text t = text_at(heads, bytes, p.column, row);
      if (p.first < t.len) {
        high = w_swap_bytes(text_word(t, p.first));
        if (t.len - p.first > 4) low = w_swap_bytes(text_word(t, p.first + 4));
      }
    }
    out[i * 2] = low;
    out[i * 2 + 1] = high;
    if (p.column.nullable) out_valid[i] = live ? 1u : 0u;
  }
}
