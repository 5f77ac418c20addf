// search: where a value by each row stands among the sorted keys of the row's partition.
//
// Purpose:   the ends of RANGE frames by a distance: the value is the row's key and the distance.
// Algorithm: binary search over order-preserving codes: signed integers have their sign bit
//            flipped, floats (IEEE 754 totalOrder) have it flipped, or all bits where it is set;
//            of a descending order all bits are flipped. Nulls equal each other and come before
//            all values or after them.
// Buffers:   low, high     u32[n]: the first row of the row's partition and the first after it
//            keys          Value[n], sorted within each partition
//            key_valid     u32[n]: 0 where null; not read unless key_nulls
//            targets       Value[n]
//            target_valid  u32[n]: 0 where null; not read unless target_nulls
//            limit         u32[n]: the frame's other end
//            found         u32[n]
// Params:    n
//            order         0 unsigned, 1 signed, 2 float
//            descending
//            nulls_first
//            key_nulls, target_nulls
//            after         0: the first row whose key does not come before the target, at most
//                          limit; 1: the first row whose key comes after it, at least limit
// Launch:    workgroups of 256 that stride over the rows.
// Result:    found, between low and high where limit is.
// Determinism: the same bits in any order of groups.
//
// KIND is a definition: 0 values of 32 bits, 1 of 64 bits, 2 of 128 bits; words, low first, so
// that no value needs a feature of the adapter.

struct Params {
    n: u32,
    order: u32,
    descending: u32,
    nulls_first: u32,
    key_nulls: u32,
    target_nulls: u32,
    after: u32,
}

const SIGN = 0x80000000u;

#if KIND == 0
alias Value = u32;
fn encode(v: Value) -> Value {
    var c = v;
    if p.order == 2u && (v & SIGN) != 0u {
        c = ~c;
    } else if p.order != 0u {
        c ^= SIGN;
    }
    return select(c, ~c, p.descending != 0u);
}
fn less(a: Value, b: Value) -> bool { return a < b; }
fn equal(a: Value, b: Value) -> bool { return a == b; }
#endif
#if KIND == 1
alias Value = vec2<u32>;
fn encode(v: Value) -> Value {
    var c = v;
    if p.order == 2u && (v.y & SIGN) != 0u {
        c = ~c;
    } else if p.order != 0u {
        c.y ^= SIGN;
    }
    return select(c, ~c, vec2<bool>(p.descending != 0u));
}
fn less(a: Value, b: Value) -> bool { return a.y < b.y || (a.y == b.y && a.x < b.x); }
fn equal(a: Value, b: Value) -> bool { return all(a == b); }
#endif
#if KIND == 2
alias Value = vec4<u32>;
fn encode(v: Value) -> Value {
    var c = v;
    if p.order != 0u {
        c.w ^= SIGN;
    }
    return select(c, ~c, vec4<bool>(p.descending != 0u));
}
fn less(a: Value, b: Value) -> bool {
    for (var k = 0u; k < 4u; k++) {
        let w = 3u - k;
        if a[w] != b[w] {
            return a[w] < b[w];
        }
    }
    return false;
}
fn equal(a: Value, b: Value) -> bool { return all(a == b); }
#endif

@group(0) @binding(0) var<storage, read> low: array<u32>;
@group(0) @binding(1) var<storage, read> high: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<Value>;
@group(0) @binding(3) var<storage, read> key_valid: array<u32>;
@group(0) @binding(4) var<storage, read> targets: array<Value>;
@group(0) @binding(5) var<storage, read> target_valid: array<u32>;
@group(0) @binding(6) var<storage, read> limit: array<u32>;
@group(0) @binding(7) var<storage, read_write> found: array<u32>;
@group(0) @binding(8) var<uniform> p: Params;

// Whether the key of a row comes before the end that is looked for. Values stand in place 1,
// nulls in place 0 or 2.
fn comes_before(row: u32, wanted: Value, wanted_place: u32, null_place: u32) -> bool {
    var place = 1u;
    if p.key_nulls != 0u {
        place = select(1u, null_place, key_valid[row] == 0u);
    }
    if place != wanted_place {
        return place < wanted_place;
    }
    if place != 1u {
        return p.after != 0u;
    }
    let key = encode(keys[row]);
    return less(key, wanted) || (p.after != 0u && equal(key, wanted));
}

@compute @workgroup_size(256)
fn search(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    let null_place = select(2u, 0u, p.nulls_first != 0u);
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        var begin = low[i];
        var end = high[i];
        var place = 1u;
        if p.target_nulls != 0u {
            place = select(1u, null_place, target_valid[i] == 0u);
        }
        let wanted = encode(targets[i]);
        while begin < end {
            let middle = begin + (end - begin) / 2u;
            if comes_before(middle, wanted, place, null_place) {
                begin = middle + 1u;
            } else {
                end = middle;
            }
        }
        found[i] = select(min(begin, limit[i]), max(begin, limit[i]), p.after != 0u);
    }
}
