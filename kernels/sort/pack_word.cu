// pack_word: writes some bits of a key column's normalised words into the rows' packed words.
//
// Purpose:   packed keys hold the bits that vary, of all keys, side by side; one launch adds the
//            bits that one word of one key gives to one packed word.
// Algorithm: a map over rows, or a gather where the rows come in another order.
//
// Buffers:  values  the key column's values, any storage
//           valid   its validity; not read where nulls is 0
//           order   u32[n]  the rows in order; not read unless ordered
//           out     u32[(n - 1) * stride + at + 1]  the packed words of item i at i * stride + at
// Params:   n (items), ordered (0: item i is row i), word (of the key, see key.cuh), shift (of
//           the bits in that word), mask (of the bits, once shifted), place (their shift in the
//           packed word), store (1: write the packed word, 0: OR into it), stride, at; then the
//           column, see key.cuh
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   out, complete once every part of the packed word has been added. Deterministic.
#include "windlass.cuh"
#include "sort/key.cuh"

struct Params {
  u32 n, ordered, word, shift, mask, place, store, stride, at;
  KeyColumn column;
};

extern "C" __global__ void pack_word(const u8* values, const u8* valid, const u32* order, u32* out,
                                     Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    const u32 row = p.ordered ? order[i] : u32(i);
    const u32 word = key_word(values, valid, p.column, row, p.word);
    const u32 bits = ((word >> p.shift) & p.mask) << p.place;
    const u64 at = i * p.stride + p.at;
    out[at] = p.store ? bits : out[at] | bits;
  }
}
