// bits: the conjunction, disjunction or exclusive disjunction of the argument's bits, for each
// group.
//
// The three levels are those of sum_int. A value is one or two words, each of which is
// combined by itself; the operations commute, so no order matters.
//
// Buffers:  groups  u32[rows]                the rows' groups, see rows.wgsl for modes
//           values  u32[batch rows * WORDS]  the argument
//           valid   u32[batch rows]          1 where not null; not read unless has_valid
//           state   u32[groups * WORDS]      the results; `neutral` at first
//           seen    u32[groups]              out: 1 where a row was taken; if has_seen
// Params:   rows, row_base, mode, local_groups, replicas, blocks, op (0 and, 1 or, 2 xor),
//           neutral (all ones for and, else 0), has_valid, has_seen
// Limits:   local_groups <= 1024, local_groups * replicas * WORDS <= 2048.
// Launch:   blocks blocks of 256 threads, any number; rows are strided over all threads.
// Result:   state and seen. Deterministic.
//
// WORDS (1 or 2) is defined for this text.
#import windlass::aggregate::rows::{NO_GROUP, MODE_ALL, group_from}

struct Params {
    rows: u32,
    row_base: u32,
    mode: u32,
    local_groups: u32,
    replicas: u32,
    blocks: u32,
    op: u32,
    neutral: u32,
    has_valid: u32,
    has_seen: u32,
}

@group(0) @binding(0) var<storage, read> groups: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<u32>;
@group(0) @binding(2) var<storage, read> valid: array<u32>;
@group(0) @binding(3) var<storage, read_write> state: array<atomic<u32>>;
@group(0) @binding(4) var<storage, read_write> seen: array<atomic<u32>>;
@group(0) @binding(5) var<uniform> p: Params;

var<workgroup> local_state: array<atomic<u32>, 2048>;
// WGSL sets workgroup memory to zero.
var<workgroup> local_seen: array<atomic<u32>, 1024>;

const WORDS: u32 = #{WORDS}u;

fn combined(a: u32, b: u32) -> u32 {
    if p.op == 0u {
        return a & b;
    }
    return select(a ^ b, a | b, p.op == 1u);
}

fn combine_global(at: u32, word: u32) {
    if p.op == 0u {
        atomicAnd(&state[at], word);
    } else if p.op == 1u {
        atomicOr(&state[at], word);
    } else {
        atomicXor(&state[at], word);
    }
}

fn combine_local(at: u32, word: u32) {
    if p.op == 0u {
        atomicAnd(&local_state[at], word);
    } else if p.op == 1u {
        atomicOr(&local_state[at], word);
    } else {
        atomicXor(&local_state[at], word);
    }
}

fn mark(group: u32) {
    if p.has_seen != 0u {
        if atomicLoad(&seen[group]) == 0u {
            atomicStore(&seen[group], 1u);
        }
    }
}

// The second word is not used where WORDS is 1.
fn take_run(group: u32, low: u32, high: u32, lid: u32) {
    if group < p.local_groups {
        let at = ((lid % p.replicas) * p.local_groups + group) * WORDS;
        combine_local(at, low);
        if WORDS == 2u {
            combine_local(at + 1u, high);
        }
        atomicStore(&local_seen[group], 1u);
    } else {
        combine_global(group * WORDS, low);
        if WORDS == 2u {
            combine_global(group * WORDS + 1u, high);
        }
        mark(group);
    }
}

@compute @workgroup_size(256)
fn bits(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let block = wid.x + wid.y * nwg.x;
    if block >= p.blocks {
        return;
    }
    for (var i = lid; i < p.local_groups * p.replicas * WORDS; i += 256u) {
        atomicStore(&local_state[i], p.neutral);
    }
    workgroupBarrier();

    var run = NO_GROUP;
    var low: u32;
    var high: u32;
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
        if group != run {
            if run != NO_GROUP {
                take_run(run, low, high, lid);
            }
            run = group;
            low = p.neutral;
            high = p.neutral;
        }
        low = combined(low, values[source * WORDS]);
        high = combined(high, values[source * WORDS + WORDS - 1u]);
    }
    if run != NO_GROUP {
        take_run(run, low, high, lid);
    }
    workgroupBarrier();

    for (var group = lid; group < p.local_groups; group += 256u) {
        if atomicLoad(&local_seen[group]) != 0u {
            for (var k = 0u; k < WORDS; k++) {
                var total = p.neutral;
                for (var r = 0u; r < p.replicas; r++) {
                    let at = (r * p.local_groups + group) * WORDS + k;
                    total = combined(total, atomicLoad(&local_state[at]));
                }
                combine_global(group * WORDS + k, total);
            }
            mark(group);
        }
    }
}
