// scan: running sums and products along the middle axis of an array of three.
//
// Algorithm: reduce-then-scan (Blelloch, "Prefix Sums and Their Applications", CMU-CS-90-190,
// 1990; the form of Merrill and Grimshaw, 2010). The axis is cut into parts, each of which was
// folded before; a workgroup adds up the parts before its own and scans it from there, so that
// none waits for another. Its threads lie on the array as those of `fold` do: `wide` neighbours
// along the last axis by `tall` along the middle one by as many along the first as are left. A
// thread takes 8 elements one after the other, and the threads of a line are scanned in the
// workgroup's memory (Hillis and Steele, "Data Parallel Algorithms", 1986).
//
// Purpose:  cumulative sums and products of tiles, one tile behind the other.
// Buffers:  values  T[outer * n * inner], the last axis the fastest
//           before  T[outer * inner]: what comes before each line; not read unless carried
//           sums    T[parts * outer * inner]: the parts of lines folded; not read unless there
//                   are several
//           dst     T[outer * n * inner]: element by element the result up to and with it
//           after   T[outer * inner]: the last result of each line
// Params:   outer, n, inner, parts (1 to n, cut as `fold` cuts them), wide and tall (their
//           product is at most 256), carried
// Launch:   any number of workgroups of 256; parts of lines are strided over them.
// Result:   dst and after; integers wrap. Determinism: the same bits in any order of threads;
//           those of floats depend on `parts` and `tall` by the rounding of reassociated
//           operations.
//
// KIND (2 u64, 4 f32, 5 f64) and OP (0 sum, 1 product) are definitions.

struct Params {
    outer: u32,
    n: u32,
    inner: u32,
    parts: u32,
    wide: u32,
    tall: u32,
    carried: u32,
}

const ITEMS = 8u;

#if KIND == 2
alias T = u64;
#endif
#if KIND == 4
alias T = f32;
#endif
#if KIND == 5
alias T = f64;
#endif

// What changes nothing.
#if OP == 0
const NOTHING = T(0);
fn apply(a: T, b: T) -> T { return a + b; }
#else
const NOTHING = T(1);
fn apply(a: T, b: T) -> T { return a * b; }
#endif

@group(0) @binding(0) var<storage, read> values: array<T>;
@group(0) @binding(1) var<storage, read> before: array<T>;
@group(0) @binding(2) var<storage, read> sums: array<T>;
@group(0) @binding(3) var<storage, read_write> dst: array<T>;
@group(0) @binding(4) var<storage, read_write> after: array<T>;
@group(0) @binding(5) var<uniform> p: Params;

// Where a part begins: n * part / parts, whose product may pass 32 bits.
fn begin_of(part: u32) -> u32 {
    return (p.n / p.parts) * part + ((p.n % p.parts) * part) / p.parts;
}

var<workgroup> kept: array<T, 256>;

@compute @workgroup_size(256)
fn scan(
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
    let chunk = p.tall * ITEMS;
    let tasks = p.parts * columns * slabs;
    for (var task = group; task < tasks; task += groups) {
        let i = task % columns * p.wide + x;
        let rest = task / columns;
        let o = rest % slabs * deep + z;
        let part = rest / slabs;
        let live = z < deep && i < p.inner && o < p.outer;
        let line = o * p.inner + i;
        let begin = begin_of(part);
        let end = begin_of(part + 1u);
        // What comes before the part.
        var at = NOTHING;
        if p.parts > 1u {
            if live {
                for (var q = y; q < part; q += p.tall) {
                    at = apply(at, sums[q * p.outer * p.inner + line]);
                }
            }
            kept[lid] = at;
            var rows = p.tall;
            while rows > 1u {
                workgroupBarrier();
                let half = (rows + 1u) / 2u;
                if live && y + half < rows {
                    kept[lid] = apply(kept[lid], kept[lid + half * p.wide]);
                }
                rows = half;
            }
            workgroupBarrier();
            if live {
                at = kept[lid - y * p.wide];
            }
            workgroupBarrier();
        }
        if live && p.carried != 0u {
            at = apply(before[line], at);
        }
        for (var first = begin; first < end; first += chunk) {
            var own_values: array<T, 8>;
            var sum = NOTHING;
            let own = first + y * ITEMS;
            for (var k = 0u; k < ITEMS; k++) {
                own_values[k] = NOTHING;
                if live && own + k < end {
                    own_values[k] = values[(o * p.n + own + k) * p.inner + i];
                }
                sum = apply(sum, own_values[k]);
            }
            var result = at;
            if p.tall > 1u {
                kept[lid] = sum;
                workgroupBarrier();
                for (var d = 1u; d < p.tall; d *= 2u) {
                    var up = NOTHING;
                    if live && y >= d {
                        up = kept[lid - d * p.wide];
                    }
                    workgroupBarrier();
                    sum = apply(up, sum);
                    kept[lid] = sum;
                    workgroupBarrier();
                }
                if live {
                    if y > 0u {
                        result = apply(at, kept[lid - p.wide]);
                    }
                    sum = kept[lid + (p.tall - 1u - y) * p.wide];
                }
                workgroupBarrier();
            }
            at = apply(at, sum);
            for (var k = 0u; k < ITEMS; k++) {
                result = apply(result, own_values[k]);
                if live && own + k < end {
                    dst[(o * p.n + own + k) * p.inner + i] = result;
                    if own + k + 1u == p.n {
                        after[line] = result;
                    }
                }
            }
        }
    }
}
