// select_counts: how often each digit occurs among the keys with a given prefix.
//
// Purpose:   finds the k-th smallest key, a digit at a time, without a sort.
// Algorithm: radix selection, most significant digit first (Alabi, Blanchard, Gordon and
//            Steinbach, "Fast k-Selection Algorithms for Graphics Processing Units", ACM JEA
//            17, 2012). A block counts in shared memory and adds its counts to the result.
//
// Buffers:  keys    u32[n]
//           counts  u32[256], zeros at first; out: of each digit
// Params:   n, shift (of the digit), bound (1: only keys whose bits above the digit equal
//           prefix), prefix
// Launch:   any number of blocks of 256 threads; keys are strided over all threads.
// Result:   all of counts. Determinism: the same bits in any order.
struct Params {
    n: u32,
    shift: u32,
    bound: u32,
    prefix: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> p: Params;

var<workgroup> local: array<atomic<u32>, 256>;

@compute @workgroup_size(256)
fn select_counts(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        let key = keys[i] >> p.shift;
        if p.bound == 0u || (key >> 8u) == p.prefix {
            atomicAdd(&local[key & 255u], 1u);
        }
    }
    workgroupBarrier();
    let c = atomicLoad(&local[lid]);
    if c != 0u {
        atomicAdd(&counts[lid], c);
    }
}
