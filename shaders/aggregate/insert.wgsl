// insert: finds or claims a slot of the group table for the key of each selected row.
//
// Open addressing with linear probing over a power-of-two table at a load of at most one
// half. A slot is 0 (empty), g + 1 (group g, known from an earlier chunk), or CLAIMED | row
// (a new group, represented by that row of this chunk). A claim is one compare-exchange;
// what it is compared with, the packed keys of rows and of groups, was written by earlier
// dispatches, so relaxed atomics suffice and no group of threads waits for another.
//
// Buffers:  keys        u32[rows * key_words]    packed keys of this chunk
//           selected    u32[batch rows]          flag of each row; not read unless has_selected
//           group_keys  u32[groups * key_words]  packed keys of the known groups
//           slots       u32[mask + 1]            the table
//           row_group   u32[rows]                out: the row's group where it is known,
//                                                CLAIMED | slot where it is new in this chunk,
//                                                NO_GROUP if not selected
//           counters    u32[3]                   [1] counts claims, of all chunks so far; [2]
//                                                becomes 1 if the table was full
// Params:   rows, row_base, key_words, mask, has_selected
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Limits:   at most 2^30 slots, so that no CLAIMED | slot is NO_GROUP.
// Result:   row_group, and the claims in slots. Without a new claim row_group is complete, and
//           assign and resolve have nothing to do. Which row of equal keys claims, and so
//           which slot a key gets, depends on the order of execution.
#import windlass::aggregate::key_hash
#import windlass::aggregate::rows::{NO_GROUP, CLAIMED}

struct Params {
    rows: u32,
    row_base: u32,
    key_words: u32,
    mask: u32,
    has_selected: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> selected: array<u32>;
@group(0) @binding(2) var<storage, read> group_keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> slots: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> row_group: array<u32>;
@group(0) @binding(5) var<storage, read_write> counters: array<atomic<u32>>;
@group(0) @binding(6) var<uniform> p: Params;

fn same_row(a: u32, b: u32) -> bool {
    for (var k = 0u; k < p.key_words; k++) {
        if keys[a * p.key_words + k] != keys[b * p.key_words + k] {
            return false;
        }
    }
    return true;
}

fn same_group(row: u32, group: u32) -> bool {
    for (var k = 0u; k < p.key_words; k++) {
        if keys[row * p.key_words + k] != group_keys[group * p.key_words + k] {
            return false;
        }
    }
    return true;
}

fn insert_row(row: u32) {
    if p.has_selected != 0u {
        if selected[p.row_base + row] == 0u {
            row_group[row] = NO_GROUP;
            return;
        }
    }
    var hash = key_hash::SEED;
    for (var k = 0u; k < p.key_words; k++) {
        hash = key_hash::mix(hash, keys[row * p.key_words + k]);
    }
    var slot = key_hash::finish(hash, p.key_words) & p.mask;
    var probes = 0u;
    loop {
        var held = atomicLoad(&slots[slot]);
        if held == 0u {
            let claim = atomicCompareExchangeWeak(&slots[slot], 0u, CLAIMED | row);
            if claim.exchanged {
                atomicAdd(&counters[1], 1u);
                row_group[row] = CLAIMED | slot;
                return;
            }
            held = claim.old_value;
            if held == 0u {
                continue; // a spurious failure: the same slot again
            }
        }
        if (held & CLAIMED) != 0u {
            if same_row(row, held & ~CLAIMED) {
                row_group[row] = CLAIMED | slot;
                return;
            }
        } else if same_group(row, held - 1u) {
            row_group[row] = held - 1u;
            return;
        }
        if probes == p.mask {
            break;
        }
        probes += 1u;
        slot = (slot + 1u) & p.mask;
    }
    row_group[row] = NO_GROUP;
    atomicStore(&counters[2], 1u);
}

@compute @workgroup_size(256)
fn insert(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        insert_row(row);
    }
}
