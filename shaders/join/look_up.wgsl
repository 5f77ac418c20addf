// look_up: finds the build rows of each probe row's key, and counts them.
//
// Algorithm: linear probing in the table that insert filled; keys are compared exactly.
//
// Buffers:  keys        u32[rows * key_words]        packed keys of the probe rows
//           live        u32[rows]                    0 where the row matches nothing; not read
//                                                    unless has_live
//           build_keys  u32[build rows * key_words]  packed keys of the build rows
//           slots       u32[mask + 1]                the table
//           starts      u32[mask + 2]                where a slot's build rows begin; not read if
//                                                    exists
//           found       u32[rows]                    out: starts of the row's slot, NO_ROW without
//                                                    a match; not written if exists
//           counts      u32[rows]                    out: pairs of the row; 0 or 1 if exists
//           marks       u32[build rows]              out, if mark: 1 for the first row of each key
//                                                    that is found
// Params:   rows, key_words, mask, has_live, exists, outer (1: a row without a match has one
//           pair), mark
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   found, counts, marks.
// Determinism: counts are; found and marks are given the table.
#import windlass::aggregate::key_hash

struct Params {
    rows: u32,
    key_words: u32,
    mask: u32,
    has_live: u32,
    exists: u32,
    outer: u32,
    mark: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> live: array<u32>;
@group(0) @binding(2) var<storage, read> build_keys: array<u32>;
@group(0) @binding(3) var<storage, read> slots: array<u32>;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read_write> found: array<u32>;
@group(0) @binding(6) var<storage, read_write> counts: array<u32>;
@group(0) @binding(7) var<storage, read_write> marks: array<atomic<u32>>;
@group(0) @binding(8) var<uniform> p: Params;

const NO_SLOT: u32 = 0xffffffffu;
const NO_ROW: u32 = 0xffffffffu;

fn same_key(row: u32, build: u32) -> bool {
    for (var k = 0u; k < p.key_words; k++) {
        if keys[row * p.key_words + k] != build_keys[build * p.key_words + k] {
            return false;
        }
    }
    return true;
}

// The slot of the row's key, NO_SLOT where the table has none.
fn slot_of(row: u32) -> u32 {
    if p.has_live != 0u {
        if live[row] == 0u {
            return NO_SLOT;
        }
    }
    var hash = key_hash::SEED;
    for (var k = 0u; k < p.key_words; k++) {
        hash = key_hash::mix(hash, keys[row * p.key_words + k]);
    }
    var slot = key_hash::finish(hash, p.key_words) & p.mask;
    loop {
        let held = slots[slot];
        if held == 0u {
            return NO_SLOT;
        }
        if same_key(row, held - 1u) {
            return slot;
        }
        slot = (slot + 1u) & p.mask;
    }
    return NO_SLOT;
}

@compute @workgroup_size(256)
fn look_up(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        let slot = slot_of(row);
        if slot != NO_SLOT && p.mark != 0u {
            let first = slots[slot] - 1u;
            if atomicLoad(&marks[first]) == 0u {
                atomicStore(&marks[first], 1u);
            }
        }
        if p.exists != 0u {
            counts[row] = select(1u, 0u, slot == NO_SLOT);
            continue;
        }
        var start = NO_ROW;
        var count = p.outer;
        if slot != NO_SLOT {
            start = starts[slot];
            count = starts[slot + 1u] - start;
        }
        found[row] = start;
        counts[row] = count;
    }
}
