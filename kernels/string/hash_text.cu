// hash_text: folds a column of texts into the rows' 64-bit hashes.
//
// Purpose:  hashes of texts that agree between their encodings: offsets and bytes, views, and
//           codes into either.
// Algorithm: MurmurHash64B, the 64-bit MurmurHash2 for 32-bit machines (Austin Appleby,
//           SMHasher's MurmurHash2.cpp, public domain), of the text's bytes, with the hash of the
//           columns before it as the seed, as hash/hash_column does for other values. A null is
//           hashed as zero bytes long. A thread takes a row.
// Buffers:  heads, bytes, valid  the column (string/text.cuh); valid is not read unless nullable
//           codes   u32[n]: the row of the column for each row; not read unless coded
//           live    u32[n]: 0 where a code is null; not read unless coded is 2
//           hashes  u32[n * 2]: the rows' hashes, low word first; in unless first, and out
// Params:   n, form, limit, rows, nullable (string/text.cuh), coded (0: row i is i; 1; 2: some
//           codes are null), first (1: the seed is `seed`), seed (low word; the high one is 0)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   hashes. A code that is not less than rows hashes as null.
// Determinism: the same bits on every backend and in any order of threads.
#include "windlass.cuh"
#include "string/text.cuh"

struct Params {
  u32 n;
  TextLayout column;
  u32 coded, first, seed;
};

#define M 0x5bd1e995u

W_INLINE u32 feed(u32 lane, u32 word) {
  word *= M;
  word ^= word >> 24;
  return (lane * M) ^ (word * M);
}

extern "C" __global__ void hash_text(const u32* heads, const u32* bytes, const u32* valid,
                                     const u32* codes, const u32* live, u32* hashes, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = u64(blockIdx.x) * 256u + threadIdx.x; i < p.n; i += stride) {
    u32 h1 = p.seed, h2 = 0;
    if (!p.first) {
      h1 = hashes[i * 2];
      h2 = hashes[i * 2 + 1];
    }
    const u64 row = p.coded ? u64(codes[i]) : i;
    if ((p.coded < 2 || live[i] != 0) && text_valid(valid, p.column, row)) {
      const Text t = text_at(heads, bytes, p.column, row);
      h1 ^= t.len;
      u32 at = 0;
      for (; t.len - at >= 8; at += 8) {
        h1 = feed(h1, text_word(t, at));
        h2 = feed(h2, text_word(t, at + 4));
      }
      if (t.len - at >= 4) {
        h1 = feed(h1, text_word(t, at));
        at += 4;
      }
      if (at < t.len) h2 = (h2 ^ text_word(t, at)) * M;
    }
    h1 = (h1 ^ (h2 >> 18)) * M;
    h2 = (h2 ^ (h1 >> 22)) * M;
    h1 = (h1 ^ (h2 >> 17)) * M;
    h2 = (h2 ^ (h1 >> 19)) * M;
    hashes[i * 2] = h2;
    hashes[i * 2 + 1] = h1;
  }
}
