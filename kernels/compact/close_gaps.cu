// close_gaps: brings the values that blocks left at the start of their tiles together, in
// order.
//
// The copy pass of stream compaction by counts, scan and scatter (Blelloch 1990; Billeter,
// Olsson and Assarsson, "Efficient Stream Compaction on Wide SIMD Many-Core
// Architectures", HPG 2009). Values are whole 32-bit words, so one kernel serves all types.
//
// Buffers:  from     u32[tiles * tile * words]  a tile's values lie at its start
//           offsets  u32[first + tiles]         values before each tile
//           to       u32[total * words]         written
// Params:   tiles, tile (values of a tile), words (32-bit words of a value: 1, 2 or 4),
//           total (values of all tiles), first (index of the first offset), held (values that
//           from has room for: the last tile may be shorter)
// Launch:   one block of 256 threads for each tile.
// Result:   all of `to`. The same bits in any order of blocks. Whatever the offsets say, no access
//           leaves the buffers.
#include "windlass.cuh"

struct Params {
  u32 tiles, tile, words, total, first, held;
};

extern "C" __global__ void close_gaps(const u32* from, const u32* offsets, u32* to, Params p) {
  const u32 t = blockIdx.x;
  const u32 start = offsets[p.first + t];
  const u32 next = t + 1 < p.tiles ? offsets[p.first + t + 1] : p.total;
  const u32 end = min(next, p.total);
  const u32 count = min(end - min(start, end), min(p.tile, p.held - t * p.tile));
  const u64 source = u64(t) * p.tile * p.words;
  const u64 target = u64(start) * p.words;
  for (u32 i = threadIdx.x; i < count * p.words; i += 256u) {
    to[target + i] = from[source + i];
  }
}
