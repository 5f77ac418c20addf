// insert: gives each build row the slot of its key.
//
// Algorithm: open addressing with linear probing over a power-of-two table at a load of at most
// one half. A slot is 0 (empty) or r + 1, where row r is the first that claimed it; the packed
// keys, written by earlier launches, are compared exactly. A claim is one compare-exchange, so
// relaxed atomics suffice and no thread waits for another (Alcantara et al., "Real-Time Parallel
// Hashing on the GPU", 2009; Juenger et al., "WarpCore", 2020).
//
// Buffers:  keys      u32[rows * key_words]  packed keys
//           live      u32[rows]              0 where the row matches nothing; not read unless
//                                            has_live
//           slots     u32[mask + 1]          in: zeros; out: the table
//           row_slot  u32[rows]              out: the slot of the row's key, NO_SLOT if not live
// Params:   rows, key_words, mask, has_live
// Launch:   any number of blocks of 256 threads; rows are strided over all threads. The table
//           has at least twice as many slots as rows.
// Result:   slots, row_slot.
// Determinism: which row of equal keys claims, and which slot a key gets, depends on the order
// of execution.
#import windlass::aggregate::key_hash

struct Params {
    rows: u32,
    key_words: u32,
    mask: u32,
    has_live: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> live: array<u32>;
@group(0) @binding(2) var<storage, read_write> slots: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read_write> row_slot: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

const NO_SLOT: u32 = 0xffffffffu;

fn same_key(a: u32, b: u32) -> bool {
    for (var k = 0u; k < p.key_words; k++) {
        if keys[a * p.key_words + k] != keys[b * p.key_words + k] {
            return false;
        }
    }
    return true;
}

fn slot_of(row: u32) -> u32 {
    var hash = key_hash::SEED;
    for (var k = 0u; k < p.key_words; k++) {
        hash = key_hash::mix(hash, keys[row * p.key_words + k]);
    }
    var slot = key_hash::finish(hash, p.key_words) & p.mask;
    loop {
        var held = atomicLoad(&slots[slot]);
        if held == 0u {
            let claim = atomicCompareExchangeWeak(&slots[slot], 0u, row + 1u);
            if claim.exchanged {
                return slot;
            }
            held = claim.old_value;
            if held == 0u {
                continue; // a spurious failure: the same slot again
            }
        }
        if same_key(row, held - 1u) {
            return slot;
        }
        slot = (slot + 1u) & p.mask;
    }
    return NO_SLOT;
}

@compute @workgroup_size(256)
fn insert(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        var ok = true;
        if p.has_live != 0u {
            ok = live[row] != 0u;
        }
        if ok {
            row_slot[row] = slot_of(row);
        } else {
            row_slot[row] = NO_SLOT;
        }
    }
}
