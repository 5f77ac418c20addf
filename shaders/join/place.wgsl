// place: brings the build rows of each key together.
//
// Algorithm: the fill of count, scan, fill (a counting sort by slot; Knuth, The Art of Computer
// Programming 3, 5.2).
//
// Buffers:  row_slot  u32[rows]       the rows' slots; NO_SLOT rows have no place
//           row_rank  u32[rows]       the rows' numbers within their slots
//           starts    u32[slots + 1]  the scan of the slots' counts
//           order     u32[live rows]  out: row numbers, those of one slot side by side
// Params:   rows
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   order.
// Determinism: given its input.
struct Params {
    rows: u32,
}

@group(0) @binding(0) var<storage, read> row_slot: array<u32>;
@group(0) @binding(1) var<storage, read> row_rank: array<u32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> order: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(256)
fn place(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        let slot = row_slot[row];
        if slot != 0xffffffffu {
            order[starts[slot] + row_rank[row]] = row;
        }
    }
}
