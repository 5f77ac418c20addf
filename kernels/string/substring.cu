// substring: where a range of each row's characters lies.
//
// Purpose:  the first pass of SQL's substring; copy_bytes is the second.
// Algorithm: a thread takes a row and walks its text's characters (RFC 3629) from the start to
//           the end of the range, four bytes at a time as long as all their characters are
//           passed over.
// Buffers:  heads, bytes, valid  the column (string/text.cuh); valid is not read unless nullable
//           skips    u32[n]: bytes of the text before the range
//           lengths  u32[n]: bytes of the range; 0 where null
// Params:   n, form, limit, rows, nullable (string/text.cuh), skip (characters before the
//           range), take (characters of the range)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   skips and lengths.
// Determinism: the same words in any order of threads.
#include "windlass.cuh"
#include "string/text.cuh"

struct Params {
  u32 n;
  TextLayout column;
  u32 skip, take;
};

// The byte that `characters` characters after byte `at` begin with, or the text's length.
W_INLINE u32 pass_over(const Text& t, u32 at, u32 characters) {
  // A character that begins in a word may go on after it: the bytes that continue it are passed
  // over below.
  while (t.len - at >= 4) {
    const u32 begun = characters_in(text_word(t, at));
    if (begun > characters) break;
    characters -= begun;
    at += 4;
  }
  for (; at < t.len; ++at) {
    if (continues(text_byte(t, at))) continue;
    if (characters == 0) break;
    --characters;
  }
  return at;
}

extern "C" __global__ void substring(const u32* heads, const u32* bytes, const u32* valid,
                                     u32* skips, u32* lengths, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.n; row += stride) {
    u32 skip = 0, length = 0;
    if (text_valid(valid, p.column, row)) {
      const Text t = text_at(heads, bytes, p.column, row);
      skip = pass_over(t, 0, p.skip);
      length = pass_over(t, skip, p.take) - skip;
    }
    skips[row] = skip;
    lengths[row] = length;
  }
}
