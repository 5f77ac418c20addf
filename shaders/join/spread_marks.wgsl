// spread_marks: gives every build row the mark of its key's first row.
//
// Algorithm: a gather.
//
// Buffers:  marks     u32[rows]   marks of keys' first rows
//           slots     u32[slots]  the table: first row + 1
//           row_slot  u32[rows]   the rows' slots; NO_SLOT rows have no mark
//           out       u32[rows]   out: the rows' marks
// Params:   rows
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   out.
// Determinism: the same bits in any order of threads.
struct Params {
    rows: u32,
}

@group(0) @binding(0) var<storage, read> marks: array<u32>;
@group(0) @binding(1) var<storage, read> slots: array<u32>;
@group(0) @binding(2) var<storage, read> row_slot: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(256)
fn spread_marks(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        let slot = row_slot[row];
        if slot == 0xffffffffu {
            out[row] = 0u;
        } else {
            out[row] = marks[slots[slot] - 1u];
        }
    }
}
