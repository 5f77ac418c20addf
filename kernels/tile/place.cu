// place: copies a box of elements from one layout to another.
//
// Algorithm: a thread finds the position of its element along each axis by division, and with
// the strides of both sides where it lies and where it goes. Neighbouring threads write
// neighbouring elements where the last axis of the target is dense. With TILED the source is
// dense along the last axis but one instead: a block reads squares of 32 x 32 elements of
// these two axes along the one and writes them along the other, through shared memory
// (Ruetsch and Micikevicius, "Optimizing Matrix Transpose in CUDA", 2009). Columns of a square
// are exchanged by its rows' numbers, so that neither side meets a bank twice.
//
// Purpose:  tiles put together from parts of others: transposes, slices, halos, concatenation.
// Buffers:  src  Value[..]: read at src_offset + sum of index * src_stride along the axes
//           dst  Value[..]: written at dst_offset + sum of index * dst_stride
// Params:   n (elements: the product of the lengths; with TILED squares: the product of the
//           lengths of the last two axes in squares and of the others), rank (1 to 6; with
//           TILED 2 to 6), src_offset, dst_offset, lens[6], src_strides[6], dst_strides[6]: in
//           elements, modulo 2^32, so that they may be negative; what is past the rank is not
//           read
// Launch:   any number of blocks of 256 threads; elements are strided over all threads, with
//           TILED squares over blocks.
// Result:   dst. Determinism: the same bits in any order of threads, where no two elements go
//           to the same place.
//
// WORDS (32-bit words of an element: 1, 2 or 4) and TILED are defined before this text.
#include "windlass.cuh"

struct Params {
  u32 n, rank, src_offset, dst_offset;
  u32 lens[6], src_strides[6], dst_strides[6];
};

#if WORDS == 1
typedef u32 Value;
#else
struct alignas(WORDS * 4) Value {
  u32 words[WORDS];
};
#endif

// The parameters are looked up by numbers that are known when this is compiled: else every
// thread would have a copy of them in its own memory.
struct Axis {
  u32 len, src, dst;
};
W_INLINE Axis axis_of(const Params& p, u32 axis) {
  Axis found = {1u, 0u, 0u};
  W_UNROLL for (u32 k = 0; k < 6u; ++k) {
    if (k == axis) {
      found.len = p.lens[k];
      found.src = p.src_strides[k];
      found.dst = p.dst_strides[k];
    }
  }
  return found;
}

// Adds what the first `axes` axes contribute for the element of number `left` along them.
W_INLINE void locate(const Params& p, u32 axes, u32 left, u32& from, u32& to) {
  W_UNROLL for (u32 k = 6; k > 0; --k) {
    if (k <= axes) {
      const u32 at = left % p.lens[k - 1];
      left /= p.lens[k - 1];
      from += at * p.src_strides[k - 1];
      to += at * p.dst_strides[k - 1];
    }
  }
}

extern "C" __global__ void place(const Value* src, Value* dst, Params p) {
#if TILED == 0
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    u32 from = p.src_offset, to = p.dst_offset;
    locate(p, p.rank, u32(i), from, to);
    dst[to] = src[from];
  }
#else
  W_SHARED(Value, square, 1024);
  const Axis a = axis_of(p, p.rank - 2u), b = axis_of(p, p.rank - 1u);
  const u32 down = (a.len + 31u) / 32u, across = (b.len + 31u) / 32u;
  for (u64 t = blockIdx.x; t < p.n; t += gridDim.x) {
    const u32 first_b = u32(t) % across * 32u, row = u32(t) / across;
    const u32 first_a = row % down * 32u;
    u32 from = p.src_offset, to = p.dst_offset;
    locate(p, p.rank - 2u, row / down, from, to);
    for (u32 r = W_WARP_ID; r < 32u; r += 8u) {
      const u32 i = first_a + W_LANE, j = first_b + r;
      if (i < a.len && j < b.len) {
        square[r * 32u + (W_LANE ^ r)] = src[from + i * a.src + j * b.src];
      }
    }
    W_SYNC();
    for (u32 r = W_WARP_ID; r < 32u; r += 8u) {
      const u32 i = first_a + r, j = first_b + W_LANE;
      if (i < a.len && j < b.len) {
        dst[to + i * a.dst + j * b.dst] = square[W_LANE * 32u + (r ^ W_LANE)];
      }
    }
    W_SYNC();
  }
#endif
}
