// digit_counts: how often each digit occurs in each tile of keys.
//
// Purpose:   the first of the three steps of a radix sort's pass.
// Algorithm: least significant digit first, by reduce, scan and scatter (Merrill and Grimshaw,
//            "Revisiting Sorting for GPGPU Stream Architectures", 2010). A block counts its
//            tile in shared memory. Digits have 4 bits; the CUDA form has 8.
//
// Buffers:  keys    u32[n]
//           counts  u32[16 * tiles]  out: of digit d in tile t at d * tiles + t
// Params:   n, tiles, shift (of the digit in a key)
// Launch:   one workgroup of 256 for each tile of 2048 keys.
// Result:   all of counts. Deterministic.
struct Params {
    n: u32,
    tiles: u32,
    shift: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

const TILE: u32 = 2048u;

var<workgroup> local: array<atomic<u32>, 16>;

@compute @workgroup_size(256)
fn digit_counts(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let tile = wid.x + wid.y * nwg.x;
    if tile >= p.tiles {
        return;
    }
    let base = tile * TILE;
    let count = min(p.n - base, TILE);
    for (var k = lid; k < count; k += 256u) {
        atomicAdd(&local[(keys[base + k] >> p.shift) & 15u], 1u);
    }
    workgroupBarrier();
    if lid < 16u {
        counts[lid * p.tiles + tile] = atomicLoad(&local[lid]);
    }
}
