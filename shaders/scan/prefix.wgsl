// prefix: running sums, minima and maxima of a column, over all rows or segment by segment,
// passing over nulls.
//
// Algorithm: reduce-then-scan (Blelloch, "Prefix Sums and Their Applications", CMU-CS-90-190,
// 1990; the form of Merrill and Grimshaw, 2010) with the operator on pairs of value and flag
// that makes segments part of the values (Schwartz 1980; Sengupta et al., "Scan Primitives for
// GPU Computing", 2007). A first dispatch reduces each tile, the tiles' states are scanned by the
// same operation, a last dispatch scans each tile from its carry. One tile takes the last dispatch
// alone. No workgroup waits for another. Minima and maxima are maxima of order-preserving codes:
// signed integers have their sign bit flipped; floats (IEEE 754 totalOrder) have it flipped, or
// all bits where it is set; a minimum is the largest complement.
//
// Purpose:  inclusive, exclusive and segmented scans, row numbers and ranks.
// Buffers:  values      Value[n]
//           valid       u32[n]: bit 0 is 1 where not null, bit 1 where a segment starts in what
//                       the value stands for; not read unless has_valid
//           starts      u32[n]: not 0 in the first row of a segment; not read unless has_starts
//           carries     Value[tiles], and
//           carry_flags u32[tiles]: the state before each tile; not read unless carried
//           dst         Value[n], or with reduce Value[tiles]
//           dst_flags   u32[n]: 1 where a value was seen in the segment so far; written if
//                       writes_flags; with reduce u32[tiles], flags as in valid, always written
// Params:   n, order (of min and max: 0 unsigned, 1 signed, 2 float), is_min, coded (values are
//           states of an earlier dispatch, so are neither coded nor decoded), has_valid,
//           has_starts, exclusive (a row's own value is left out), carried, writes_flags, reduce
// Launch:   one workgroup of 256 for each tile of 2048 rows.
// Result:   dst and dst_flags; a row before which nothing was seen has the value 0.
//           Determinism: the same bits in any order of groups, sums of floats too, since the
//           order of additions is fixed by the tiles.
//
// KIND is a definition: 0 u32 sum, 1 u64 sum, 2 f32 sum, 3 f64 sum, 4 codes of 32
// bits, 5 codes of 64 bits.
// A u64 is a pair of words, low first, so that only f64 needs a feature of the adapter.

struct Params {
    n: u32,
    order: u32,
    is_min: u32,
    coded: u32,
    has_valid: u32,
    has_starts: u32,
    exclusive: u32,
    carried: u32,
    writes_flags: u32,
    reduce: u32,
}

const ITEMS = 8u;
const TILE = 2048u;
const SEEN = 1u;
const START = 2u;
const SIGN = 0x80000000u;

#if KIND == 0
alias Value = u32;
fn apply(a: Value, b: Value) -> Value { return a + b; }
#endif
#if KIND == 1
alias Value = vec2<u32>;
fn apply(a: Value, b: Value) -> Value {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}
#endif
#if KIND == 2
alias Value = f32;
fn apply(a: Value, b: Value) -> Value { return a + b; }
#endif
#if KIND == 3
alias Value = f64;
fn apply(a: Value, b: Value) -> Value { return a + b; }
#endif
#if KIND == 4
alias Value = u32;
fn apply(a: Value, b: Value) -> Value { return max(a, b); }
#endif
#if KIND == 5
alias Value = vec2<u32>;
fn apply(a: Value, b: Value) -> Value {
    let less = a.y < b.y || (a.y == b.y && a.x < b.x);
    return select(a, b, vec2<bool>(less));
}
#endif

@group(0) @binding(0) var<storage, read> values: array<Value>;
@group(0) @binding(1) var<storage, read> valid: array<u32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read> carries: array<Value>;
@group(0) @binding(4) var<storage, read> carry_flags: array<u32>;
@group(0) @binding(5) var<storage, read_write> dst: array<Value>;
@group(0) @binding(6) var<storage, read_write> dst_flags: array<u32>;
@group(0) @binding(7) var<uniform> p: Params;

#if KIND < 4
fn encode(v: Value) -> Value { return v; }
fn decode(v: Value) -> Value { return v; }
#endif
#if KIND == 4
fn encode(v: Value) -> Value {
    var c = v;
    if p.order == 2u && (v & SIGN) != 0u {
        c = ~c;
    } else if p.order != 0u {
        c ^= SIGN;
    }
    return select(c, ~c, p.is_min != 0u);
}
fn decode(v: Value) -> Value {
    let c = select(v, ~v, p.is_min != 0u);
    if p.order == 2u && (c & SIGN) == 0u {
        return ~c;
    }
    return select(c, c ^ SIGN, p.order != 0u);
}
#endif
#if KIND == 5
fn encode(v: Value) -> Value {
    var c = v;
    if p.order == 2u && (v.y & SIGN) != 0u {
        c = ~c;
    } else if p.order != 0u {
        c.y ^= SIGN;
    }
    return select(c, ~c, vec2<bool>(p.is_min != 0u));
}
fn decode(v: Value) -> Value {
    var c = select(v, ~v, vec2<bool>(p.is_min != 0u));
    if p.order == 2u && (c.y & SIGN) == 0u {
        return ~c;
    }
    if p.order != 0u {
        c.y ^= SIGN;
    }
    return c;
}
#endif

// What a range of rows comes to.
struct State {
    value: Value,
    flags: u32,
}

fn join(a: State, b: State) -> State {
    if (b.flags & START) != 0u {
        return b;
    }
    return State(apply(a.value, b.value), a.flags | b.flags);
}

var<workgroup> block_values: array<Value, 256>;
var<workgroup> block_flags: array<u32, 256>;

@compute @workgroup_size(256)
fn prefix(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let group = wid.x + wid.y * nwg.x;
    if group >= (p.n + TILE - 1u) / TILE {
        return;
    }
    let base = group * TILE + lid * ITEMS;
    var rows: array<State, 8>;
    var sum = State(Value(), 0u);
    for (var k = 0u; k < ITEMS; k++) {
        var row = State(Value(), 0u);
        if base + k < p.n {
            row.flags = SEEN;
            if p.has_valid != 0u {
                row.flags = valid[base + k];
            }
            if (row.flags & SEEN) != 0u {
                row.value = values[base + k];
                if p.coded == 0u {
                    row.value = encode(row.value);
                }
            }
            if p.has_starts != 0u {
                if starts[base + k] != 0u {
                    row.flags |= START;
                }
            }
        }
        rows[k] = row;
        sum = join(sum, row);
    }

    // Hillis and Steele: eight steps over the workgroup.
    block_values[lid] = sum.value;
    block_flags[lid] = sum.flags;
    workgroupBarrier();
    for (var d = 1u; d < 256u; d *= 2u) {
        var up = State(Value(), 0u);
        if lid >= d {
            up = State(block_values[lid - d], block_flags[lid - d]);
        }
        workgroupBarrier();
        sum = join(up, sum);
        block_values[lid] = sum.value;
        block_flags[lid] = sum.flags;
        workgroupBarrier();
    }

    if p.reduce != 0u {
        if lid == 255u {
            dst[group] = sum.value;
            dst_flags[group] = sum.flags;
        }
        return;
    }
    var at = State(Value(), 0u);
    if lid > 0u {
        at = State(block_values[lid - 1u], block_flags[lid - 1u]);
    }
    if p.carried != 0u {
        at = join(State(carries[group], carry_flags[group]), at);
    }
    for (var k = 0u; k < ITEMS; k++) {
        let next = join(at, rows[k]);
        var result = next;
        if p.exclusive != 0u {
            result = at;
            if p.has_starts != 0u && (rows[k].flags & START) != 0u {
                result.flags = 0u;
            }
        }
        at = next;
        if base + k < p.n {
            var value = Value();
            if (result.flags & SEEN) != 0u {
                value = result.value;
                if p.coded == 0u {
                    value = decode(value);
                }
            }
            dst[base + k] = value;
            if p.writes_flags != 0u {
                dst_flags[base + k] = result.flags & SEEN;
            }
        }
    }
}
