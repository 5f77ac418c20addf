// offsets: where each partition begins among the rows in the order of their partitions.
//
// Algorithm: binary search, one thread for each partition, so that a partition with most of the
// rows costs no more than an empty one.
//
// Buffers:  ids      u32[rows]       partitions by row
//           order    u32[rows]       row numbers in the order of their partitions
//           starts   u32[parts + 1]  out: rows before each partition, and all rows
// Params:   rows, parts
// Launch:   any number of blocks of 256 threads; partitions are strided over all threads.
// Result:   starts.
// Determinism: the same bits in any order of threads.
struct Params {
    rows: u32,
    parts: u32,
}

@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> starts: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(256)
fn offsets(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var part = (wid.x + wid.y * nwg.x) * 256u + lid; part <= p.parts; part += stride) {
        var low = 0u;
        var high = p.rows;
        while low < high {
            let middle = low + (high - low) / 2u;
            if ids[order[middle]] < part {
                low = middle + 1u;
            } else {
                high = middle;
            }
        }
        starts[part] = low;
    }
}
