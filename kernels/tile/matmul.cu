// matmul: products of matrices, C = A B or C = D + A B, one or a batch of them.
//
// Algorithm: a block makes a tile of 64 x 64 results, 4 x 4 of them a thread, in steps of 16
// along the axis that is summed: both operands' parts of a step lie in shared memory, and those
// of the next step are read into registers meanwhile (Volkov and Demmel, "Benchmarking GPUs to
// Tune Dense Linear Algebra", 2008; the tiles of CUTLASS' smallest SIMT kernels). What is past
// an edge is 0.
//
// Purpose:  products of tiles in any layout, transposed operands too.
// Buffers:  lhs   T[..]: A, at lhs_offset + batch * lhs_batch + row * lhs_row + column * lhs_column
//           rhs   T[..]: B, likewise
//           more  T[batch * m * n]: D, whose last axis is dense; not read unless plus
//           out   T[batch * m * n]: C, likewise
// Params:   m, n, k, batch (C is batch times m x n, A m x k, B k x n), plus, lhs_offset, lhs_row,
//           lhs_column, lhs_batch, rhs_offset, rhs_row, rhs_column, rhs_batch: in elements,
//           modulo 2^32, so that they may be negative
// Launch:   any number of blocks of 256 threads; tiles of results are strided over blocks.
// Result:   out; integers wrap. Determinism: the same bits in any order of threads: products are
//           added in the order of k, each by a fused multiply-add.
//
// KIND is defined before this text: 0 u32, 2 u64, 4 f32, 5 f64.
#include "windlass.cuh"

struct Params {
  u32 m, n, k, batch, plus;
  u32 lhs_offset, lhs_row, lhs_column, lhs_batch;
  u32 rhs_offset, rhs_row, rhs_column, rhs_batch;
};

#define SIDE 64u
#define STEP 16u
// Elements from a row of shared memory to the next: columns that are written side by side meet
// other banks, and four neighbours are read at once.
#define PITCH 68u

#if KIND == 0
typedef u32 T;
#elif KIND == 2
typedef u64 T;
#elif KIND == 4
typedef f32 T;
#else
typedef f64 T;
#endif

W_INLINE T multiply_add(T a, T b, T c) {
#if KIND == 4
  return fmaf(a, b, c);
#elif KIND == 5
  return fma(a, b, c);
#else
  return a * b + c;
#endif
}

// An operand as rows of what is summed along: element (i, s) of it lies at first + i * side +
// s * sum. `rows` of the first and `k` of the second axis are there.
struct Operand {
  u32 first, side, sum, rows, k;
};

// The elements of a thread in a part of 64 x 16: neighbours in memory by neighbouring threads.
W_INLINE void element_of(const Operand& o, u32 q, u32& i, u32& s) {
  const u32 e = q * 256u + threadIdx.x;
  if (o.sum == 1u) {
    i = e / STEP;
    s = e % STEP;
  } else {
    i = e % SIDE;
    s = e / SIDE;
  }
}

W_INLINE void read_part(const T* from, const Operand& o, u32 i0, u32 s0, T (&part)[4]) {
  W_UNROLL for (u32 q = 0; q < 4u; ++q) {
    u32 i, s;
    element_of(o, q, i, s);
    const bool there = i0 + i < o.rows && s0 + s < o.k;
    part[q] = there ? from[o.first + (i0 + i) * o.side + (s0 + s) * o.sum] : T(0);
  }
}

W_INLINE void keep_part(T* shared, const Operand& o, const T (&part)[4]) {
  W_UNROLL for (u32 q = 0; q < 4u; ++q) {
    u32 i, s;
    element_of(o, q, i, s);
    shared[s * PITCH + i] = part[q];
  }
}

extern "C" __global__ void matmul(const T* lhs, const T* rhs, const T* more, T* out, Params p) {
  W_SHARED(T, left, STEP * PITCH);
  W_SHARED(T, right, STEP * PITCH);
  const u32 down = (p.m + SIDE - 1u) / SIDE, across = (p.n + SIDE - 1u) / SIDE;
  const u64 tiles = u64(p.batch) * down * across;
  const u32 x = threadIdx.x % 16u * 4u, y = threadIdx.x / 16u * 4u;
  for (u64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const u32 column = u32(tile % across) * SIDE, rest = u32(tile / across);
    const u32 row = rest % down * SIDE, b = rest / down;
    const Operand l = {p.lhs_offset + b * p.lhs_batch, p.lhs_row, p.lhs_column, p.m, p.k};
    const Operand r = {p.rhs_offset + b * p.rhs_batch, p.rhs_column, p.rhs_row, p.n, p.k};
    T sums[4][4] = {};
    T next_left[4], next_right[4];
    read_part(lhs, l, row, 0, next_left);
    read_part(rhs, r, column, 0, next_right);
    for (u32 s0 = 0; s0 < p.k; s0 += STEP) {
      keep_part(left, l, next_left);
      keep_part(right, r, next_right);
      W_SYNC();
      read_part(lhs, l, row, s0 + STEP, next_left);
      read_part(rhs, r, column, s0 + STEP, next_right);
      W_UNROLL for (u32 s = 0; s < STEP; ++s) {
        T a[4], c[4];
        W_UNROLL for (u32 q = 0; q < 4u; ++q) {
          a[q] = left[s * PITCH + y + q];
          c[q] = right[s * PITCH + x + q];
        }
        W_UNROLL for (u32 i = 0; i < 4u; ++i) {
          W_UNROLL for (u32 j = 0; j < 4u; ++j) sums[i][j] = multiply_add(a[i], c[j], sums[i][j]);
        }
      }
      W_SYNC();
    }
    W_UNROLL for (u32 i = 0; i < 4u; ++i) {
      W_UNROLL for (u32 j = 0; j < 4u; ++j) {
        if (row + y + i < p.m && column + x + j < p.n) {
          const u64 to = (u64(b) * p.m + row + y + i) * p.n + column + x + j;
          out[to] = p.plus ? more[to] + sums[i][j] : sums[i][j];
        }
      }
    }
  }
}
