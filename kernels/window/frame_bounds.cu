// frame_bounds: the rows of each row's window frame.
//
// Purpose:   ROWS and RANGE frames of window functions.
// Algorithm: the bounds of the row's partition and of its peers, and distances from the row that
//            stop at the partition's bounds.
// Buffers:   part_first, part_after, peer_first, peer_after  u32[n]: the first row of the row's
//            partition and run of peers; at n - 1 - row, the first row after these
//            low, high  u32[n]: the first row of the frame and the first after it
// Params:    n
//            low_kind, high_kind    0 the partition's bound, 1 the peers', 2 so many rows before
//                                   the row, 3 after it
//            low_rows, high_rows    how many
// Launch:    blocks of 256 threads that stride over the rows.
// Result:    low <= high, both within the partition; equal for an empty frame.
// Determinism: the same bits in any order of blocks.
#include "windlass.cuh"

struct Params {
  u32 n, low_kind, low_rows, high_kind, high_rows;
};

extern "C" __global__ void frame_bounds(const u32* part_first, const u32* part_after,
                                        const u32* peer_first, const u32* peer_after, u32* low,
                                        u32* high, Params p) {
  for (u32 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += gridDim.x * 256u) {
    const u32 first = part_first[i], after = part_after[p.n - 1u - i];
    u32 from = first, to = after;
    if (p.low_kind == 1u) from = peer_first[i];
    if (p.low_kind == 2u) from = p.low_rows > i - first ? first : i - p.low_rows;
    if (p.low_kind == 3u) from = p.low_rows >= after - i ? after : i + p.low_rows;
    if (p.high_kind == 1u) to = peer_after[p.n - 1u - i];
    if (p.high_kind == 2u) to = p.high_rows > i - first ? first : i + 1u - p.high_rows;
    if (p.high_kind == 3u) to = p.high_rows >= after - i ? after : i + 1u + p.high_rows;
    low[i] = from;
    high[i] = to < from ? from : to;
  }
}
