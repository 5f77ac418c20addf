// exclusive_scan: prefix sums of u32 counts, in place, modulo 2^32.
//
// Reduce-then-scan in three launches (Blelloch, "Prefix Sums and Their Applications",
// CMU-CS-90-190, 1990; the form of Merrill and Grimshaw, 2010): the first sums each tile,
// the sums are scanned by the same operation, the last scans each tile from its carry. A
// length of one tile takes the last launch alone. No block waits for another.
//
// Buffers:  reduce: data u32[first + n] read, sums u32[tiles] written
//           scan:   data u32[first + n] in place, carries u32[tiles]: the scanned sums
// Params:   n       elements
//           first   index of the first one in data
//           carried 1 where carries are read, 0 for a single tile
//           total   index in data that gets the sum of all, or 0xffffffff
// Launch:   one block of 256 threads for each tile of 2048 elements; reduce for each but the
//           last, whose sum no tile needs, so that its tiles are whole.
// Result:   data[first .. first + n]; data[total]. The same bits in any order of blocks.
#include "windlass.cuh"

struct Params {
  u32 n, first, carried, total;
};

#define ITEMS 8u
#define TILE 2048u

// Sum of `v` over the threads before this one in the block, and over all of them.
W_INLINE u32 block_exclusive(u32 v, u32* warps, u32* all) {
  u32 inclusive = v;
  for (u32 d = 1; d < 32; d *= 2) {
    const u32 up = W_SHFL_UP(inclusive, d);
    if (W_LANE >= d) inclusive += up;
  }
  if (W_LANE == 31) warps[W_WARP_ID] = inclusive;
  W_SYNC();
  u32 before = 0, sum = 0;
  for (u32 w = 0; w < 8; ++w) {
    const u32 s = warps[w];
    if (w < W_WARP_ID) before += s;
    sum += s;
  }
  *all = sum;
  return before + inclusive - v;
}

extern "C" __global__ void reduce(const u32* data, u32* sums, Params p) {
  W_SHARED(u32, warps, 8);
  const u32 base = blockIdx.x * TILE;
  u32 sum = 0;
  for (u32 k = 0; k < ITEMS; ++k) {
    sum += data[p.first + base + k * 256u + threadIdx.x];
  }
  u32 all;
  block_exclusive(sum, warps, &all);
  if (threadIdx.x == 0) sums[blockIdx.x] = all;
}

extern "C" __global__ void scan(u32* data, const u32* carries, Params p) {
  W_SHARED(u32, warps, 8);
  const u32 base = blockIdx.x * TILE + threadIdx.x * ITEMS;
  u32 v[ITEMS];
  u32 sum = 0;
  for (u32 k = 0; k < ITEMS; ++k) {
    v[k] = base + k < p.n ? data[p.first + base + k] : 0;
    sum += v[k];
  }
  u32 all;
  u32 at = block_exclusive(sum, warps, &all);
  if (p.carried != 0) {
    at += carries[blockIdx.x];
    all += carries[blockIdx.x];
  }
  for (u32 k = 0; k < ITEMS; ++k) {
    if (base + k < p.n) data[p.first + base + k] = at;
    at += v[k];
  }
  if (threadIdx.x == 0 && p.total != 0xffffffffu && blockIdx.x == (p.n - 1) / TILE) {
    data[p.total] = all;
  }
}
