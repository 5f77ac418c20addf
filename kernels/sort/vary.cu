// vary: which bits of a key column's normalised words differ between rows.
//
// Purpose:   a bit that is the same in every row decides nothing: the sort leaves it out.
// Algorithm: each thread ORs the words of its rows, and their complements; a warp does by
//            shuffles, then one atomic a warp. A bit set in both results varies. The skipping
//            of constant digits is that of CUB's and Onesweep's histograms (Adinets and
//            Merrill, arXiv 2206.01784), taken to single bits.
//
// Buffers:  values  the key column's values, any storage
//           valid   its validity; not read where nulls is 0
//           masks   u32[base + 10], zeros at first; out: of word w the OR at base + 2 w and the
//                   OR of complements at base + 2 w + 1
// Params:   rows (more than 0), base, then the column, see key.cuh
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   masks. Determinism: the same bits in any order.
#include "windlass.cuh"
#include "sort/key.cuh"

struct Params {
  u32 rows, base;
  KeyColumn column;
};

W_INLINE void vary_word(const u8* values, const u8* valid, u32* masks, const Params& p, u32 w) {
  const u64 stride = u64(gridDim.x) * 256u;
  u32 ones = 0, zeros = 0;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    const u32 word = key_word(values, valid, p.column, u32(row), w);
    ones |= word;
    zeros |= ~word;
  }
  W_SYNCWARP();
  for (u32 d = 16; d > 0; d /= 2) {
    ones |= W_SHFL_XOR(ones, d);
    zeros |= W_SHFL_XOR(zeros, d);
  }
  if (W_LANE == 0) {
    u32* out = masks + p.base + 2 * w;
    if (ones) atomicOr(out, ones);
    if (zeros) atomicOr(out + 1, zeros);
  }
}

extern "C" __global__ void vary(const u8* values, const u8* valid, u32* masks, Params p) {
  const u32 words = (p.column.bits + 31) / 32;
  for (u32 w = 0; w < words; ++w) vary_word(values, valid, masks, p, w);
  if (p.column.nulls != NULLS_NONE) vary_word(values, valid, masks, p, NULL_WORD);
}
