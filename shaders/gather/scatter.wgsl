// scatter: where the rows of a scatter come from, so that a gather can do the moving.
//
// Algorithm: the inverse of the given row numbers (gather and scatter: He et al., "Efficient
// Gather and Scatter Operations on Graphics Processors", SC 2007). Writing values to their
// places would touch a whole memory sector for each value of each column; inverted, one column
// of row numbers is written so, and the values are read instead. It also keeps the parts of a
// row together where two rows are sent to one place.
//
// Purpose:  scatter.
// Buffers:  indices u32[n]     the place of each row; 0xffffffff: nowhere
//           sources u32[rows]  the row that each place gets; 0xffffffff everywhere at first
// Params:   n, rows (places; a number that is not less goes nowhere)
// Launch:   any number of workgroups of 256; rows are strided over all threads.
// Result:   sources. Determinism: the same bits in any order where no place is named twice;
//           else any one of the rows sent there.

struct Params {
    n: u32,
    rows: u32,
}

@group(0) @binding(0) var<storage, read> indices: array<u32>;
@group(0) @binding(1) var<storage, read_write> sources: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn scatter(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        let place = indices[i];
        if place < p.rows {
            atomicStore(&sources[place], i);
        }
    }
}
