// copy_bytes: writes the bytes of rows' texts one after the other, at given offsets.
//
// Purpose:  the second pass of gather, substring and conversion to offsets and bytes.
// Algorithm: gather by output: a thread takes 16 bytes of the output, finds the row that they
//           begin in by binary search of the offsets (as merge path divides work by output;
//           Green, McColl and Bader, ICS 2012), and copies from row to row until they are full.
//           So a long text is copied by many threads, and no two write the same word. The search
//           is shared by four words; a row that ends inside them costs a step to the next one, or
//           another search where empty rows follow.
// Buffers:  heads, bytes  the column (string/text.cuh)
//           indices  u32[n]: row numbers; not read unless indexed
//           skips    u32[n]: first byte of each row's text that is taken; not read unless skipping
//           offsets  u32[n + 1]: where the texts begin in out, the last where they end
//           out      bytes, of which the last word is filled with zeros
// Params:   n (at least 1), total (offsets[n], at least 1), form, limit, rows, nullable
//           (string/text.cuh), indexed (0: row i is i), skipping
// Launch:   any number of blocks of 256 threads; chunks of 16 bytes are strided over all threads.
// Result:   out[0 .. total]. Where a text is shorter than its place, zeros.
// Determinism: the same bytes in any order of threads.
#include "windlass.cuh"
#include "string/text.cuh"

struct Params {
  u32 n, total;
  TextLayout column;
  u32 indexed, skipping;
};

extern "C" __global__ void copy_bytes(const u32* heads, const u32* bytes, const u32* indices,
                                      const u32* skips, const u32* offsets, u32* out, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  const u64 chunks = (u64(p.total) + 15) / 16;
  for (u64 c = u64(blockIdx.x) * 256u + threadIdx.x; c < chunks; c += stride) {
    u32 at = u32(c * 16);
    u32 row = row_of(offsets, 0, p.n, at);
    Text t = text_at(heads, bytes, p.column, p.indexed ? indices[row] : row);
    u32 begin = offsets[row], end = offsets[row + 1];
    u32 skip = p.skipping ? skips[row] : 0;
    for (u32 k = 0; k < 4 && at < p.total; ++k) {
      u32 word = 0, filled = 0;
      while (filled < 4 && at < p.total) {
        if (at >= end) {
          ++row;
          if (row + 1 < p.n && offsets[row + 1] <= at) row = row_of(offsets, row, p.n, at);
          t = text_at(heads, bytes, p.column, p.indexed ? indices[row] : row);
          begin = offsets[row];
          end = offsets[row + 1];
          skip = p.skipping ? skips[row] : 0;
        }
        const u32 take = w_least(4 - filled, end - at);
        u32 piece = text_word(t, at - begin + skip);
        if (take < 4) piece &= (1u << (8 * take)) - 1;
        word |= piece << (8 * filled);
        filled += take;
        at += take;
      }
      out[c * 4 + k] = word;
    }
  }
}
