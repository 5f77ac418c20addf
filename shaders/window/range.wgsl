// range: sum, minimum, maximum or spread of the rows of each row's window frame.
//
// Purpose:   running and sliding SUM, MIN, MAX, VAR and STDDEV over any frame, passing over
//            nulls.
// Algorithm: a tree of sums (or extremes) of pairs, pairs of pairs and so on, of which a frame
//            is at most two nodes a level (Bentley, "Solutions to Klee's rectangle problems",
//            1977). Sums are made of the frame's own rows only: nothing is subtracted, so that
//            no float cancels and no NaN or infinity before a frame gets into it. Minima and
//            maxima are maxima of order-preserving codes: signed integers have their sign bit
//            flipped; floats (IEEE 754 totalOrder) have it flipped, or all bits where it is set;
//            a minimum is the largest complement. A spread is the sum of squared differences
//            from the mean: of two nodes it comes from their counts, means and sums (Chan, Golub
//            and LeVeque, "Algorithms for computing the sample variance", 1983).
// Buffers:   values      Item[n]
//            valid       u32[n]: 0 where null; not read unless has_valid
//            tree        Value[fewer than n]: level 1 first; nodes of which a row is not there
//                        are left out
//            tree_flags  u32: 1 where a node has a row that is not null; of a spread how many
//            low, high   u32[n]: the first row of a frame and the first after it; not read where
//                        a level is made
//            dst         Item[n]
//            dst_flags   u32[n]: 1 where the frame has a row that is not null
// Params:    n          rows
//            order      of minima and maxima: 0 unsigned, 1 signed, 2 float
//            is_min
//            has_valid
//            nodes      of the level to make; 0 to answer frames
//            below      first node of the level below in tree; 0xffffffff for the rows
//            at         first node of the level to make
// Launch:    one for each level, then one for the frames; workgroups of 256 that stride over
//            the nodes, or the rows.
// Result:    dst and dst_flags; an empty frame, or one of nulls, has the value 0.
// Determinism: the same bits in any order of groups: additions follow the tree.
//
// KIND is a definition: 0 u32 sum, 1 u64 sum, 2 f32 sum, 3 f64 sum, 4 codes of 32
// bits, 5 codes of 64 bits, 6 u128 sum, 7 codes of 128 bits, 8 f64 spread.
// A u64 is a pair of words, a u128 four, low first, so that only f64 needs a feature of the
// adapter.

struct Params {
    n: u32,
    order: u32,
    is_min: u32,
    has_valid: u32,
    nodes: u32,
    below: u32,
    at: u32,
}

const SIGN = 0x80000000u;
const ROWS = 0xffffffffu;

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
#if KIND == 6
alias Value = vec4<u32>;
fn apply(a: Value, b: Value) -> Value {
    var sum = Value();
    var carry = 0u;
    for (var w = 0u; w < 4u; w++) {
        let part = a[w] + b[w];
        let over = select(0u, 1u, part < a[w]);
        sum[w] = part + carry;
        carry = over + select(0u, 1u, sum[w] < part);
    }
    return sum;
}
#endif
#if KIND == 7
alias Value = vec4<u32>;
fn apply(a: Value, b: Value) -> Value {
    for (var k = 0u; k < 4u; k++) {
        let w = 3u - k;
        if a[w] != b[w] {
            return select(a, b, vec4<bool>(a[w] < b[w]));
        }
    }
    return a;
}
#endif

#if KIND == 8
// A node's mean, and the sum of its values' squared differences from it.
alias Value = vec2<f64>;
alias Item = f64;
#else
alias Item = Value;
#endif

@group(0) @binding(0) var<storage, read> values: array<Item>;
@group(0) @binding(1) var<storage, read> valid: array<u32>;
@group(0) @binding(2) var<storage, read_write> tree: array<Value>;
@group(0) @binding(3) var<storage, read_write> tree_flags: array<u32>;
@group(0) @binding(4) var<storage, read> low: array<u32>;
@group(0) @binding(5) var<storage, read> high: array<u32>;
@group(0) @binding(6) var<storage, read_write> dst: array<Item>;
@group(0) @binding(7) var<storage, read_write> dst_flags: array<u32>;
@group(0) @binding(8) var<uniform> p: Params;

#if KIND < 4
fn encode(v: Value) -> Value { return v; }
fn decode(v: Value) -> Value { return v; }
#endif
#if KIND == 6
fn encode(v: Value) -> Value { return v; }
fn decode(v: Value) -> Value { return v; }
#endif
#if KIND == 8
fn encode(v: Item) -> Value { return Value(v, 0.0lf); }
fn decode(v: Value) -> Item { return v.y; }
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
#if KIND == 7
fn encode(v: Value) -> Value {
    var c = v;
    if p.order != 0u {
        c.w ^= SIGN;
    }
    return select(c, ~c, vec4<bool>(p.is_min != 0u));
}
fn decode(v: Value) -> Value {
    var c = select(v, ~v, vec4<bool>(p.is_min != 0u));
    if p.order != 0u {
        c.w ^= SIGN;
    }
    return c;
}
#endif

// What some rows come to.
struct State {
    value: Value,
    // Of a spread how many values.
    seen: u32,
}

fn join(a: State, b: State) -> State {
    if b.seen == 0u {
        return a;
    }
    if a.seen == 0u {
        return b;
    }
#if KIND == 8
    let left = f64(a.seen);
    let right = f64(b.seen);
    let both = left + right;
    let apart = b.value.x - a.value.x;
    let squares = a.value.y + b.value.y + apart * apart * (left * right / both);
    return State(Value(a.value.x + apart * (right / both), squares), a.seen + b.seen);
#else
    return State(apply(a.value, b.value), 1u);
#endif
}

fn node(base: u32, i: u32) -> State {
    if base != ROWS {
        return State(tree[base + i], tree_flags[base + i]);
    }
    var seen = 1u;
    if p.has_valid != 0u {
        seen = select(0u, 1u, valid[i] != 0u);
    }
    if seen == 0u {
        return State(Value(), 0u);
    }
    return State(encode(values[i]), 1u);
}

@compute @workgroup_size(256)
fn range(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let start = (wid.x + wid.y * nwg.x) * 256u + lid;
    let stride = nwg.x * nwg.y * 256u;
    for (var i = start; i < p.nodes; i += stride) {
        let s = join(node(p.below, 2u * i), node(p.below, 2u * i + 1u));
        tree[p.at + i] = s.value;
        tree_flags[p.at + i] = s.seen;
    }
    if p.nodes != 0u {
        return;
    }
    for (var i = start; i < p.n; i += stride) {
        var begin = low[i];
        var end = high[i];
        var base = ROWS;
        var size = p.n;
        var left = State(Value(), 0u);
        var right = State(Value(), 0u);
        while begin < end {
            if (begin & 1u) != 0u {
                left = join(left, node(base, begin));
                begin += 1u;
            }
            if (end & 1u) != 0u {
                end -= 1u;
                right = join(node(base, end), right);
            }
            begin /= 2u;
            end /= 2u;
            base = select(base + size, 0u, base == ROWS);
            size /= 2u;
        }
        let s = join(left, right);
        var value = Item();
        if s.seen != 0u {
            value = decode(s.value);
        }
        dst[i] = value;
        dst_flags[i] = select(0u, 1u, s.seen != 0u);
    }
}
