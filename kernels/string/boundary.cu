// boundary: where the text of a sorted row differs from that of the row before.
//
// Purpose:  numbers of texts in their order (a scan of the flags), by which other keys, groups
//           and joins can stand beside texts.
// Algorithm: a thread takes a place in the order and compares two texts, first by their lengths,
//           then four bytes at a time, the first four of a view from the view itself.
// Buffers:  heads, bytes, valid  the column (string/text.cuh); valid is not read unless nullable
//           order  u32[n]: row numbers
//           out    u32[n]: 1 where the row differs from the one before it, 0 for the first
// Params:   n, form, limit, rows, nullable (string/text.cuh)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   out. Null equals null.
// Determinism: the same words in any order of threads.
#include "windlass.cuh"
#include "string/text.cuh"

struct Params {
  u32 n;
  TextLayout column;
};

extern "C" __global__ void boundary(const u32* heads, const u32* bytes, const u32* valid,
                                    const u32* order, u32* out, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = u64(blockIdx.x) * 256u + threadIdx.x; i < p.n; i += stride) {
    const u32 row = order[i], before = order[i == 0 ? 0 : i - 1];
    const bool live = text_valid(valid, p.column, row);
    bool differs = live != text_valid(valid, p.column, before);
    if (live && !differs) {
      const Text a = text_at(heads, bytes, p.column, before);
      const Text b = text_at(heads, bytes, p.column, row);
      const u32 first = text_first(heads, p.column, before, a);
      differs = a.len != b.len || first != text_first(heads, p.column, row, b);
      for (u32 k = 4; k < a.len && !differs; k += 4) differs = text_word(a, k) != text_word(b, k);
    }
    out[i] = differs ? 1u : 0u;
  }
}
