// dst[i] = src[i] * a + b for n words; 64 threads a block.
#include "windlass.cuh"

struct Params {
  u32 n, a, b;
};

extern "C" __global__ void axpb(const u32* src, u32* dst, Params p) {
  u32 i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < p.n) dst[i] = src[i] * p.a + p.b;
}
