// close_gaps: brings the values that workgroups left at the start of their tiles together,
// in order.
//
// The copy pass of stream compaction by counts, scan and scatter (Blelloch 1990; Billeter,
// Olsson and Assarsson, "Efficient Stream Compaction on Wide SIMD Many-Core
// Architectures", HPG 2009). Values are whole 32-bit words, so one kernel serves all types.
//
// Buffers:  src      u32[tiles * tile * words]  a tile's values lie at its start
//           offsets  u32[first + tiles]         values before each tile
//           dst      u32[total * words]         written; at most 2^32 words
// Params:   tiles, tile (values of a tile), words (32-bit words of a value: 1, 2 or 4),
//           total (values of all tiles), first (index of the first offset), held (values that
//           src has room for: the last tile may be shorter)
// Launch:   one workgroup of 256 for each tile.
// Result:   all of `dst`. The same bits in any order of groups. Whatever the offsets say, no access
//           leaves the buffers.

struct Params {
    tiles: u32,
    tile: u32,
    words: u32,
    total: u32,
    first: u32,
    held: u32,
}

@group(0) @binding(0) var<storage, read> src: array<u32>;
@group(0) @binding(1) var<storage, read> offsets: array<u32>;
@group(0) @binding(2) var<storage, read_write> dst: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(256)
fn close_gaps(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) tid: u32,
) {
    let t = wid.x + wid.y * nwg.x;
    if (t >= p.tiles) {
        return;
    }
    let start = offsets[p.first + t];
    var end = p.total;
    if (t + 1u < p.tiles) {
        end = min(offsets[p.first + t + 1u], p.total);
    }
    let count = min(end - min(start, end), min(p.tile, p.held - t * p.tile));
    let source = t * p.tile * p.words;
    let target_at = start * p.words;
    for (var i = tid; i < count * p.words; i += 256u) {
        dst[target_at + i] = src[source + i];
    }
}
