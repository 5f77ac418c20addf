// assign: numbers the new groups that insert claimed.
//
// The row that represents a new group takes the next number g, writes g + 1 into its slot and
// marks itself as the representative. Rows that look at the slot meanwhile see another row's
// claim or a group, and in both cases are not its representative.
//
// Buffers:  slots     u32[mask + 1]  claims become g + 1
//           row_slot  u32[rows]      in: slots; out: CLAIMED | g for representatives, else kept
//           counters  u32[2]         [0] counts the groups
// Params:   rows
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   slots, row_slot and counters[0]. The order of the numbers depends on the order of
//           execution.
#import windlass::aggregate::rows::{NO_GROUP, CLAIMED}

struct Params {
    rows: u32,
}

@group(0) @binding(0) var<storage, read_write> slots: array<atomic<u32>>;
@group(0) @binding(1) var<storage, read_write> row_slot: array<u32>;
@group(0) @binding(2) var<storage, read_write> counters: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> p: Params;

fn assign_row(row: u32) {
    let slot = row_slot[row];
    if slot == NO_GROUP {
        return;
    }
    if atomicLoad(&slots[slot]) != (CLAIMED | row) {
        return;
    }
    let group = atomicAdd(&counters[0], 1u);
    atomicStore(&slots[slot], group + 1u);
    row_slot[row] = CLAIMED | group;
}

@compute @workgroup_size(256)
fn assign(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        assign_row(row);
    }
}
