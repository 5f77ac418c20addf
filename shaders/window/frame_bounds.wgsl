// frame_bounds: the rows of each row's window frame.
//
// Purpose:   ROWS and RANGE frames of window functions.
// Algorithm: the bounds of the row's partition and of its peers, and distances from the row that
//            stop at the partition's bounds.
// Buffers:   part_first, part_after, peer_first, peer_after  u32[n]: the first row of the row's
//            partition and run of peers; at n - 1 - row, the first row after these
//            low, high  u32[n]: the first row of the frame and the first after it
// Params:    n
//            low_kind, high_kind    0 the partition's bound, 1 the peers', 2 so many rows before
//                                   the row, 3 after it
//            low_rows, high_rows    how many
// Launch:    workgroups of 256 that stride over the rows.
// Result:    low <= high, both within the partition; equal for an empty frame.
// Determinism: the same bits in any order of groups.

struct Params {
    n: u32,
    low_kind: u32,
    low_rows: u32,
    high_kind: u32,
    high_rows: u32,
}

@group(0) @binding(0) var<storage, read> part_first: array<u32>;
@group(0) @binding(1) var<storage, read> part_after: array<u32>;
@group(0) @binding(2) var<storage, read> peer_first: array<u32>;
@group(0) @binding(3) var<storage, read> peer_after: array<u32>;
@group(0) @binding(4) var<storage, read_write> low: array<u32>;
@group(0) @binding(5) var<storage, read_write> high: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(256)
fn frame_bounds(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        let first = part_first[i];
        let end = part_after[p.n - 1u - i];
        var begin = first;
        var stop = end;
        if p.low_kind == 1u {
            begin = peer_first[i];
        } else if p.low_kind == 2u {
            begin = select(i - p.low_rows, first, p.low_rows > i - first);
        } else if p.low_kind == 3u {
            begin = select(i + p.low_rows, end, p.low_rows >= end - i);
        }
        if p.high_kind == 1u {
            stop = peer_after[p.n - 1u - i];
        } else if p.high_kind == 2u {
            stop = select(i + 1u - p.high_rows, first, p.high_rows > i - first);
        } else if p.high_kind == 3u {
            stop = select(i + 1u + p.high_rows, end, p.high_rows >= end - i);
        }
        low[i] = begin;
        high[i] = max(begin, stop);
    }
}
