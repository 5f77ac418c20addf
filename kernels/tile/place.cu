// place: copies a box of elements from one layout to another.
//
// Algorithm: a thread finds the position of its element along each axis by division, and with
// the strides of both sides where it lies and where it goes. Neighbouring threads write
// neighbouring elements where the last axis of the target is dense.
//
// Purpose:  tiles put together from parts of others: transposes, slices, halos, concatenation.
// Buffers:  src  Value[..]: read at src_offset + sum of index * src_stride along the axes
//           dst  Value[..]: written at dst_offset + sum of index * dst_stride
// Params:   n (elements: the product of the lengths), rank (1 to 6), src_offset, dst_offset,
//           lens[6], src_strides[6], dst_strides[6]: in elements, modulo 2^32, so that they
//           may be negative; what is past the rank is not read
// Launch:   any number of blocks of 256 threads; elements are strided over all threads.
// Result:   dst. Determinism: the same bits in any order of threads.
//
// WORDS (32-bit words of an element: 1, 2 or 4) is defined before this text.
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

extern "C" __global__ void place(const Value* src, Value* dst, Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    u32 left = u32(i), from = p.src_offset, to = p.dst_offset;
    for (u32 k = p.rank; k > 0; --k) {
      const u32 at = left % p.lens[k - 1];
      left /= p.lens[k - 1];
      from += at * p.src_strides[k - 1];
      to += at * p.dst_strides[k - 1];
    }
    dst[to] = src[from];
  }
}
