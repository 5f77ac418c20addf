// rehash: fills an empty, larger group table with the groups known so far.
//
// Buffers:  group_keys  u32[groups * key_words]  packed keys of the groups, all different
//           slots       u32[mask + 1]            in: zeros; out: g + 1 in each group's slot
// Params:   groups, key_words, mask
// Launch:   any number of blocks of 256 threads; groups are strided over all threads. The
//           table has more slots than groups.
// Result:   slots. Which slot a key gets depends on the order of execution.
#import windlass::aggregate::key_hash

struct Params {
    groups: u32,
    key_words: u32,
    mask: u32,
}

@group(0) @binding(0) var<storage, read> group_keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> slots: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> p: Params;

fn rehash_group(group: u32) {
    var hash = key_hash::SEED;
    for (var k = 0u; k < p.key_words; k++) {
        hash = key_hash::mix(hash, group_keys[group * p.key_words + k]);
    }
    var slot = key_hash::finish(hash, p.key_words) & p.mask;
    loop {
        if atomicLoad(&slots[slot]) == 0u {
            let claim = atomicCompareExchangeWeak(&slots[slot], 0u, group + 1u);
            if claim.exchanged {
                return;
            }
            if claim.old_value == 0u {
                continue; // a spurious failure: the same slot again
            }
        }
        slot = (slot + 1u) & p.mask;
    }
}

@compute @workgroup_size(256)
fn rehash(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var group = (wid.x + wid.y * nwg.x) * 256u + lid; group < p.groups; group += stride) {
        rehash_group(group);
    }
}
