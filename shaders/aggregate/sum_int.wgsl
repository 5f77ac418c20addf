// sum_int: adds integers, or counts rows, for each group, wrapping at UNITS * 32 bits.
//
// Three levels keep many rows of few groups from queueing at one address: a thread adds up a
// run of rows of one group in registers; the first local_groups groups have sums in workgroup
// memory, in several replicas that neighbouring threads take in turn; everything else, and
// each block's local sums at its end, goes to the global sums. Group numbers follow the order
// of appearance, so heavy groups are mostly among the local ones whatever the number of
// groups, and nothing changes abruptly when it passes the local table's size.
// A sum of several words is added word by word with its carries: each word's atomic returns
// the old word, which tells the carry, and the carries commute.
//
// Buffers:  groups  u32[rows]                      the rows' groups, see rows.wgsl for modes
//           values  u32[batch rows * value_units]  the argument; not read when value_units is 0
//           valid   u32[batch rows]                1 where not null; not read unless has_valid
//           state   u32[groups * UNITS]            sums, least significant word first
//           seen    u32[groups]                    out: 1 where a row was added; if has_seen
// Params:   rows, row_base, mode, local_groups, replicas, blocks, value_units (0: count rows),
//           is_signed (shorter values are sign-extended), has_valid, has_seen
// Limits:   local_groups <= 1024, local_groups * replicas * UNITS <= 2048.
// Launch:   blocks blocks of 256 threads, any number; rows are strided over all threads.
// Result:   state and seen. Deterministic: integer addition commutes.
#import windlass::aggregate::rows::{NO_GROUP, MODE_ALL, group_from}

struct Params {
    rows: u32,
    row_base: u32,
    mode: u32,
    local_groups: u32,
    replicas: u32,
    blocks: u32,
    value_units: u32,
    is_signed: u32,
    has_valid: u32,
    has_seen: u32,
}

const UNITS: u32 = #{UNITS}u;

@group(0) @binding(0) var<storage, read> groups: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<u32>;
@group(0) @binding(2) var<storage, read> valid: array<u32>;
@group(0) @binding(3) var<storage, read_write> state: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> seen: array<atomic<u32>>;
@group(0) @binding(5) var<uniform> p: Params;

// WGSL sets workgroup memory to zero.
var<workgroup> local_state: array<atomic<u32>, 2048>;
var<workgroup> local_seen: array<atomic<u32>, 1024>;

fn value_of(row: u32) -> array<u32, #{UNITS}> {
    var v: array<u32, #{UNITS}>;
    if p.value_units == 0u {
        v[0] = 1u;
        return v;
    }
    var fill = 0u;
    for (var k = 0u; k < UNITS; k++) {
        if k < p.value_units {
            v[k] = values[row * p.value_units + k];
            fill = select(0u, 0xffffffffu, p.is_signed != 0u && (v[k] >> 31u) != 0u);
        } else {
            v[k] = fill;
        }
    }
    return v;
}

fn sum_of(a: array<u32, #{UNITS}>, b: array<u32, #{UNITS}>) -> array<u32, #{UNITS}> {
    var x = a;
    var y = b;
    var out: array<u32, #{UNITS}>;
    var carry = 0u;
    for (var k = 0u; k < UNITS; k++) {
        let s = x[k] + y[k];
        let t = s + carry;
        carry = select(0u, 1u, s < y[k] || t < s);
        out[k] = t;
    }
    return out;
}

fn add_global(group: u32, value: array<u32, #{UNITS}>) {
    var v = value;
    var carry = 0u;
    for (var k = 0u; k < UNITS; k++) {
        let x = v[k] + carry;
        carry = select(0u, 1u, x < carry);
        if x != 0u {
            let old = atomicAdd(&state[group * UNITS + k], x);
            carry = select(carry, 1u, old + x < x);
        }
    }
}

fn add_local(at: u32, value: array<u32, #{UNITS}>) {
    var v = value;
    var carry = 0u;
    for (var k = 0u; k < UNITS; k++) {
        let x = v[k] + carry;
        carry = select(0u, 1u, x < carry);
        if x != 0u {
            let old = atomicAdd(&local_state[at * UNITS + k], x);
            carry = select(carry, 1u, old + x < x);
        }
    }
}

fn add_run(group: u32, value: array<u32, #{UNITS}>, lid: u32) {
    if group < p.local_groups {
        add_local((lid % p.replicas) * p.local_groups + group, value);
        if p.has_seen != 0u {
            atomicStore(&local_seen[group], 1u);
        }
    } else {
        add_global(group, value);
        mark(group);
    }
}

fn mark(group: u32) {
    if p.has_seen != 0u {
        if atomicLoad(&seen[group]) == 0u {
            atomicStore(&seen[group], 1u);
        }
    }
}

@compute @workgroup_size(256)
fn sum_int(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let block = wid.x + wid.y * nwg.x;
    if block >= p.blocks {
        return;
    }
    var run = NO_GROUP;
    var sum: array<u32, #{UNITS}>;
    for (var row = block * 256u + lid; row < p.rows; row += p.blocks * 256u) {
        var word: u32;
        if p.mode != MODE_ALL {
            word = groups[row];
        }
        let group = group_from(p.mode, word);
        if group == NO_GROUP {
            continue;
        }
        if p.has_valid != 0u {
            if valid[p.row_base + row] == 0u {
                continue;
            }
        }
        let value = value_of(p.row_base + row);
        if group == run {
            sum = sum_of(sum, value);
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
        var total: array<u32, #{UNITS}>;
        for (var r = 0u; r < p.replicas; r++) {
            var part: array<u32, #{UNITS}>;
            for (var k = 0u; k < UNITS; k++) {
                part[k] = atomicLoad(&local_state[(r * p.local_groups + group) * UNITS + k]);
            }
            total = sum_of(total, part);
        }
        add_global(group, total);
        if p.has_seen != 0u && atomicLoad(&local_seen[group]) != 0u {
            mark(group);
        }
    }
}
