// tile_sums: how many pairs the rows of each tile have, without overflow.
//
// Algorithm: a tree sum in workgroup memory (Harris, "Optimizing Parallel Reduction in CUDA", 2007)
// of the low and of the high halves of the counts: 1,024 halves of 16 bits fit 32 bits.
//
// Buffers:  counts  u32[rows]       pairs of each row
//           sums    u32[tiles * 2]  out: the sum of the low halves, and that of the high halves
// Params:   rows
// Launch:   one block of 256 threads for each tile of 1,024 rows.
// Result:   sums.
// Determinism: the same bits in any order of threads.
struct Params {
    rows: u32,
}

@group(0) @binding(0) var<storage, read> counts: array<u32>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> low: array<u32, 256>;
var<workgroup> high: array<u32, 256>;

@compute @workgroup_size(256)
fn tile_sums(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let tile = wid.x + wid.y * nwg.x;
    if tile * 1024u >= p.rows {
        return;
    }
    var a = 0u;
    var b = 0u;
    for (var k = 0u; k < 4u; k++) {
        let row = tile * 1024u + k * 256u + lid;
        if row < p.rows {
            let count = counts[row];
            a += count & 0xffffu;
            b += count >> 16u;
        }
    }
    low[lid] = a;
    high[lid] = b;
    workgroupBarrier();
    for (var d = 128u; d > 0u; d /= 2u) {
        if lid < d {
            low[lid] += low[lid + d];
            high[lid] += high[lid + d];
        }
        workgroupBarrier();
    }
    if lid == 0u {
        sums[tile * 2u] = low[0];
        sums[tile * 2u + 1u] = high[0];
    }
}
