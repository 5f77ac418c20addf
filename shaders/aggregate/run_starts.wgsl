// run_starts: the selected rows that begin a group, of rows whose equal keys are adjacent.
//
// Purpose:   group-by over sorted rows: groups are runs, so no table is needed.
// Algorithm: a map over pairs of neighbours; the first selected row of a chunk is compared with
//            the last group so far, which it may continue.
//
// Buffers:  keys        u32[rows * key_words]    packed keys of this chunk
//           selected    u32[batch rows]          0 where a row is not selected; not read unless
//                                                has_selected
//           before      u32[rows]                number, from 1 on, of the selected row before
//                                                each row; 0: none. Not read unless has_selected:
//                                                it is the row before then
//           group_keys  u32[groups * key_words]  packed keys of the groups so far
//           starts      u32[rows]                out: 1 where a selected row begins a group
// Params:   rows, row_base, key_words, groups, has_selected
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   starts. Deterministic.
struct Params {
    rows: u32,
    row_base: u32,
    key_words: u32,
    groups: u32,
    has_selected: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> selected: array<u32>;
@group(0) @binding(2) var<storage, read> before: array<u32>;
@group(0) @binding(3) var<storage, read> group_keys: array<u32>;
@group(0) @binding(4) var<storage, read_write> starts: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

fn same_as_row(row: u32, other: u32) -> bool {
    for (var k = 0u; k < p.key_words; k++) {
        if keys[row * p.key_words + k] != keys[other * p.key_words + k] {
            return false;
        }
    }
    return true;
}

fn same_as_group(row: u32, group: u32) -> bool {
    for (var k = 0u; k < p.key_words; k++) {
        if keys[row * p.key_words + k] != group_keys[group * p.key_words + k] {
            return false;
        }
    }
    return true;
}

fn starts_group(row: u32) -> u32 {
    if p.has_selected != 0u && selected[p.row_base + row] == 0u {
        return 0u;
    }
    var number = row;
    if p.has_selected != 0u {
        number = before[row];
    }
    if number != 0u {
        return select(1u, 0u, same_as_row(row, number - 1u));
    }
    if p.groups == 0u {
        return 1u;
    }
    return select(1u, 0u, same_as_group(row, p.groups - 1u));
}

@compute @workgroup_size(256)
fn run_starts(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        starts[row] = starts_group(row);
    }
}
