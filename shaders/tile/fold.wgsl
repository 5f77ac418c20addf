// fold: what becomes of the elements along the middle axis of an array of three.
//
// Algorithm: the middle axis is cut into parts. A workgroup takes a part of some lines: its
// threads lie in an array of three axes of its own, `wide` neighbours along the last axis by
// `tall` along the middle one by as many along the first as there are threads left for, so that
// neighbouring threads read neighbouring elements whatever the lengths are. A thread takes
// elements `tall` apart, and the threads of a line are merged by a tree. The host merges parts.
// Moments are merged as in Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm
// for Computing Sample Variances" (1979).
//
// Purpose:  sums, products, extremes and where they are, means with squared deviations.
// Buffers:  values  T[outer * n * inner], the last axis the fastest
//           kept_values  T[parts * outer * inner]: for each part the results, the last axis
//                   the fastest; with OP 6 the means
//           more    with OP 4 and 5 u32[parts * outer * inner]: the position along the middle
//                   axis; with OP 6 f64 of them: the squared deviations; else not written
// Params:   outer, n, inner, parts (1 to n), wide and tall (their product is at most 256)
// Launch:   any number of workgroups of 256; parts of lines are strided over them.
// Result:   kept_values and more. Integers wrap. A NaN is the result of an extreme that meets
//           one, but of OP 2 and 3 with IGNORE_NAN only where there is nothing else; equal
//           elements are found where they are first. Determinism: the same bits in any order of
//           threads; sums of floats depend on `parts` and `tall` by the rounding of
//           reassociated additions.
//
// KIND (0 u32, 1 i32, 2 u64, 3 i64, 4 f32, 5 f64), OP (0 sum, 1 product, 2 least, 3 greatest,
// 4 position of the least, 5 of the greatest, 6 moments of f64), EXTREME (1 for OP 2 to 5) and
// IGNORE_NAN are definitions.

struct Params {
    outer: u32,
    n: u32,
    inner: u32,
    parts: u32,
    wide: u32,
    tall: u32,
}

#if KIND == 0
alias T = u32;
fn is_nan(x: T) -> bool { return false; }
#endif
#if KIND == 1
alias T = i32;
fn is_nan(x: T) -> bool { return false; }
#endif
#if KIND == 2
alias T = u64;
fn is_nan(x: T) -> bool { return false; }
#endif
#if KIND == 3
alias T = i64;
fn is_nan(x: T) -> bool { return false; }
#endif
#if KIND == 4
alias T = f32;
fn is_nan(x: T) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
#endif
#if KIND == 5
alias T = f64;
fn is_nan(x: T) -> bool { return (bitcast<u64>(x) & 0x7ffffffffffffffflu) > 0x7ff0000000000000lu; }
#endif

// What is kept of elements that were seen; of none where count is 0.
struct Kept {
    value: T,
#if OP == 6
    squares: T,
#endif
    at: u32,
    count: u32,
}

@group(0) @binding(0) var<storage, read> values: array<T>;
@group(0) @binding(1) var<storage, read_write> kept_values: array<T>;
#if OP == 6
@group(0) @binding(2) var<storage, read_write> more: array<T>;
#else
@group(0) @binding(2) var<storage, read_write> more: array<u32>;
#endif
@group(0) @binding(3) var<uniform> p: Params;

// Whether b, which may stand anywhere, goes before a.
fn goes_before(a: Kept, b: Kept) -> bool {
    let nan_a = is_nan(a.value);
    let nan_b = is_nan(b.value);
    if nan_a || nan_b {
        if nan_a && nan_b {
            return b.at < a.at;
        }
#if IGNORE_NAN == 1
        return nan_a;
#else
        return nan_b;
#endif
    }
    if a.value == b.value {
        return b.at < a.at;
    }
#if OP == 3
    return b.value > a.value;
#else
#if OP == 5
    return b.value > a.value;
#else
    return b.value < a.value;
#endif
#endif
}

fn merged(a: Kept, b: Kept) -> Kept {
    if b.count == 0u {
        return a;
    }
    if a.count == 0u {
        return b;
    }
    var out = a;
#if OP == 0
    out.value = a.value + b.value;
#endif
#if OP == 1
    out.value = a.value * b.value;
#endif
#if OP == 6
    let total = f64(a.count) + f64(b.count);
    let d = b.value - a.value;
    out.value = a.value + d * (f64(b.count) / total);
    out.squares = a.squares + b.squares + d * d * (f64(a.count) * f64(b.count) / total);
#endif
#if EXTREME == 1
    if goes_before(a, b) {
        out.value = b.value;
        out.at = b.at;
    }
#endif
    out.count = a.count + b.count;
    return out;
}

fn taken(a: Kept, value: T, at: u32) -> Kept {
#if OP == 6
    var out = a;
    out.count = a.count + 1u;
    let d = value - a.value;
    out.value = a.value + d / f64(out.count);
    out.squares = a.squares + d * (value - out.value);
    return out;
#else
    var b = Kept();
    b.value = value;
    b.at = at;
    b.count = 1u;
    return merged(a, b);
#endif
}

fn write(a: Kept, to: u32) {
    kept_values[to] = a.value;
#if OP == 6
    more[to] = a.squares;
#endif
#if OP == 4
    more[to] = a.at;
#endif
#if OP == 5
    more[to] = a.at;
#endif
}

// Where a part begins: n * part / parts, whose product may pass 32 bits.
fn begin_of(part: u32) -> u32 {
    return (p.n / p.parts) * part + ((p.n % p.parts) * part) / p.parts;
}

var<workgroup> kept: array<Kept, 256>;

@compute @workgroup_size(256)
fn fold(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let group = wid.x + wid.y * nwg.x;
    let groups = nwg.x * nwg.y;
    let deep = 256u / (p.wide * p.tall);
    let x = lid % p.wide;
    let y = lid / p.wide % p.tall;
    let z = lid / (p.wide * p.tall);
    let columns = (p.inner + p.wide - 1u) / p.wide;
    let slabs = (p.outer + deep - 1u) / deep;
    let tasks = p.parts * columns * slabs;
    for (var task = group; task < tasks; task += groups) {
        let i = task % columns * p.wide + x;
        let rest = task / columns;
        let o = rest % slabs * deep + z;
        let part = rest / slabs;
        let live = z < deep && i < p.inner && o < p.outer;
        var a = Kept();
        if live {
            let end = begin_of(part + 1u);
            for (var j = begin_of(part) + y; j < end; j += p.tall) {
                a = taken(a, values[(o * p.n + j) * p.inner + i], j);
            }
        }
        if p.tall > 1u {
            kept[lid] = a;
            var rows = p.tall;
            while rows > 1u {
                workgroupBarrier();
                let half = (rows + 1u) / 2u;
                if live && y + half < rows {
                    a = merged(a, kept[lid + half * p.wide]);
                    kept[lid] = a;
                }
                rows = half;
            }
            workgroupBarrier();
        }
        if live && y == 0u {
            write(a, (part * p.outer + o) * p.inner + i);
        }
    }
}
