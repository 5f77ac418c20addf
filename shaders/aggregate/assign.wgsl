// assign: numbers the new groups that insert claimed, and stores their keys.
//
// The row that represents a new group takes the next number g, writes g + 1 into its slot and
// the group's key. Rows that look at the slot meanwhile see another row's claim or a group,
// and in both cases are not its representative.
//
// Buffers:  keys        u32[rows * key_words]    packed keys of this chunk
//           slots       u32[mask + 1]            claims become g + 1
//           row_group   u32[rows]                as insert left it; resolve completes it
//           group_keys  u32[groups * key_words]  out: keys of the new groups
//           counters    u32[3]                   [0] counts the groups
// Params:   rows, key_words
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   slots, group_keys and counters[0]. The order of the numbers depends on the order of
//           execution.
#import windlass::aggregate::rows::{NO_GROUP, CLAIMED}

struct Params {
    rows: u32,
    key_words: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> slots: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read> row_group: array<u32>;
@group(0) @binding(3) var<storage, read_write> group_keys: array<u32>;
@group(0) @binding(4) var<storage, read_write> counters: array<atomic<u32>>;
@group(0) @binding(5) var<uniform> p: Params;

fn assign_row(row: u32) {
    let held = row_group[row];
    if held == NO_GROUP || (held & CLAIMED) == 0u {
        return;
    }
    let slot = held & ~CLAIMED;
    if atomicLoad(&slots[slot]) != (CLAIMED | row) {
        return;
    }
    let group = atomicAdd(&counters[0], 1u);
    atomicStore(&slots[slot], group + 1u);
    for (var k = 0u; k < p.key_words; k++) {
        group_keys[group * p.key_words + k] = keys[row * p.key_words + k];
    }
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
