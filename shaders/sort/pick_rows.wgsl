// pick_rows: the rows of the picked items, in order.
//
// Purpose:   the last step of picking candidates.
// Algorithm: the scatter of stream compaction (Blelloch, CMU-CS-90-190, 1990); an item is picked
//            by the same test as in pick_flags.
//
// Buffers:  keys    u32[n]
//           places  u32[n]           pick_flags' result after an exclusive scan
//           rows    u32[n]           the items' rows; not read unless named
//           out     u32[at + picked]
// Params:   n, shift, bound, equal (see pick_flags), named (0: item i is row i), at (of the first
//           picked row in out)
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   out[at .. at + picked]. Deterministic.
struct Params {
    n: u32,
    shift: u32,
    bound: u32,
    equal: u32,
    named: u32,
    at: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<storage, read> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

fn picked(i: u32) -> bool {
    let key = keys[i] >> p.shift;
    return select(key < p.bound, key == p.bound, p.equal != 0u);
}

@compute @workgroup_size(256)
fn pick_rows(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        if picked(i) {
            var row = i;
            if p.named != 0u {
                row = rows[i];
            }
            out[p.at + places[i]] = row;
        }
    }
}
