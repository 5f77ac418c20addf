// place: copies a box of elements from one layout to another.
//
// Algorithm: a thread finds the position of its element along each axis by division, and with
// the strides of both sides where it lies and where it goes. Neighbouring threads write
// neighbouring elements where the last axis of the target is dense.
//
// Purpose:  tiles put together from parts of others: transposes, slices, halos, concatenation.
// Buffers:  src  Value[..]: read at src_offset + sum of index * src_stride along the axes
//           dst  Value[..]: written at dst_offset + sum of index * dst_stride
// Params:   n (elements: the product of the lengths), rank (1 to 6), src_offset, dst_offset,
//           lens[6], src_strides[6], dst_strides[6]: in elements, modulo 2^32, so that they
//           may be negative; what is past the rank is not read
// Launch:   any number of workgroups of 256; elements are strided over all threads.
// Result:   dst. Determinism: the same bits in any order of threads.
//
// WORDS (32-bit words of an element: 1, 2 or 4) is a definition.

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

@compute @workgroup_size(256)
fn place(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let n = p[0][0];
    let rank = p[0][1];
    let threads = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < n; i += threads) {
        var left = i;
        var from_at = p[0][2];
        var to_at = p[0][3];
        for (var k = rank; k > 0u; k--) {
            let len = param(3u + k);
            let at = left % len;
            left = left / len;
            from_at += at * param(9u + k);
            to_at += at * param(15u + k);
        }
        dst[to_at] = src[from_at];
    }
}
