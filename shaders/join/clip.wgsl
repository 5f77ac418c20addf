// clip: the pair counts of the rows of one piece, ready to be scanned.
//
// Algorithm: a copy; a piece may begin within the pairs of its first row.
//
// Buffers:  counts   u32[batch rows]  pairs of each row
//           offsets  u32[rows]        out: the piece's counts
// Params:   first (row), rows, skip (pairs of the first row that earlier pieces had)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   offsets.
// Determinism: the same bits in any order of threads.
struct Params {
    first: u32,
    rows: u32,
    skip: u32,
}

@group(0) @binding(0) var<storage, read> counts: array<u32>;
@group(0) @binding(1) var<storage, read_write> offsets: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn clip(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.rows; i += stride) {
        offsets[i] = counts[p.first + i] - select(0u, p.skip, i == 0u);
    }
}
