// axpb: dst[i] = src[i] * a + b.
//
// Buffers:  src  u32[n]
//           dst  u32[n]
// Params:   n, a, b
// Launch:   ceil(n / 64) groups of 64 threads.
// Result:   dst. Deterministic.

struct Params { n: u32, a: u32, b: u32 }

@group(0) @binding(0) var<storage, read> src: array<u32>;
@group(0) @binding(1) var<storage, read_write> dst: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(64)
fn axpb(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_id) lid: vec3<u32>,
) {
    let i = (wid.x + wid.y * nwg.x) * 64u + lid.x;
    if i < p.n {
        dst[i] = src[i] * p.a + p.b;
    }
}
