// rank: counts the rows of each slot, and numbers them.
//
// Algorithm: each block first counts the rows of up to 256 slots in workgroup memory, so that a
// frequent key costs one global atomic per block and not one per row; a row whose place in
// workgroup memory another slot holds counts on its own. Our own, after the privatised histograms
// of Podlozhnyuk, "Histogram calculation in CUDA", 2007.
//
// Buffers:  row_slot  u32[rows]  the rows' slots; NO_SLOT rows have no number
//           counts    u32[slots]  in: zeros; out: rows of each slot
//           row_rank  u32[rows]  out: the row's number among those of its slot, from 0 on
// Params:   rows
// Launch:   any number of blocks of 256 threads, which take rows 256 at a time.
// Result:   counts, row_rank.
// Determinism: the counts are; the numbers depend on the order of execution.
struct Params {
    rows: u32,
}

@group(0) @binding(0) var<storage, read> row_slot: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(2) var<storage, read_write> row_rank: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

const NO_SLOT: u32 = 0xffffffffu;

var<workgroup> owner: array<atomic<u32>, 256>;
var<workgroup> tally: array<atomic<u32>, 256>;
var<workgroup> base: array<u32, 256>;

// Whether this slot holds its place in workgroup memory.
fn claim(place: u32, slot: u32) -> bool {
    loop {
        let held = atomicCompareExchangeWeak(&owner[place], NO_SLOT, slot);
        if held.exchanged || held.old_value == slot {
            return true;
        }
        if held.old_value != NO_SLOT {
            return false;
        }
    }
    return false;
}

@compute @workgroup_size(256)
fn rank(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var first = (wid.x + wid.y * nwg.x) * 256u; first < p.rows; first += stride) {
        atomicStore(&owner[lid], NO_SLOT);
        atomicStore(&tally[lid], 0u);
        workgroupBarrier();
        let row = first + lid;
        var slot = NO_SLOT;
        if row < p.rows {
            slot = row_slot[row];
        }
        let place = slot & 255u;
        var local = false;
        var number = 0u;
        if slot != NO_SLOT {
            local = claim(place, slot);
            if local {
                number = atomicAdd(&tally[place], 1u);
            } else {
                number = atomicAdd(&counts[slot], 1u);
            }
        }
        workgroupBarrier();
        let rows = atomicLoad(&tally[lid]);
        if rows != 0u {
            base[lid] = atomicAdd(&counts[atomicLoad(&owner[lid])], rows);
        }
        workgroupBarrier();
        if slot != NO_SLOT {
            if local {
                number += base[place];
            }
            row_rank[row] = number;
        }
        workgroupBarrier();
    }
}
