// matmul: products of matrices, C = A B or C = D + A B, one or a batch of them.
//
// Algorithm: a workgroup makes a tile of 64 x 64 results, 4 x 4 of them a thread, in steps of 16
// along the axis that is summed: both operands' parts of a step lie in the workgroup's memory,
// 16 KiB of the widest elements (Volkov and Demmel, "Benchmarking GPUs to Tune Dense Linear
// Algebra", 2008; the tiles of CUTLASS' smallest SIMT kernels). What is past an edge is 0.
//
// Purpose:  products of tiles in any layout, transposed operands too.
// Buffers:  lhs   T[..]: A, at lhs_offset + batch * lhs_batch + row * lhs_row + column * lhs_column
//           rhs   T[..]: B, likewise
//           more  T[batch * m * n]: D, whose last axis is dense; not read unless plus
//           dst   T[batch * m * n]: C, likewise
// Params:   m, n, k, batch (C is batch times m x n, A m x k, B k x n), plus, lhs_offset, lhs_row,
//           lhs_column, lhs_batch, rhs_offset, rhs_row, rhs_column, rhs_batch: in elements,
//           modulo 2^32, so that they may be negative
// Launch:   any number of workgroups of 256; tiles of results are strided over them.
// Result:   dst; integers wrap. Determinism: the same bits in any order of threads: products are
//           added in the order of k; whether a multiply-add is fused is the device's choice.
//
// KIND is a definition: 0 u32, 2 u64, 4 f32, 5 f64.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    batch: u32,
    plus: u32,
    lhs_offset: u32,
    lhs_row: u32,
    lhs_column: u32,
    lhs_batch: u32,
    rhs_offset: u32,
    rhs_row: u32,
    rhs_column: u32,
    rhs_batch: u32,
}

#if KIND == 0
alias T = u32;
fn multiply_add(a: vec4<T>, b: vec4<T>, c: vec4<T>) -> vec4<T> { return a * b + c; }
#endif
#if KIND == 2
alias T = u64;
fn multiply_add(a: vec4<T>, b: vec4<T>, c: vec4<T>) -> vec4<T> { return a * b + c; }
#endif
#if KIND == 4
alias T = f32;
fn multiply_add(a: vec4<T>, b: vec4<T>, c: vec4<T>) -> vec4<T> { return fma(a, b, c); }
#endif
#if KIND == 5
alias T = f64;
fn multiply_add(a: vec4<T>, b: vec4<T>, c: vec4<T>) -> vec4<T> { return a * b + c; }
#endif

@group(0) @binding(0) var<storage, read> lhs: array<T>;
@group(0) @binding(1) var<storage, read> rhs: array<T>;
@group(0) @binding(2) var<storage, read> more: array<T>;
@group(0) @binding(3) var<storage, read_write> dst: array<T>;
@group(0) @binding(4) var<uniform> p: Params;

const SIDE = 64u;
const STEP = 16u;

// Parts of both operands: element (i, s) of the rows that are multiplied, s along the sum.
var<workgroup> left: array<T, 1024>;
var<workgroup> right: array<T, 1024>;

struct Element {
    i: u32,
    s: u32,
}

// The elements of a thread in a part: neighbours in memory by neighbouring threads.
fn element_of(along_sum: bool, e: u32) -> Element {
    if along_sum {
        return Element(e / STEP, e % STEP);
    }
    return Element(e % SIDE, e / SIDE);
}

// Where element (i, s) lies in a part: rows of 64, whose elements are exchanged in groups of four
// by the row's number, so that neither order of writing meets few banks.
fn place_of(i: u32, s: u32) -> u32 {
    return s * SIDE + (i ^ ((s & 15u) << 2u));
}

@compute @workgroup_size(256)
fn matmul(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let group = wid.x + wid.y * nwg.x;
    let groups = nwg.x * nwg.y;
    let down = (p.m + SIDE - 1u) / SIDE;
    let across = (p.n + SIDE - 1u) / SIDE;
    let tiles = p.batch * down * across;
    let x = lid % 16u * 4u;
    let y = lid / 16u * 4u;
    for (var tile = group; tile < tiles; tile += groups) {
        let column = tile % across * SIDE;
        let rest = tile / across;
        let row = rest % down * SIDE;
        let b = rest / down;
        let lhs_first = p.lhs_offset + b * p.lhs_batch;
        let rhs_first = p.rhs_offset + b * p.rhs_batch;
        var sums_0 = vec4<T>();
        var sums_1 = vec4<T>();
        var sums_2 = vec4<T>();
        var sums_3 = vec4<T>();
        for (var s0 = 0u; s0 < p.k; s0 += STEP) {
            for (var q = 0u; q < 1024u; q += 256u) {
                let e = element_of(p.lhs_column == 1u, q + lid);
                var v = T();
                if row + e.i < p.m && s0 + e.s < p.k {
                    v = lhs[lhs_first + (row + e.i) * p.lhs_row + (s0 + e.s) * p.lhs_column];
                }
                left[place_of(e.i, e.s)] = v;
            }
            for (var q = 0u; q < 1024u; q += 256u) {
                let e = element_of(p.rhs_row == 1u, q + lid);
                var v = T();
                if column + e.i < p.n && s0 + e.s < p.k {
                    v = rhs[rhs_first + (column + e.i) * p.rhs_column + (s0 + e.s) * p.rhs_row];
                }
                right[place_of(e.i, e.s)] = v;
            }
            workgroupBarrier();
            for (var s = 0u; s < STEP; s++) {
                let a0 = place_of(y, s);
                let b0 = place_of(x, s);
                let v = vec4<T>(right[b0], right[b0 + 1u], right[b0 + 2u], right[b0 + 3u]);
                sums_0 = multiply_add(vec4<T>(left[a0]), v, sums_0);
                sums_1 = multiply_add(vec4<T>(left[a0 + 1u]), v, sums_1);
                sums_2 = multiply_add(vec4<T>(left[a0 + 2u]), v, sums_2);
                sums_3 = multiply_add(vec4<T>(left[a0 + 3u]), v, sums_3);
            }
            workgroupBarrier();
        }
        var sums = array<vec4<T>, 4>(sums_0, sums_1, sums_2, sums_3);
        for (var i = 0u; i < 4u; i++) {
            for (var j = 0u; j < 4u; j++) {
                if row + y + i < p.m && column + x + j < p.n {
                    let to = (b * p.m + row + y + i) * p.n + column + x + j;
                    var v = sums[i][j];
                    if p.plus != 0u {
                        v = more[to] + v;
                    }
                    dst[to] = v;
                }
            }
        }
    }
}
