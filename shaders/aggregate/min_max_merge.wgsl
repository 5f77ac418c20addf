// min_max_merge: keeps, for each group, the larger of two codes of several units.
//
// Buffers:  chunk  u32[groups * phases]  codes of one chunk, most significant unit first
//           state  u32[groups * phases]  codes so far; out: the larger
// Params:   groups, phases
// Launch:   any number of blocks of 256 threads; groups are strided over all threads.
// Result:   state. Deterministic.
struct Params {
    groups: u32,
    phases: u32,
}

@group(0) @binding(0) var<storage, read> chunk: array<u32>;
@group(0) @binding(1) var<storage, read_write> state: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

fn merge_group(group: u32) {
    let at = group * p.phases;
    var first = 0u;
    while first < p.phases && chunk[at + first] == state[at + first] {
        first++;
    }
    if first == p.phases || chunk[at + first] < state[at + first] {
        return;
    }
    for (var k = first; k < p.phases; k++) {
        state[at + k] = chunk[at + k];
    }
}

@compute @workgroup_size(256)
fn min_max_merge(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var group = (wid.x + wid.y * nwg.x) * 256u + lid; group < p.groups; group += stride) {
        merge_group(group);
    }
}
