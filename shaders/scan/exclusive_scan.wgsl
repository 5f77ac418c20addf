// exclusive_scan: prefix sums of u32 counts, in place, modulo 2^32.
//
// Reduce-then-scan in three dispatches (Blelloch, "Prefix Sums and Their Applications",
// CMU-CS-90-190, 1990; the form of Merrill and Grimshaw, 2010): the first sums each tile,
// the sums are scanned by the same operation, the last scans each tile from its carry. A
// length of one tile takes the last dispatch alone. No workgroup waits for another.
//
// Buffers:  reduce: data u32[first + n] read, sums u32[tiles] written
//           scan:   data u32[first + n] in place, sums u32[tiles]: the scanned sums
// Params:   n       elements
//           first   index of the first one in data
//           carried 1 where carries are read, 0 for a single tile
//           total   index in data that gets the sum of all, or 0xffffffff
// Launch:   one workgroup of 256 for each tile of 2048 elements; reduce for each but the
//           last, whose sum no tile needs, so that its tiles are whole.
// Result:   data[first .. first + n]; data[total]. The same bits in any order of groups.

struct Params {
    n: u32,
    first: u32,
    carried: u32,
    total: u32,
}

@group(0) @binding(0) var<storage, read_write> data: array<u32>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

const ITEMS = 8u;
const TILE = 2048u;

var<workgroup> shared_sums: array<u32, 256>;

// Sum of `v` over the threads before this one, and over all of them (Hillis and Steele:
// eight steps over the workgroup).
fn block_exclusive(v: u32, tid: u32) -> vec2<u32> {
    shared_sums[tid] = v;
    workgroupBarrier();
    for (var d = 1u; d < 256u; d *= 2u) {
        var up = 0u;
        if (tid >= d) {
            up = shared_sums[tid - d];
        }
        workgroupBarrier();
        shared_sums[tid] += up;
        workgroupBarrier();
    }
    return vec2<u32>(shared_sums[tid] - v, shared_sums[255]);
}

@compute @workgroup_size(256)
fn reduce(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) tid: u32,
) {
    let group = wid.x + wid.y * nwg.x;
    let base = group * TILE;
    if (base >= p.n) {
        return;
    }
    var sum = 0u;
    for (var k = 0u; k < ITEMS; k++) {
        sum += data[p.first + base + k * 256u + tid];
    }
    let s = block_exclusive(sum, tid);
    if (tid == 0u) {
        sums[group] = s.y;
    }
}

@compute @workgroup_size(256)
fn scan(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) tid: u32,
) {
    let group = wid.x + wid.y * nwg.x;
    if (group * TILE >= p.n) {
        return;
    }
    let base = group * TILE + tid * ITEMS;
    var v: array<u32, 8>;
    var sum = 0u;
    for (var k = 0u; k < ITEMS; k++) {
        if (base + k < p.n) {
            v[k] = data[p.first + base + k];
        }
        sum += v[k];
    }
    let s = block_exclusive(sum, tid);
    var at = s.x;
    var all = s.y;
    if (p.carried != 0u) {
        at += sums[group];
        all += sums[group];
    }
    for (var k = 0u; k < ITEMS; k++) {
        if (base + k < p.n) {
            data[p.first + base + k] = at;
        }
        at += v[k];
    }
    if (tid == 0u && p.total != 0xffffffffu && group == (p.n - 1u) / TILE) {
        data[p.total] = all;
    }
}
