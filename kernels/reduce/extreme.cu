// extreme: the least or the greatest of a column's values, and the first row that has it.
//
// Algorithm: as sum, on pairs of an order-preserving code and a row. The code of a value is an
// unsigned number with the order of the values: signed integers have their sign bit flipped;
// floats (IEEE 754 totalOrder) have it flipped, or all bits where it is set; a minimum is the
// largest complement. The greater code wins, of equal ones the earlier row.
//
// Purpose:  min, max and their rows.
// Buffers:  values   u32[n * WORDS], least significant word first
//           valid    u32[n]: 1 where not null; not read unless has_valid
//           selected u32[n]: not 0 where the row counts; not read unless has_selected
//           best     u32[blocks * 5]: the code's four words, least significant first, and the
//                    row; 0xffffffff: the block has no row that counts
// Params:   n, order (0 unsigned, 1 signed, 2 float), is_min, has_valid, has_selected, blocks
// Launch:   blocks blocks of 256 threads, any number; rows are strided over all threads.
// Result:   best. Determinism: the same bits in any order of threads.
//
// WORDS (32-bit words of a value: 1, 2 or 4) is defined before this text.
#include "windlass.cuh"

struct Params {
  u32 n, order, is_min, has_valid, has_selected, blocks;
};

#define NONE 0xffffffffu

// A code of up to 128 bits in two halves. One of 32 or 64 bits has no high half.
struct Code {
  u64 low, high;
};

W_INLINE Code code_of(const u32* values, u64 row, const Params& p) {
  const u32* at = values + row * WORDS;
  Code c = {at[0], 0u};
#if WORDS > 1
  c.low |= u64(at[1]) << 32;
#endif
#if WORDS == 4
  c.high = at[2] | u64(at[3]) << 32;
#endif
  const u64 all = WORDS == 1 ? u64(0xffffffffu) : ~u64(0);
  const u64 sign = WORDS == 1 ? u64(1) << 31 : u64(1) << 63;
  u64& top = WORDS == 4 ? c.high : c.low;
  if (p.order == 2 && (top & sign) != 0) {
    top = ~top & all;
  } else if (p.order != 0) {
    top ^= sign;
  }
  if (p.is_min) {
    c.low = ~c.low & all;
    if (WORDS == 4) c.high = ~c.high;
  }
  return c;
}

W_INLINE void take(Code& code, u32& row, Code c, u32 r) {
  if (r == NONE) return;
  const bool equal = c.high == code.high && c.low == code.low;
  const bool greater = c.high > code.high || (c.high == code.high && c.low > code.low);
  if (row == NONE || greater || (equal && r < row)) {
    code = c;
    row = r;
  }
}

extern "C" __global__ void extreme(const u32* values, const u32* valid, const u32* selected,
                                   u32* best, Params p) {
  W_SHARED(Code, warp_codes, 8);
  W_SHARED(u32, warp_rows, 8);
  Code code = {};
  u32 found = NONE;
  const u64 stride = u64(p.blocks) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.n; row += stride) {
    if (p.has_selected && selected[row] == 0) continue;
    if (p.has_valid && valid[row] == 0) continue;
    take(code, found, code_of(values, row, p), u32(row));
  }
  for (u32 d = 16; d > 0; d /= 2) {
    const Code other = W_SHFL_DOWN(code, d);
    const u32 row = W_SHFL_DOWN(found, d);
    if (W_LANE + d < 32u) take(code, found, other, row);
  }
  if (W_LANE == 0) {
    warp_codes[W_WARP_ID] = code;
    warp_rows[W_WARP_ID] = found;
  }
  W_SYNC();
  if (threadIdx.x != 0) return;
  for (u32 w = 1; w < 8; ++w) take(code, found, warp_codes[w], warp_rows[w]);
  u32* out = best + blockIdx.x * 5u;
  out[0] = u32(code.low);
  out[1] = u32(code.low >> 32);
  out[2] = u32(code.high);
  out[3] = u32(code.high >> 32);
  out[4] = found;
}
