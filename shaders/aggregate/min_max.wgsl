// min_max: the largest of an order-preserving code of the argument, for each group.
//
// The code of a value is an unsigned number of PHASES units, most significant first, with the
// order of the values: signed integers have their sign bit flipped; floats (IEEE 754
// totalOrder) have it flipped, or all bits where it is set; a minimum is the largest
// complement. Codes of one unit are found by one atomic maximum. Longer codes take one
// dispatch a unit: unit k looks only at rows whose earlier units equal the group's largest,
// which earlier dispatches have settled. The three levels are those of sum_int.
//
// Buffers:  groups  u32[rows]                 the rows' groups, see rows.wgsl for modes
//           values  u32[batch rows * phases]  the argument, least significant unit first
//           valid   u32[batch rows]           1 where not null; not read unless has_valid
//           state   u32[groups * phases]      codes, most significant unit first; zeros at first
//           seen    u32[groups]               out: 1 where a row was taken; if has_seen
// Params:   rows, row_base, mode, local_groups, replicas, blocks, phases, phase, kind
//           (0 unsigned, 1 signed, 2 float), is_min, has_valid, has_seen
// Limits:   local_groups <= 1024, local_groups * replicas <= 2048.
// Launch:   blocks blocks of 256 threads, any number; rows are strided over all threads.
// Result:   unit `phase` of state, and seen. Deterministic.
#import windlass::aggregate::rows::{NO_GROUP, MODE_ALL, group_from}

struct Params {
    rows: u32,
    row_base: u32,
    mode: u32,
    local_groups: u32,
    replicas: u32,
    blocks: u32,
    phases: u32,
    phase: u32,
    kind: u32,
    is_min: u32,
    has_valid: u32,
    has_seen: u32,
}

@group(0) @binding(0) var<storage, read> groups: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<u32>;
@group(0) @binding(2) var<storage, read> valid: array<u32>;
@group(0) @binding(3) var<storage, read_write> state: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> seen: array<atomic<u32>>;
@group(0) @binding(5) var<uniform> p: Params;

// WGSL sets workgroup memory to zero.
var<workgroup> local_state: array<atomic<u32>, 2048>;
var<workgroup> local_seen: array<atomic<u32>, 1024>;

const SIGN: u32 = 0x80000000u;

// Unit k of the code of a row's value.
fn code(row: u32, k: u32) -> u32 {
    let top = values[row * p.phases + p.phases - 1u];
    var unit = top;
    if k != 0u {
        unit = values[row * p.phases + p.phases - 1u - k];
    }
    if p.kind == 2u && (top & SIGN) != 0u {
        unit = ~unit;
    } else if p.kind != 0u && k == 0u {
        unit ^= SIGN;
    }
    return select(unit, ~unit, p.is_min != 0u);
}

fn mark(group: u32) {
    if p.has_seen != 0u {
        if atomicLoad(&seen[group]) == 0u {
            atomicStore(&seen[group], 1u);
        }
    }
}

fn take_global(group: u32, unit: u32) {
    let at = group * p.phases + p.phase;
    if atomicLoad(&state[at]) < unit {
        atomicMax(&state[at], unit);
    }
}

fn take_run(group: u32, unit: u32, lid: u32) {
    if group < p.local_groups {
        atomicMax(&local_state[(lid % p.replicas) * p.local_groups + group], unit);
        if p.has_seen != 0u {
            atomicStore(&local_seen[group], 1u);
        }
    } else {
        take_global(group, unit);
        mark(group);
    }
}

@compute @workgroup_size(256)
fn min_max(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let block = wid.x + wid.y * nwg.x;
    if block >= p.blocks {
        return;
    }
    var run = NO_GROUP;
    var best = 0u;
    for (var row = block * 256u + lid; row < p.rows; row += p.blocks * 256u) {
        var word: u32;
        if p.mode != MODE_ALL {
            word = groups[row];
        }
        let group = group_from(p.mode, word);
        if group == NO_GROUP {
            continue;
        }
        let source = p.row_base + row;
        if p.has_valid != 0u {
            if valid[source] == 0u {
                continue;
            }
        }
        var leads = true;
        for (var k = 0u; k < p.phase; k++) {
            leads = leads && code(source, k) == atomicLoad(&state[group * p.phases + k]);
        }
        if !leads {
            continue;
        }
        let unit = code(source, p.phase);
        if group == run {
            best = max(best, unit);
        } else {
            if run != NO_GROUP {
                take_run(run, best, lid);
            }
            run = group;
            best = unit;
        }
    }
    if run != NO_GROUP {
        take_run(run, best, lid);
    }
    workgroupBarrier();

    for (var group = lid; group < p.local_groups; group += 256u) {
        var top = 0u;
        for (var r = 0u; r < p.replicas; r++) {
            top = max(top, atomicLoad(&local_state[r * p.local_groups + group]));
        }
        if top != 0u {
            take_global(group, top);
        }
        if p.has_seen != 0u && atomicLoad(&local_seen[group]) != 0u {
            mark(group);
        }
    }
}
