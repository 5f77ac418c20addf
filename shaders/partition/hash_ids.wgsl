// hash_ids: the partition of each row, by its hash.
//
// Algorithm: the low word of the row's hash modulo the number of partitions; the low words of
// different rows are as good as independent (kernels/hash/hash_column.cu).
//
// Buffers:  hashes  u32[rows * 2]  row hashes, low word first
//           ids     u32[rows]      out: partitions
// Params:   rows, parts
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   ids.
// Determinism: the same bits on every backend and in any order of threads.
struct Params {
    rows: u32,
    parts: u32,
}

@group(0) @binding(0) var<storage, read> hashes: array<u32>;
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn hash_ids(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        ids[row] = hashes[row * 2u] % p.parts;
    }
}
