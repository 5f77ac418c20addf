// lengths: the length of each row's text, in bytes or in characters.
//
// Purpose:  SQL's octet_length and character_length, and the first pass of everything that
//           writes texts (gather, conversion, concat), whose scan gives the offsets.
// Algorithm: bytes are the difference of offsets or the view's first word. Characters of UTF-8
//           are its bytes other than 10xxxxxx (RFC 3629, section 3), counted four at a time with
//           one population count. A thread takes a row: texts of a column are short, and one
//           long text is read by one thread.
// Buffers:  heads, bytes, valid  the column (string/text.cuh); valid is not read unless nullable
//           indices    u32[n]: row numbers; not read unless indexed
//           out        u32[n]: lengths, 0 where null or where the row is not there
//           out_valid  u32[n]: 1 where not null; not written unless writes_valid
// Params:   n, form, limit, rows, nullable (string/text.cuh), indexed (0: row i is i), unit
//           (0 bytes, 1 characters), add (1: to the length that is there, and null where that is
//           null), writes_valid, clears (1: a null in either leaves a length of 0)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   out and out_valid. Sums are modulo 2^32.
// Determinism: the same words in any order of threads.
#include "windlass.cuh"
#include "string/text.cuh"

struct Params {
  u32 n;
  TextLayout column;
  u32 indexed, unit, add, writes_valid, clears;
};

extern "C" __global__ void lengths(const u32* heads, const u32* bytes, const u32* valid,
                                   const u32* indices, u32* out, u32* out_valid, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = u64(blockIdx.x) * 256u + threadIdx.x; i < p.n; i += stride) {
    const u64 row = p.indexed ? u64(indices[i]) : i;
    bool live = text_valid(valid, p.column, row);
    u32 length = 0;
    if (live) {
      const Text t = text_at(heads, bytes, p.column, row);
      length = t.len;
      if (p.unit == 1) {
        length = 0;
        for (u32 k = 0; k < t.len; k += 4) length += characters_in(text_word(t, k));
        // The last word's bytes past the text are zeros, which count.
        length -= (4 - (t.len & 3u)) & 3u;
      }
    }
    if (p.add) {
      length += out[i];
      if (p.writes_valid) live = live && out_valid[i] != 0;
    }
    out[i] = p.clears && !live ? 0 : length;
    if (p.writes_valid) out_valid[i] = live ? 1u : 0u;
  }
}
