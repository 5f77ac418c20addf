// leader: finds, for each group, the row of a chunk that comes first in an order.
//
// Purpose:   first_value and last_value: the argument of one row of each group.
// Algorithm: a group's leader is a row number, exchanged for that of a row which comes before
//            it: one compare-exchange, tried again while the row held comes later. No thread
//            waits for another, since every exchange that fails is another row's success or
//            spurious, and what is compared, the packed keys, was written by earlier dispatches.
//            A thread first finds the leader of a run of rows of one group by itself, and looks
//            before it exchanges, so that few rows of a group queue at it.
//
// Buffers:  groups   u32[rows]                    the rows' groups, see rows.wgsl for modes
//           taken    u32[batch rows]              1 where a row counts; not read unless has_taken
//           keys     u32[batch rows * key_words]  packed order keys, least significant word
//                                                 first; not read where key_words is 0
//           leaders  u32[groups]                  in: NO_GROUP, or a row; out: the row, counted
//                                                 from row_base on, or NO_GROUP as it was
// Params:   rows, row_base, mode, has_taken, key_words, last (1: of equal rows the last, 0: the
//           first)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   leaders. Deterministic: no two rows of a group are equal in keys and number.
#import windlass::aggregate::rows::{NO_GROUP, MODE_ALL, group_from}

struct Params {
    rows: u32,
    row_base: u32,
    mode: u32,
    has_taken: u32,
    key_words: u32,
    last: u32,
}

@group(0) @binding(0) var<storage, read> groups: array<u32>;
@group(0) @binding(1) var<storage, read> taken: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> leaders: array<atomic<u32>>;
@group(0) @binding(4) var<uniform> p: Params;

// Whether row a comes before row b.
fn comes_before(a: u32, b: u32) -> bool {
    let at_a = (p.row_base + a) * p.key_words;
    let at_b = (p.row_base + b) * p.key_words;
    for (var k = p.key_words; k > 0u; k--) {
        let x = keys[at_a + k - 1u];
        let y = keys[at_b + k - 1u];
        if x != y {
            return x < y;
        }
    }
    return select(b > a, a > b, p.last != 0u);
}

fn offer(group: u32, row: u32) {
    var held = atomicLoad(&leaders[group]);
    loop {
        if held != NO_GROUP {
            if !comes_before(row, held) {
                return;
            }
        }
        let swap = atomicCompareExchangeWeak(&leaders[group], held, row);
        if swap.exchanged {
            return;
        }
        held = swap.old_value;
    }
}

@compute @workgroup_size(256)
fn leader(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    var run = NO_GROUP;
    var best = 0u;
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        var word: u32;
        if p.mode != MODE_ALL {
            word = groups[row];
        }
        let group = group_from(p.mode, word);
        if group == NO_GROUP {
            continue;
        }
        if p.has_taken != 0u {
            if taken[p.row_base + row] == 0u {
                continue;
            }
        }
        if group != run {
            if run != NO_GROUP {
                offer(run, best);
            }
            run = group;
            best = row;
        } else if comes_before(row, best) {
            best = row;
        }
    }
    if run != NO_GROUP {
        offer(run, best);
    }
}
