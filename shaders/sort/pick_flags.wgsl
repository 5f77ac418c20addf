// pick_flags: which items have a key below, or equal to, a bound.
//
// Purpose:   the first step of picking candidates; their scan gives the places.
// Algorithm: a map.
//
// Buffers:  keys   u32[n]
//           flags  u32[n]  out: 1 where the item is picked, else 0
// Params:   n, shift (keys are shifted right by it first), bound, equal (1: equal to the bound,
//           0: below it)
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   all of flags. Deterministic.
struct Params {
    n: u32,
    shift: u32,
    bound: u32,
    equal: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> flags: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

fn picked(i: u32) -> bool {
    let key = keys[i] >> p.shift;
    return select(key < p.bound, key == p.bound, p.equal != 0u);
}

@compute @workgroup_size(256)
fn pick_flags(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        flags[i] = select(0u, 1u, picked(i));
    }
}
