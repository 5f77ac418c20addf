// gather: brings rows of one column together, in the layout that kernels write.
//
// Algorithm: gather (He et al., "Efficient Gather and Scatter Operations on Graphics
// Processors", SC 2007): a thread reads the number of its row, then the row's value and
// validity, and writes both at its own place, so that writes are contiguous and only reads are
// not. Without row numbers it moves the rows of a range and changes their layout.
//
// Purpose:  gather, concat, slice and widen.
// Buffers:  values    the column: Value[rows], or for a form other than 0 Arrow's bits, bytes
//                     or 16-bit integers; not read with form 6
//           valid     bits or u32[rows], as valid_mode says; not read with 0
//           indices   u32[n]: row numbers; not read unless indexed
//           out       Value[at + n], written from `at` on
//           out_valid u32[at + n], written from `at` on if writes_valid: 1 where not null
// Params:   n, rows (of the column), form (0 values of WORDS words, 1 bits, 2 u8, 3 i8, 4 u16,
//           5 i16, 6 none: the value is 1), bit (of row 0 with form 1), valid_mode (0 all
//           valid, 1 bits, 2 words), valid_bit (of row 0), indexed (0: row i is first + i),
//           first, at, writes_valid
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   out and out_valid. A row number that is not less than `rows` gives a null whose
//           value is 0. Determinism: the same bits in any order of threads.
//
// WORDS (32-bit words of a value: 1, 2 or 4) is defined before this text; layouts other than 0
// need 1.
#include "windlass.cuh"

struct Params {
  u32 n, rows, form, bit, valid_mode, valid_bit, indexed, first, at, writes_valid;
};

#if WORDS == 1
typedef u32 Value;
#else
struct alignas(WORDS * 4) Value {
  u32 words[WORDS];
};
#endif

W_INLINE u32 bit_of(const void* bits, u64 at) {
  return (u32(((const u8*)bits)[at >> 3]) >> u32(at & 7u)) & 1u;
}

W_INLINE Value value_of(const Value* values, u64 row, const Params& p) {
#if WORDS == 1
  switch (p.form) {
    case 1: return bit_of(values, p.bit + row);
    case 2: return ((const u8*)values)[row];
    case 3: return u32(i32(((const i8*)values)[row]));
    case 4: return ((const u16*)values)[row];
    case 5: return u32(i32(((const i16*)values)[row]));
    case 6: return 1u;
    default: break;
  }
#endif
  return values[row];
}

W_INLINE u32 valid_of(const u32* valid, u64 row, const Params& p) {
  if (p.valid_mode == 0) return 1u;
  return p.valid_mode == 1 ? bit_of(valid, p.valid_bit + row) : valid[row];
}

extern "C" __global__ void gather(const Value* values, const u32* valid, const u32* indices,
                                  Value* out, u32* out_valid, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    const u64 row = p.indexed ? u64(indices[i]) : p.first + i;
    const bool inside = row < p.rows;
    Value value = {};
    if (inside) value = value_of(values, row, p);
    out[p.at + i] = value;
    if (p.writes_valid) out_valid[p.at + i] = inside ? valid_of(valid, row, p) : 0u;
  }
}
