// sum_float: adds 64-bit floats for each group: the values, or their differences from the
// group's shift, or the squares of these; with PRODUCT, the products of two arguments'
// differences from their shifts.
//
// An f64 is added to memory by a compare-exchange loop on its 64 bits. The three levels are
// those of sum_int. Differences from a value of the group itself keep sums of squares from
// cancelling: Chan, Golub, LeVeque, "Algorithms for computing the sample variance" (1983).
//
// Buffers:  groups  u32[rows]        the rows' groups, see rows.wgsl for modes
//           values  f64[batch rows]  the argument
//           valid   u32[batch rows]  1 where not null; not read unless has_valid
//           state   f64[groups]      the sums, as their 64 bits
//           seen    u32[groups]      out: 1 where a row was added; if has_seen
//           shift   f64[groups]      the groups' shifts; not read when power is 0
//           others  f64[batch rows]  PRODUCT: the second argument, null where the first is
//           other_shift f64[groups]  PRODUCT: its shifts
// Params:   rows, row_base, mode, local_groups, replicas, blocks, power (0: the value, 1: its
//           difference from the shift, 2: the square of that), has_valid, has_seen
// Limits:   local_groups * replicas <= 1024.
// Launch:   blocks blocks of 256 threads, any number; rows are strided over all threads.
// Result:   state and seen. Not deterministic: the order of additions, and so the rounding,
//           varies from run to run.
// Needs 64-bit integers and floats, and 64-bit atomics.
//
// PRODUCT may be defined for this text; power is then 1.
#import windlass::aggregate::rows::{NO_GROUP, MODE_ALL, group_from}

struct Params {
    rows: u32,
    row_base: u32,
    mode: u32,
    local_groups: u32,
    replicas: u32,
    blocks: u32,
    power: u32,
    has_valid: u32,
    has_seen: u32,
}

@group(0) @binding(0) var<storage, read> groups: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<f64>;
@group(0) @binding(2) var<storage, read> valid: array<u32>;
@group(0) @binding(3) var<storage, read_write> state: array<atomic<u64>>;
@group(0) @binding(4) var<storage, read_write> seen: array<atomic<u32>>;
@group(0) @binding(5) var<storage, read> shift: array<f64>;
#ifdef PRODUCT
@group(0) @binding(6) var<storage, read> others: array<f64>;
@group(0) @binding(7) var<storage, read> other_shift: array<f64>;
@group(0) @binding(8) var<uniform> p: Params;
#else
@group(0) @binding(6) var<uniform> p: Params;
#endif

// WGSL sets workgroup memory to zero.
var<workgroup> local_state: array<atomic<u64>, 1024>;
var<workgroup> local_seen: array<atomic<u32>, 1024>;

fn add_global(group: u32, value: f64) {
    var old = atomicLoad(&state[group]);
    loop {
        let sum = bitcast<u64>(bitcast<f64>(old) + value);
        let swap = atomicCompareExchangeWeak(&state[group], old, sum);
        if swap.exchanged {
            return;
        }
        old = swap.old_value;
    }
}

fn add_local(at: u32, value: f64) {
    var old = atomicLoad(&local_state[at]);
    loop {
        let sum = bitcast<u64>(bitcast<f64>(old) + value);
        let swap = atomicCompareExchangeWeak(&local_state[at], old, sum);
        if swap.exchanged {
            return;
        }
        old = swap.old_value;
    }
}

fn mark(group: u32) {
    if p.has_seen != 0u {
        if atomicLoad(&seen[group]) == 0u {
            atomicStore(&seen[group], 1u);
        }
    }
}

fn add_run(group: u32, value: f64, lid: u32) {
    if group < p.local_groups {
        add_local((lid % p.replicas) * p.local_groups + group, value);
        atomicStore(&local_seen[group], 1u);
    } else {
        add_global(group, value);
        mark(group);
    }
}

@compute @workgroup_size(256)
fn sum_float(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let block = wid.x + wid.y * nwg.x;
    if block >= p.blocks {
        return;
    }
    var run = NO_GROUP;
    var sum: f64;
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
        var value = values[source];
        if p.power != 0u {
            value -= shift[group];
            if p.power == 2u {
                value *= value;
            }
#ifdef PRODUCT
            value *= others[source] - other_shift[group];
#endif
        }
        if group == run {
            sum += value;
        } else {
            if run != NO_GROUP {
                add_run(run, sum, lid);
            }
            run = group;
            sum = value;
        }
    }
    if run != NO_GROUP {
        add_run(run, sum, lid);
    }
    workgroupBarrier();

    for (var group = lid; group < p.local_groups; group += 256u) {
        if atomicLoad(&local_seen[group]) != 0u {
            var total = bitcast<f64>(atomicLoad(&local_state[group]));
            for (var r = 1u; r < p.replicas; r++) {
                total += bitcast<f64>(atomicLoad(&local_state[r * p.local_groups + group]));
            }
            add_global(group, total);
            mark(group);
        }
    }
}
