// run_edges: what running maxima and minima turn into the first row of each row's run, and the
// first row after it.
//
// Purpose:   partitions and peers of window functions, of which only the first rows are marked.
// Algorithm: the row's number where a run starts, to be spread by a running maximum; the numbers
//            of the rows after runs' ends in reverse order, to be spread by a running minimum.
// Buffers:   starts  u32[n]: not 0 in the first row of a run; row 0 always starts one
//            first   u32[n]: the row's number where it starts a run, else 0
//            after   u32[n]: at n - 1 - row, the next row's number where that starts a run (or
//                    there is none), else 0xffffffff
// Params:    n
// Launch:    workgroups of 256 that stride over the rows.
// Result:    first and after.
// Determinism: the same bits in any order of groups.

struct Params {
    n: u32,
}

@group(0) @binding(0) var<storage, read> starts: array<u32>;
@group(0) @binding(1) var<storage, read_write> first: array<u32>;
@group(0) @binding(2) var<storage, read_write> after: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(256)
fn run_edges(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        first[i] = select(0u, i, starts[i] != 0u);
        var ends = i + 1u == p.n;
        if !ends {
            ends = starts[i + 1u] != 0u;
        }
        after[p.n - 1u - i] = select(0xffffffffu, i + 1u, ends);
    }
}
