// keep_leader: takes over the order key and the argument of a chunk's leading row where it comes
// before what a group has kept.
//
// Purpose:   first_value and last_value over several chunks and batches, whose rows are gone.
// Algorithm: a map over groups; rows of a later chunk come later among equals.
//
// Buffers:  keys     u32[batch rows * key_words]    packed order keys, least significant word
//                                                   first; not read where key_words is 0
//           values   u32[batch rows * value_words]  the argument
//           valid    u32[batch rows]                1 where not null; not read unless has_valid
//           leaders  u32[groups]                    the row that leader.wgsl found, counted from
//                                                   row_base on, or NO_GROUP; out: NO_GROUP
//           state    u32[groups * (2 + key_words + value_words)]  for each group whether it has a
//                                                   row, whether its argument is not null, its
//                                                   key, its argument; zeros at first
// Params:   groups, row_base, key_words, value_words, has_valid, last (1: of equal rows the last,
//           0: the first)
// Launch:   any number of blocks of 256 threads; groups are strided over all threads.
// Result:   state. Deterministic.
#import windlass::aggregate::rows::NO_GROUP

struct Params {
    groups: u32,
    row_base: u32,
    key_words: u32,
    value_words: u32,
    has_valid: u32,
    last: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> values: array<u32>;
@group(0) @binding(2) var<storage, read> valid: array<u32>;
@group(0) @binding(3) var<storage, read_write> leaders: array<u32>;
@group(0) @binding(4) var<storage, read_write> state: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

// Whether a row's key comes before the one of a state, or where they are equal a later row
// counts.
fn replaces(key: u32, kept: u32) -> bool {
    for (var k = p.key_words; k > 0u; k--) {
        let x = keys[key + k - 1u];
        let y = state[kept + k - 1u];
        if x != y {
            return x < y;
        }
    }
    return p.last != 0u;
}

fn keep(group: u32) {
    if leaders[group] == NO_GROUP {
        return;
    }
    let row = p.row_base + leaders[group];
    leaders[group] = NO_GROUP;
    let key = row * p.key_words;
    let at = group * (2u + p.key_words + p.value_words);
    if state[at] != 0u {
        if !replaces(key, at + 2u) {
            return;
        }
    }
    state[at] = 1u;
    var not_null = 1u;
    if p.has_valid != 0u {
        not_null = select(0u, 1u, valid[row] != 0u);
    }
    state[at + 1u] = not_null;
    for (var k = 0u; k < p.key_words; k++) {
        state[at + 2u + k] = keys[key + k];
    }
    for (var k = 0u; k < p.value_words; k++) {
        state[at + 2u + p.key_words + k] = values[row * p.value_words + k];
    }
}

@compute @workgroup_size(256)
fn keep_leader(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var group = (wid.x + wid.y * nwg.x) * 256u + lid; group < p.groups; group += stride) {
        keep(group);
    }
}
