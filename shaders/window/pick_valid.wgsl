// pick_valid: one row of each row's window frame, among those that are not null.
//
// Purpose:   FIRST_VALUE, LAST_VALUE, NTH_VALUE, LAG and LEAD with IGNORE NULLS: the number of the
//            row to gather.
// Algorithm: the running count of rows that are not null tells which of them, counted from the
//            first row of all, is wanted; binary search for the row where the count gets there
//            (Jacobson, "Space-efficient static trees and graphs", 1989: select by rank).
// Buffers:   low, high  u32[n]: the first row of the frame and the first after it
//            upto       u32[n]: rows that are not null up to each row, its own included
//            picked     u32[n]: the row, 0xffffffff where the frame has not so many
// Params:    n
//            k          how many such rows come between the frame's bound and the row
//            from_last  1 to count from the last row
// Launch:    workgroups of 256 that stride over the rows.
// Result:    picked.
// Determinism: the same bits in any order of groups.

struct Params {
    n: u32,
    k: u32,
    from_last: u32,
}

@group(0) @binding(0) var<storage, read> low: array<u32>;
@group(0) @binding(1) var<storage, read> high: array<u32>;
@group(0) @binding(2) var<storage, read> upto: array<u32>;
@group(0) @binding(3) var<storage, read_write> picked: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

// Rows before this one that are not null.
fn count_before(row: u32) -> u32 {
    if row == 0u {
        return 0u;
    }
    return upto[row - 1u];
}

@compute @workgroup_size(256)
fn pick_valid(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        var begin = low[i];
        var end = high[i];
        let before = count_before(begin);
        let through = count_before(end);
        var row = 0xffffffffu;
        if end > begin && p.k < through - before {
            let rank = select(before + p.k + 1u, through - p.k, p.from_last != 0u);
            while begin < end {
                let middle = begin + (end - begin) / 2u;
                if upto[middle] < rank {
                    begin = middle + 1u;
                } else {
                    end = middle;
                }
            }
            row = begin;
        }
        picked[i] = row;
    }
}
