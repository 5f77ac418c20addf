// pick: one row of each row's window frame.
//
// Purpose:   FIRST_VALUE, LAST_VALUE, NTH_VALUE, LAG and LEAD: the number of the row to gather.
// Algorithm: counted from the frame's first row, or from its last.
// Buffers:   low, high  u32[n]: the first row of the frame and the first after it
//            picked     u32[n]: the row, 0xffffffff where the frame has not so many
// Params:    n
//            k          how many rows come between the frame's bound and the row
//            from_last  1 to count from the last row
// Launch:    workgroups of 256 that stride over the rows.
// Result:    picked.
// Determinism: the same bits in any order of groups.

struct Params {
    n: u32,
    k: u32,
    from_last: u32,
}

@group(0) @binding(0) var<storage, read> low: array<u32>;
@group(0) @binding(1) var<storage, read> high: array<u32>;
@group(0) @binding(2) var<storage, read_write> picked: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(256)
fn pick(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        let begin = low[i];
        let end = high[i];
        let row = select(begin + p.k, end - 1u - p.k, p.from_last != 0u);
        picked[i] = select(0xffffffffu, row, p.k < end - begin);
    }
}
