// claim_shift and set_shift: give each group without a shift the argument of its first row
// in the chunk, in two dispatches: the rows' smallest number is found by an atomic minimum,
// and the row that has it then stores its value.
//
// Buffers:  claim_shift: groups  u32[rows]            the rows' groups, see rows.wgsl for modes
//                        valid   u32[batch rows]      1 where not null; if has_valid
//                        first   u32[groups]          0xffffffff: no row yet; row + 1 of this
//                                                     chunk; 0: has its shift
//           set_shift:   groups, valid, first, and
//                        values  u32[batch rows * 2]  the argument, an f64 as two words
//                        shift   u32[groups * 2]      out: the shift, an f64 as two words
// Params:   rows, row_base, mode, has_valid
// Launch:   any number of blocks of 256 threads, rows are strided over all threads;
//           claim_shift, then set_shift.
// Result:   shift, and first = 0 for all groups with a row. Deterministic.
#import windlass::aggregate::rows::{NO_GROUP, MODE_ALL, group_from}

struct Params {
    rows: u32,
    row_base: u32,
    mode: u32,
    has_valid: u32,
}

@group(0) @binding(0) var<storage, read> groups: array<u32>;
@group(0) @binding(1) var<storage, read> valid: array<u32>;
@group(0) @binding(2) var<storage, read_write> first: array<atomic<u32>>;
#ifdef SET
@group(0) @binding(3) var<storage, read> values: array<u32>;
@group(0) @binding(4) var<storage, read_write> shift: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;
#else
@group(0) @binding(3) var<uniform> p: Params;
#endif

fn group_of(row: u32) -> u32 {
    if p.has_valid != 0u {
        if valid[p.row_base + row] == 0u {
            return NO_GROUP;
        }
    }
    var word: u32;
    if p.mode != MODE_ALL {
        word = groups[row];
    }
    return group_from(p.mode, word);
}

#ifdef SET
fn set_row(row: u32) {
    let group = group_of(row);
    if group == NO_GROUP {
        return;
    }
    if atomicLoad(&first[group]) == row + 1u {
        shift[group * 2u] = values[(p.row_base + row) * 2u];
        shift[group * 2u + 1u] = values[(p.row_base + row) * 2u + 1u];
        atomicStore(&first[group], 0u);
    }
}

@compute @workgroup_size(256)
fn set_shift(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        set_row(row);
    }
}
#else
fn claim_row(row: u32) {
    let group = group_of(row);
    if group == NO_GROUP {
        return;
    }
    if atomicLoad(&first[group]) > row + 1u {
        atomicMin(&first[group], row + 1u);
    }
}

@compute @workgroup_size(256)
fn claim_shift(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        claim_row(row);
    }
}
#endif
