// group_ranks: the place of each item in its group of sorted rows.
//
// Purpose:   the row numbers within groups, from 0 on.
// Algorithm: a gather of the group's first item.
//
// Buffers:  flags    u32[n]       1 where a group begins
//           numbers  u32[n]       flags after an exclusive scan
//           starts   u32[groups]  group_starts' result
//           ranks    u32[n]       out
// Params:   n
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   all of ranks. Deterministic.
struct Params {
    n: u32,
}

@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<storage, read> numbers: array<u32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> ranks: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(256)
fn group_ranks(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        ranks[i] = i - starts[numbers[i] + flags[i] - 1u];
    }
}
