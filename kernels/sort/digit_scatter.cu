// digit_scatter: moves keys and their rows to the places that their digits give them.
//
// Purpose:   the last of the three steps of a radix sort's pass; stable.
// Algorithm: a warp takes 512 consecutive keys of its block's tile, 32 at a time. Lanes with
//            equal digits find each other by a match, the rank of a lane among them follows
//            from their mask, and the first of them adds their number to the warp's count
//            (Ashkiani et al., "GPU Multisplit", PPoPP 2016; Adinets and Merrill, "Onesweep",
//            arXiv 2206.01784). Counts of the warps before, and of smaller digits, make the rank
//            a place in the tile; the tile is put in that order in shared memory, so that
//            writes of equal digits are consecutive. Places in the result come from the scanned
//            counts of digit_counts; no block waits for another.
//
// Buffers:  keys      u32[n]
//           rows      u32[n]
//           offsets   u32[256 * tiles]  digit_counts' result after an exclusive scan
//           keys_out  u32[n]
//           rows_out  u32[n]
// Params:   n, tiles, shift (of the digit in a key)
// Launch:   one block of 256 threads for each tile of 4096 keys.
// Result:   all of keys_out and rows_out. Deterministic.
#include "windlass.cuh"

struct Params {
  u32 n, tiles, shift;
};

#define TILE 4096u
#define ITEMS 16u
#define WARPS 8u

extern "C" __global__ void __launch_bounds__(256)
    digit_scatter(const u32* keys, const u32* rows, const u32* offsets, u32* keys_out,
                  u32* rows_out, Params p) {
  W_SHARED(u32, warp_counts, 2048);
  W_SHARED(u32, staged, 4096);
  W_SHARED(u32, to, 256);
  W_SHARED(u32, sums, 8);
  const u32 tid = threadIdx.x;
  const u64 tile = u64(blockIdx.x) * TILE;
  const u32 count = u32(min(u64(p.n) - tile, u64(TILE)));
  u32* own = warp_counts + W_WARP_ID * 256u;

  for (u32 d = W_LANE; d < 256; d += 32) own[d] = 0;
  W_SYNCWARP();
  u32 key[ITEMS], rank[ITEMS];
  const u32 first = W_WARP_ID * (TILE / WARPS) + W_LANE;
  W_UNROLL for (u32 k = 0; k < ITEMS; ++k) {
    const u32 at = first + k * 32;
    // Keys past the end have the largest digit and come last, so they move no other.
    key[k] = at < count ? keys[tile + at] : 0xffffffffu;
  }
  W_UNROLL for (u32 k = 0; k < ITEMS; ++k) {
    const u32 digit = (key[k] >> p.shift) & 255u;
    const u32 pad = first + k * 32 < count ? 0u : 255u;
    const u32 equal = W_MATCH_ANY(digit | pad);
    const u32 before = W_POPC(equal & ((1u << W_LANE) - 1));
    const u32 counted = own[digit | pad];
    rank[k] = counted + before;
    W_SYNCWARP();
    if (before == 0) own[digit | pad] = counted + W_POPC(equal);
    W_SYNCWARP();
  }
  W_SYNC();

  // Thread d owns digit d: counts of the warps before each, and the digit's start in the tile.
  u32 total = 0;
  for (u32 w = 0; w < WARPS; ++w) {
    const u32 c = warp_counts[w * 256u + tid];
    warp_counts[w * 256u + tid] = total;
    total += c;
  }
  u32 inclusive = total;
  for (u32 d = 1; d < 32; d *= 2) {
    const u32 up = W_SHFL_UP(inclusive, d);
    if (W_LANE >= d) inclusive += up;
  }
  if (W_LANE == 31) sums[W_WARP_ID] = inclusive;
  W_SYNC();
  u32 start = inclusive - total;
  for (u32 w = 0; w < W_WARP_ID; ++w) start += sums[w];
  for (u32 w = 0; w < WARPS; ++w) warp_counts[w * 256u + tid] += start;
  to[tid] = offsets[u64(tid) * p.tiles + blockIdx.x] - start;
  W_SYNC();

  W_UNROLL for (u32 k = 0; k < ITEMS; ++k) {
    const u32 pad = first + k * 32 < count ? 0u : 255u;
    rank[k] += own[((key[k] >> p.shift) & 255u) | pad];
    staged[rank[k]] = key[k];
  }
  W_SYNC();
  u32 target[ITEMS];
  W_UNROLL for (u32 k = 0; k < ITEMS; ++k) {
    const u32 at = tid + k * 256u;
    const u32 moved = staged[at];
    target[k] = to[(moved >> p.shift) & 255u] + at;
    if (at < count) keys_out[target[k]] = moved;
  }
  W_SYNC();
  W_UNROLL for (u32 k = 0; k < ITEMS; ++k) {
    const u32 at = first + k * 32;
    if (at < count) staged[rank[k]] = rows[tile + at];
  }
  W_SYNC();
  W_UNROLL for (u32 k = 0; k < ITEMS; ++k) {
    const u32 at = tid + k * 256u;
    if (at < count) rows_out[target[k]] = staged[at];
  }
}
