// place: copies a box of elements from one layout to another.
//
// Algorithm: a thread finds the position of its element along each axis by division, and with
// the strides of both sides where it lies and where it goes. Neighbouring threads write
// neighbouring elements where the last axis of the target is dense. With TILED the source is
// dense along the last axis but one instead: a workgroup reads squares of 32 x 32 elements of
// these two axes along the one and writes them along the other, through its own memory
// (Ruetsch and Micikevicius, "Optimizing Matrix Transpose in CUDA", 2009). Columns of a square
// are exchanged by its rows' numbers, so that neither side meets a bank twice.
//
// Purpose:  tiles put together from parts of others: transposes, slices, halos, concatenation.
// Buffers:  src  Value[..]: read at src_offset + sum of index * src_stride along the axes
//           dst  Value[..]: written at dst_offset + sum of index * dst_stride
// Params:   n (elements: the product of the lengths; with TILED squares: the product of the
//           lengths of the last two axes in squares and of the others), rank (1 to 6; with
//           TILED 2 to 6), src_offset, dst_offset, lens[6], src_strides[6], dst_strides[6]: in
//           elements, modulo 2^32, so that they may be negative; what is past the rank is not
//           read
// Launch:   any number of workgroups of 256; elements are strided over all threads, with TILED
//           squares over workgroups.
// Result:   dst. Determinism: the same bits in any order of threads, where no two elements go
//           to the same place.
//
// WORDS (32-bit words of an element: 1, 2 or 4) and TILED are definitions.

#if WORDS == 1
alias Value = u32;
#else
alias Value = vec#{WORDS}<u32>;
#endif

@group(0) @binding(0) var<storage, read> src: array<Value>;
@group(0) @binding(1) var<storage, read_write> dst: array<Value>;
// n, rank, src_offset, dst_offset; lens from word 4, src_strides from 10, dst_strides from 16.
@group(0) @binding(2) var<uniform> p: array<vec4<u32>, 6>;

fn param(i: u32) -> u32 { return p[i >> 2u][i & 3u]; }
fn len_of(axis: u32) -> u32 { return param(4u + axis); }
fn src_stride(axis: u32) -> u32 { return param(10u + axis); }
fn dst_stride(axis: u32) -> u32 { return param(16u + axis); }

struct Place {
    src: u32,
    dst: u32,
}

// Where the element of number `index` along the first `axes` axes lies and goes.
fn locate(axes: u32, index: u32) -> Place {
    var place = Place(p[0][2], p[0][3]);
    var left = index;
    for (var k = axes; k > 0u; k--) {
        let len = len_of(k - 1u);
        let at = left % len;
        left = left / len;
        place.src += at * src_stride(k - 1u);
        place.dst += at * dst_stride(k - 1u);
    }
    return place;
}

#if TILED == 1
var<workgroup> square: array<Value, 1024>;
#endif

@compute @workgroup_size(256)
fn place(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let n = p[0][0];
    let rank = p[0][1];
    let group = wid.x + wid.y * nwg.x;
    let groups = nwg.x * nwg.y;
#if TILED == 0
    for (var i = group * 256u + lid; i < n; i += groups * 256u) {
        let at = locate(rank, i);
        dst[at.dst] = src[at.src];
    }
#else
    let a = rank - 2u;
    let b = rank - 1u;
    let down = (len_of(a) + 31u) / 32u;
    let across = (len_of(b) + 31u) / 32u;
    let lane = lid % 32u;
    for (var t = group; t < n; t += groups) {
        let first_b = t % across * 32u;
        let row = t / across;
        let first_a = row % down * 32u;
        let at = locate(a, row / down);
        for (var r = lid / 32u; r < 32u; r += 8u) {
            let i = first_a + lane;
            let j = first_b + r;
            if i < len_of(a) && j < len_of(b) {
                square[r * 32u + (lane ^ r)] = src[at.src + i * src_stride(a) + j * src_stride(b)];
            }
        }
        workgroupBarrier();
        for (var r = lid / 32u; r < 32u; r += 8u) {
            let i = first_a + r;
            let j = first_b + lane;
            if i < len_of(a) && j < len_of(b) {
                dst[at.dst + i * dst_stride(a) + j * dst_stride(b)] = square[lane * 32u + (r ^ lane)];
            }
        }
        workgroupBarrier();
    }
#endif
}
