// claim_shift and set_shift: give each group without a shift the argument of its first row
// in the chunk, in two launches: the rows' smallest number is found by an atomic minimum,
// and the row that has it then stores its value.
//
// Buffers:  claim_shift: groups  u32[rows]        the rows' groups, see rows.cuh for modes
//                        valid   u32[batch rows]  1 where not null; not read unless has_valid
//                        first   u32[groups]      0xffffffff: no row yet; row + 1 of this
//                                                 chunk; 0: has its shift
//           set_shift:   groups, valid, first, and
//                        values  f64[batch rows]  the argument
//                        shift   f64[groups]      out: the shift
// Params:   rows, row_base, mode, has_valid
// Launch:   any number of blocks of 256 threads, rows are strided over all threads;
//           claim_shift, then set_shift.
// Result:   shift, and first = 0 for all groups with a row. Deterministic.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 rows, row_base, mode, has_valid;
};

W_INLINE u32 taker(const u32* groups, const u32* valid, u32 row, const Params& p) {
  if (p.has_valid && valid[u64(p.row_base) + row] == 0) return NO_GROUP;
  return group_of(groups, p.mode, row);
}

#if defined(SET)
W_INLINE void set_row(const u32* groups, const u32* valid, u32* first, const f64* values,
                      f64* shift, const Params& p, u32 row) {
  const u32 group = taker(groups, valid, row, p);
  if (group == NO_GROUP || W_LOAD(&first[group]) != row + 1) return;
  shift[group] = values[u64(p.row_base) + row];
  W_STORE(&first[group], 0u);
}

extern "C" __global__ void set_shift(const u32* groups, const u32* valid, u32* first,
                                     const f64* values, f64* shift, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    set_row(groups, valid, first, values, shift, p, u32(row));
  }
}
#else
W_INLINE void claim_row(const u32* groups, const u32* valid, u32* first, const Params& p, u32 row) {
  const u32 group = taker(groups, valid, row, p);
  if (group == NO_GROUP || W_LOAD(&first[group]) <= row + 1) return;
  atomicMin(&first[group], row + 1);
}

extern "C" __global__ void claim_shift(const u32* groups, const u32* valid, u32* first,
                                       Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = blockIdx.x * 256u + threadIdx.x; row < p.rows; row += stride) {
    claim_row(groups, valid, first, p, u32(row));
  }
}
#endif
