// digit_scatter: moves keys and their rows to the places that their digits give them.
//
// Purpose:   the last of the three steps of a radix sort's pass; stable.
// Algorithm: each thread counts the digits of 8 consecutive keys, two counts in a word, in shared
//            memory; a scan of these counts in the order of digits, then threads, makes the rank
//            of each key a place in the tile (Satish, Harris and Garland, "Designing Efficient
//            Sorting Algorithms for Manycore GPUs", IPDPS 2009). The tile is put in that order
//            in shared memory, so that writes of equal digits are consecutive. Places in the
//            result come from the scanned counts of digit_counts; no workgroup waits for another.
//
// Buffers:  keys      u32[n]
//           rows      u32[n]
//           offsets   u32[16 * tiles]  digit_counts' result after an exclusive scan
//           keys_out  u32[n]
//           rows_out  u32[n]
// Params:   n, tiles, shift (of the digit in a key)
// Launch:   one workgroup of 256 for each tile of 2048 keys.
// Result:   all of keys_out and rows_out. Deterministic.
struct Params {
    n: u32,
    tiles: u32,
    shift: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
@group(0) @binding(3) var<storage, read_write> keys_out: array<u32>;
@group(0) @binding(4) var<storage, read_write> rows_out: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

const TILE: u32 = 2048u;
const ITEMS: u32 = 8u;

// Word (d % 8) * 256 + t counts digit d of thread t in the half d / 8; later the staged tile.
var<workgroup> counts: array<u32, 2048>;
var<workgroup> sums: array<u32, 256>;
// What turns a place in the tile into one in the result, for each digit.
var<workgroup> targets: array<u32, 16>;

// Places before `v` in the threads before this one, and in all of them (Hillis and Steele).
fn group_exclusive(v: u32, lid: u32) -> vec2<u32> {
    sums[lid] = v;
    workgroupBarrier();
    for (var d = 1u; d < 256u; d *= 2u) {
        var up = 0u;
        if lid >= d {
            up = sums[lid - d];
        }
        workgroupBarrier();
        sums[lid] += up;
        workgroupBarrier();
    }
    return vec2<u32>(sums[lid] - v, sums[255]);
}

@compute @workgroup_size(256)
fn digit_scatter(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let tile = wid.x + wid.y * nwg.x;
    if tile >= p.tiles {
        return;
    }
    let base = tile * TILE;
    let count = min(p.n - base, TILE);

    // Each thread counts its own 8 consecutive keys.
    for (var j = 0u; j < 8u; j++) {
        counts[j * 256u + lid] = 0u;
    }
    let first = lid * ITEMS;
    var key: array<u32, 8>;
    for (var k = 0u; k < ITEMS; k++) {
        if first + k < count {
            key[k] = keys[base + first + k];
            let digit = (key[k] >> p.shift) & 15u;
            counts[(digit % 8u) * 256u + lid] += 1u << (digit / 8u * 16u);
        }
    }
    workgroupBarrier();

    // A scan over the words, both halves at once; all lower halves come before the upper ones.
    var v: array<u32, 8>;
    var sum = 0u;
    for (var j = 0u; j < 8u; j++) {
        v[j] = counts[lid * 8u + j];
        sum += v[j];
    }
    let before = group_exclusive(sum, lid);
    var place = before.x + ((before.y & 0xffffu) << 16u);
    for (var j = 0u; j < 8u; j++) {
        counts[lid * 8u + j] = place;
        place += v[j];
    }
    workgroupBarrier();
    if lid < 16u {
        let start = (counts[(lid % 8u) * 256u] >> (lid / 8u * 16u)) & 0xffffu;
        targets[lid] = offsets[lid * p.tiles + tile] - start;
    }
    workgroupBarrier();

    var rank: array<u32, 8>;
    for (var k = 0u; k < ITEMS; k++) {
        if first + k < count {
            let digit = (key[k] >> p.shift) & 15u;
            let at = (digit % 8u) * 256u + lid;
            let half = digit / 8u * 16u;
            rank[k] = (counts[at] >> half) & 0xffffu;
            counts[at] += 1u << half;
        }
    }
    workgroupBarrier();
    for (var k = 0u; k < ITEMS; k++) {
        if first + k < count {
            counts[rank[k]] = key[k];
        }
    }
    workgroupBarrier();
    var to: array<u32, 8>;
    for (var k = 0u; k < ITEMS; k++) {
        let at = lid + k * 256u;
        if at < count {
            let moved = counts[at];
            to[k] = targets[(moved >> p.shift) & 15u] + at;
            keys_out[to[k]] = moved;
        }
    }
    workgroupBarrier();
    for (var k = 0u; k < ITEMS; k++) {
        if first + k < count {
            counts[rank[k]] = rows[base + first + k];
        }
    }
    workgroupBarrier();
    for (var k = 0u; k < ITEMS; k++) {
        let at = lid + k * 256u;
        if at < count {
            rows_out[to[k]] = counts[at];
        }
    }
}
