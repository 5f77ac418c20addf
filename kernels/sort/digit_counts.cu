// digit_counts: how often each digit occurs in each tile of keys.
//
// Purpose:   the first of the three steps of a radix sort's pass.
// Algorithm: least significant digit first, by reduce, scan and scatter (Merrill and Grimshaw,
//            "Revisiting Sorting for GPGPU Stream Architectures", 2010). A block counts its
//            tile in shared memory. Digits have 8 bits; the WGSL form has 4.
//
// Buffers:  keys    u32[n]
//           counts  u32[256 * tiles]  out: of digit d in tile t at d * tiles + t
// Params:   n, tiles, shift (of the digit in a key)
// Launch:   one block of 256 threads for each tile of 4096 keys.
// Result:   all of counts. Deterministic.
#include "windlass.cuh"

struct Params {
  u32 n, tiles, shift;
};

#define TILE 4096u

extern "C" __global__ void digit_counts(const u32* keys, u32* counts, Params p) {
  W_SHARED(u32, local, 256);
  local[threadIdx.x] = 0;
  W_SYNC();
  const u64 base = u64(blockIdx.x) * TILE;
  for (u32 k = threadIdx.x; k < TILE; k += 256u) {
    if (base + k < p.n) atomicAdd(&local[(keys[base + k] >> p.shift) & 255u], 1u);
  }
  W_SYNC();
  counts[u64(threadIdx.x) * p.tiles + blockIdx.x] = local[threadIdx.x];
}
