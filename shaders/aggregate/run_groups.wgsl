// run_groups: numbers the groups of sorted rows in their order, and stores the keys of new ones.
//
// Purpose:   group-by over sorted rows: groups are runs, so no table is needed.
// Algorithm: a map over the scan of the rows that begin a group: the sum up to a row is the
//            number of its group. The row that begins a group stores its key.
//
// Buffers:  keys        u32[rows * key_words]    packed keys of this chunk
//           selected    u32[batch rows]          0 where a row is not selected; not read unless
//                                                has_selected
//           sums        u32[rows + 1]            how many rows before each row begin a group, and
//                                                in all
//           row_group   u32[rows]                out: the row's group; NO_GROUP if not selected
//           group_keys  u32[groups * key_words]  packed keys of the groups; out: of the new ones
// Params:   rows, row_base, key_words, groups (so far), has_selected
// Limits:   fewer than 2^32 - 1 groups.
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   row_group and group_keys. Deterministic.
#import windlass::aggregate::rows::NO_GROUP

struct Params {
    rows: u32,
    row_base: u32,
    key_words: u32,
    groups: u32,
    has_selected: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> selected: array<u32>;
@group(0) @binding(2) var<storage, read> sums: array<u32>;
@group(0) @binding(3) var<storage, read_write> row_group: array<u32>;
@group(0) @binding(4) var<storage, read_write> group_keys: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

fn number_row(row: u32) {
    if p.has_selected != 0u && selected[p.row_base + row] == 0u {
        row_group[row] = NO_GROUP;
        return;
    }
    let group = p.groups + sums[row + 1u] - 1u;
    row_group[row] = group;
    if sums[row + 1u] == sums[row] {
        return;
    }
    for (var k = 0u; k < p.key_words; k++) {
        group_keys[group * p.key_words + k] = keys[row * p.key_words + k];
    }
}

@compute @workgroup_size(256)
fn run_groups(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        number_row(row);
    }
}
