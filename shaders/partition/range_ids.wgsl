// range_ids: the partition of each row, by splitters.
//
// Algorithm: binary search for the number of splitters that are at most the row's key.
//
// Buffers:  keys       u32[rows * key_words]       ordered keys of the rows (order_key)
//           splitters  u32[splitters * key_words]  ordered keys, ascending
//           ids        u32[rows]                   out: partitions, 0 to the number of splitters
// Params:   rows, splitters (how many), key_words
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   ids.
// Determinism: the same bits in any order of threads.
struct Params {
    rows: u32,
    splitters: u32,
    key_words: u32,
}

@group(0) @binding(0) var<storage, read> keys: array<u32>;
@group(0) @binding(1) var<storage, read> splitters: array<u32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

// Whether a splitter is at most the key of a row.
fn at_most(splitter: u32, row: u32) -> bool {
    for (var k = 0u; k < p.key_words; k++) {
        let a = splitters[splitter * p.key_words + k];
        let b = keys[row * p.key_words + k];
        if a != b {
            return a < b;
        }
    }
    return true;
}

@compute @workgroup_size(256)
fn range_ids(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        var low = 0u;
        var high = p.splitters;
        while low < high {
            let middle = low + (high - low) / 2u;
            if at_most(middle, row) {
                low = middle + 1u;
            } else {
                high = middle;
            }
        }
        ids[row] = low;
    }
}
