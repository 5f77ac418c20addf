// resolve: gives the rows of new groups their group numbers.
//
// Buffers:  slots      u32[mask + 1]  the table, every slot 0 or g + 1
//           row_group  u32[rows]      in: as assign left it; out: the row's group, NO_GROUP if
//                                     not selected
// Params:   rows
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   row_group. Deterministic, given its input.
#import windlass::aggregate::rows::{NO_GROUP, CLAIMED}

struct Params {
    rows: u32,
}

@group(0) @binding(0) var<storage, read> slots: array<u32>;
@group(0) @binding(1) var<storage, read_write> row_group: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn resolve(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        let held = row_group[row];
        if held != NO_GROUP && (held & CLAIMED) != 0u {
            row_group[row] = slots[held & ~CLAIMED] - 1u;
        }
    }
}
