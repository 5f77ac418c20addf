// resolve: turns the rows' slots into group numbers and stores the keys of new groups.
//
// Buffers:  keys        u32[rows * key_words]    packed keys of this chunk
//           slots       u32[mask + 1]            the table, every slot 0 or g + 1
//           row_group   u32[rows]                in: row_slot as assign left it; out: the
//                                                row's group, NO_GROUP if not selected
//           group_keys  u32[groups * key_words]  out: keys of the groups new in this chunk
// Params:   rows, key_words
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   row_group and group_keys. Deterministic, given its input.
#import windlass::aggregate::rows::{NO_GROUP, CLAIMED}

struct Params {
    rows: u32,
    key_words: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> slots: array<u32>;
@group(0) @binding(2) var<storage, read_write> row_group: array<u32>;
@group(0) @binding(3) var<storage, read_write> group_keys: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

fn resolve_row(row: u32) {
    let held = row_group[row];
    if held == NO_GROUP {
        return;
    }
    if (held & CLAIMED) == 0u {
        row_group[row] = slots[held] - 1u;
        return;
    }
    let group = held & ~CLAIMED;
    for (var k = 0u; k < p.key_words; k++) {
        group_keys[group * p.key_words + k] = keys[row * p.key_words + k];
    }
    row_group[row] = group;
}

@compute @workgroup_size(256)
fn resolve(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        resolve_row(row);
    }
}
