// boundary: where a key column differs from the row before.
//
// Purpose:   the bounds of groups and peers in sorted rows. Null equals null.
// Algorithm: a map over pairs of neighbours; one launch for each key column.
//
// Buffers:  values  the key column's values, any storage
//           valid   its validity; not read where nulls is 0
//           order   u32[n]  the rows in order; not read unless ordered
//           flags   u32[n]  out: 1 where item i differs from item i - 1, and for item 0
// Params:   n (items), ordered (0: item i is row i), store (1: write flags, 0: OR into them);
//           then the column, see key.cuh
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   flags, complete once every key column has been added. Deterministic.
#import windlass::sort::key::{KeyColumn, key_word, key_is_null}

struct Params {
    n: u32,
    ordered: u32,
    store: u32,
    bytes: u32,
    first_bit: u32,
    bits: u32,
    kind: u32,
    descending: u32,
    nulls: u32,
    null_bit: u32,
    nulls_first: u32,
}

@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read_write> flags: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

fn column() -> KeyColumn {
    return KeyColumn(
        p.bytes,
        p.first_bit,
        p.bits,
        p.kind,
        p.descending,
        p.nulls,
        p.null_bit,
        p.nulls_first,
    );
}

fn differs(c: KeyColumn, a: u32, b: u32) -> bool {
    let words = (c.bits + 31u) / 32u;
    for (var w = 0u; w < words; w++) {
        if key_word(c, a, w) != key_word(c, b, w) {
            return true;
        }
    }
    return key_is_null(c, a) != key_is_null(c, b);
}

// The row of item i.
fn row_of(i: u32) -> u32 {
    if p.ordered != 0u {
        return order[i];
    }
    return i;
}

@compute @workgroup_size(256)
fn boundary(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    let c = column();
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        var flag = 1u;
        if i > 0u {
            flag = select(0u, 1u, differs(c, row_of(i - 1u), row_of(i)));
        }
        if p.store != 0u {
            flags[i] = flag;
        } else {
            flags[i] |= flag;
        }
    }
}
