// pairs: writes the pairs of one piece.
//
// Algorithm: one thread for each pair finds its row by binary search in the scanned counts, so
// that a row with many pairs is shared out to many threads (load-balancing search; Baxter,
// Modern GPU, 2013). A block first finds the rows of its own pairs and searches among them.
//
// Buffers:  found    u32[batch rows]  where each row's build rows begin, NO_ROW without a match
//           offsets  u32[rows]        the exclusive scan of the piece's counts
//           order    u32[build rows]  build rows, those of one key side by side
//           probe    u32[pairs]       out: probe rows, ascending
//           build    u32[pairs]       out: build rows, NO_ROW for an outer row without a match
// Params:   first (row), rows, skip (pairs of the first row that earlier pieces had), pairs
// Launch:   one block of 256 threads for each 1,024 pairs.
// Result:   probe, build.
// Determinism: given its input.
struct Params {
    first: u32,
    rows: u32,
    skip: u32,
    pairs: u32,
}

@group(0) @binding(0) var<storage, read> found: array<u32>;
@group(0) @binding(1) var<storage, read> offsets: array<u32>;
@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read_write> probe: array<u32>;
@group(0) @binding(4) var<storage, read_write> build: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

const NO_ROW: u32 = 0xffffffffu;

var<workgroup> ends: array<u32, 2>;

// The last of rows first .. end - 1 whose offset is at most j; the first one's is.
fn row_of(first: u32, end: u32, j: u32) -> u32 {
    var low = first;
    var high = end;
    while high - low > 1u {
        let middle = low + (high - low) / 2u;
        if offsets[middle] <= j {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

@compute @workgroup_size(256)
fn pairs(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let base = (wid.x + wid.y * nwg.x) * 1024u;
    if base >= p.pairs {
        return;
    }
    let last = base + min(p.pairs - base, 1024u) - 1u;
    if lid < 2u {
        ends[lid] = row_of(0u, p.rows, select(last, base, lid == 0u));
    }
    workgroupBarrier();
    for (var k = 0u; k < 4u; k++) {
        let j = base + k * 256u + lid;
        if j <= last {
            let i = row_of(ends[0], ends[1] + 1u, j);
            let row = p.first + i;
            let start = found[row];
            probe[j] = row;
            if start == NO_ROW {
                build[j] = NO_ROW;
            } else {
                build[j] = order[start + j - offsets[i] + select(0u, p.skip, i == 0u)];
            }
        }
    }
}
