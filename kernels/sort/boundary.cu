// boundary: where a key column differs from the row before.
//
// Purpose:   the bounds of groups and peers in sorted rows. Null equals null.
// Algorithm: a map over pairs of neighbours; one launch for each key column.
//
// Buffers:  values  the key column's values, any storage
//           valid   its validity; not read where nulls is 0
//           order   u32[n]  the rows in order; not read unless ordered
//           flags   u32[n]  out: 1 where item i differs from item i - 1, and for item 0
// Params:   n (items), ordered (0: item i is row i), store (1: write flags, 0: OR into them);
//           then the column, see key.cuh
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   flags, complete once every key column has been added. Deterministic.
#include "windlass.cuh"
#include "sort/key.cuh"

struct Params {
  u32 n, ordered, store;
  KeyColumn column;
};

W_INLINE bool differs(const u8* values, const u8* valid, const KeyColumn& c, u32 a, u32 b) {
  const u32 words = (c.bits + 31) / 32;
  for (u32 w = 0; w < words; ++w) {
    if (key_word(values, valid, c, a, w) != key_word(values, valid, c, b, w)) return true;
  }
  return key_is_null(valid, c, a) != key_is_null(valid, c, b);
}

extern "C" __global__ void boundary(const u8* values, const u8* valid, const u32* order,
                                    u32* flags, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    u32 flag = 1;
    if (i > 0) {
      const u32 a = p.ordered ? order[i - 1] : u32(i - 1);
      const u32 b = p.ordered ? order[i] : u32(i);
      flag = u32(differs(values, valid, p.column, a, b));
    }
    flags[i] = p.store ? flag : flags[i] | flag;
  }
}
