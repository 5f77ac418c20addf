// run_rows: the selected rows by number, for a scan that finds the selected row before each row.
//
// Purpose:   group-by over sorted rows of which a filter drops some.
// Algorithm: a map; the exclusive maximum scan of the result names, for each row, the last
//            selected one before it.
//
// Buffers:  selected  u32[batch rows]  0 where a row is not selected
//           numbers   u32[rows]        out: the number of the row within the chunk, from 1 on; 0
//                                      where it is not selected
// Params:   rows (of the chunk), row_base (its first row in the batch)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   numbers. Deterministic.
struct Params {
    rows: u32,
    row_base: u32,
}

@group(0) @binding(0) var<storage, read> selected: array<u32>;
@group(0) @binding(1) var<storage, read_write> numbers: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn run_rows(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        numbers[row] = select(0u, row + 1u, selected[p.row_base + row] != 0u);
    }
}
