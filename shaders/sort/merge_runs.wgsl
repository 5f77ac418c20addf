// merge_runs: merges neighbouring pairs of sorted runs.
//
// Purpose:   one round of a merge sort over runs that are sorted already; stable.
// Algorithm: merge path (Green, McColl and Bader, "GPU Merge Path", ICS 2012): a thread finds by
//            binary search how many of its outputs' predecessors come from either run, and then
//            merges 8 outputs one after the other. A last run without a partner is copied.
//
// Buffers:  keys    u32[rows * words]  packed keys, least significant word first
//           rows    u32[n]             the rows of the runs, one run after the other
//           bounds  u32[runs + 1]      where each run begins, and n
//           out     u32[n]             the rows of the merged runs
// Params:   n, runs, words
// Launch:   any number of blocks of 256 threads; pieces of 8 outputs are strided over all.
// Result:   all of out; where a run is not sorted, rows of its pair, which ones is not defined.
//           Deterministic.
struct Params {
    n: u32,
    runs: u32,
    words: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read> bounds: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

const ITEMS: u32 = 8u;

// Whether the key of row a is less than that of row b.
fn less(a: u32, b: u32) -> bool {
    for (var w = p.words; w > 0u; w--) {
        let x = keys[a * p.words + w - 1u];
        let y = keys[b * p.words + w - 1u];
        if x != y {
            return x < y;
        }
    }
    return false;
}

// The pair of runs that output i lies in.
fn pair_of(i: u32) -> u32 {
    var low = 0u;
    var high = (p.runs + 1u) / 2u - 1u;
    while low < high {
        let middle = (low + high + 1u) / 2u;
        if bounds[2u * middle] <= i {
            low = middle;
        } else {
            high = middle - 1u;
        }
    }
    return low;
}

// Merges outputs i … end, which lie in one pair of runs a … b and b … c.
fn merge_piece(a: u32, b: u32, c: u32, begin: u32, end: u32) {
    let diagonal = begin - a;
    var low = diagonal - min(diagonal, c - b);
    var high = min(diagonal, b - a);
    while low < high {
        let middle = (low + high) / 2u;
        if less(rows[b + diagonal - 1u - middle], rows[a + middle]) {
            high = middle;
        } else {
            low = middle + 1u;
        }
    }
    var x = a + low;
    var y = b + diagonal - low;
    for (var i = begin; i < end; i++) {
        var second = x >= b;
        if !second && y < c {
            second = less(rows[y], rows[x]);
        }
        if second {
            out[i] = rows[y];
            y++;
        } else {
            out[i] = rows[x];
            x++;
        }
    }
}

@compute @workgroup_size(256)
fn merge_runs(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u * ITEMS;
    for (var at = ((wid.x + wid.y * nwg.x) * 256u + lid) * ITEMS; at < p.n; at += stride) {
        var i = at;
        let last = min(p.n - i, ITEMS) + i;
        var pair = pair_of(i);
        while i < last {
            let a = bounds[2u * pair];
            let b = bounds[2u * pair + 1u];
            var c = b;
            if 2u * pair + 2u <= p.runs {
                c = bounds[2u * pair + 2u];
            }
            let end = min(c, last);
            if i < end {
                merge_piece(a, b, c, i, end);
                i = end;
            }
            pair++;
        }
    }
}
