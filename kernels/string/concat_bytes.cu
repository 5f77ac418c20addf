// concat_bytes: writes the texts of two columns, row by row one behind the other.
//
// Purpose:  the second pass of SQL's concatenation; more columns are concatenated in pairs.
// Algorithm: as copy_bytes: a thread takes 16 bytes of the output, finds their row by binary
//           search of the offsets, and copies from text to text until they are full, so that the
//           work is divided by output bytes and no two threads write the same word.
// Buffers:  heads, bytes, valid  the first column (string/text.cuh); valid is not read unless
//           nullable; its text is left out where it is null
//           other_heads, other_bytes  the second column
//           offsets  u32[n + 1]: where the rows begin in out, the last where they end
//           out      bytes, of which the last word is filled with zeros
// Params:   n (at least 1), total (offsets[n], at least 1), form, limit, rows, nullable
//           (string/text.cuh), other_form, other_limit, other_rows, other_nullable (not read)
// Launch:   any number of blocks of 256 threads; chunks of 16 bytes are strided over all threads.
// Result:   out[0 .. total].
// Determinism: the same bytes in any order of threads.
#include "windlass.cuh"
#include "string/text.cuh"

struct Params {
  u32 n, total;
  TextLayout column, other;
};

extern "C" __global__ void concat_bytes(const u32* heads, const u32* bytes, const u32* valid,
                                        const u32* other_heads, const u32* other_bytes,
                                        const u32* offsets, u32* out, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  const u64 chunks = (u64(p.total) + 15) / 16;
  for (u64 c = u64(blockIdx.x) * 256u + threadIdx.x; c < chunks; c += stride) {
    u32 at = u32(c * 16);
    u32 row = row_of(offsets, 0, p.n, at);
    Text a = text_at(heads, bytes, p.column, row);
    Text b = text_at(other_heads, other_bytes, p.other, row);
    if (!text_valid(valid, p.column, row)) a.len = 0;
    u32 begin = offsets[row], end = offsets[row + 1];
    for (u32 k = 0; k < 4 && at < p.total; ++k) {
      u32 word = 0, filled = 0;
      while (filled < 4 && at < p.total) {
        if (at >= end) {
          ++row;
          if (row + 1 < p.n && offsets[row + 1] <= at) row = row_of(offsets, row, p.n, at);
          a = text_at(heads, bytes, p.column, row);
          b = text_at(other_heads, other_bytes, p.other, row);
          if (!text_valid(valid, p.column, row)) a.len = 0;
          begin = offsets[row];
          end = offsets[row + 1];
        }
        const u32 inside = at - begin;
        u32 take = w_least(4 - filled, end - at);
        u32 piece;
        if (inside < a.len) {
          take = w_least(take, a.len - inside);
          piece = text_word(a, inside);
        } else {
          piece = text_word(b, inside - a.len);
        }
        if (take < 4) piece &= (1u << (8 * take)) - 1;
        word |= piece << (8 * filled);
        filled += take;
        at += take;
      }
      out[c * 4 + k] = word;
    }
  }
}
