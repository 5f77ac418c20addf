// sum: the sum and the number of a column's values, in a wider type.
//
// Algorithm: a thread adds up rows that lie a grid apart, a workgroup adds its threads by a
// tree, and the host adds the blocks in their order (Harris, "Optimizing Parallel Reduction
// in CUDA", 2007, with the last step on the host, where the result is wanted). Integers are
// summed modulo 2^128, which no batch of 64-bit values reaches, floats as f64.
//
// Purpose:  sums, averages, counts, any and all.
// Buffers:  values   u32[n * words], f32[n] or f64[n], as KIND says; not read when words is 0
//           valid    u32[n]: 1 where not null; not read unless has_valid
//           selected u32[n]: not 0 where the row counts; not read unless has_selected
//           sums     u32[blocks * 4], least significant word first, or f64[blocks]
//           counts   u32[blocks]: values added
// Params:   n, words (of an integer: 1, 2, 4, or 0 to count rows only), is_signed, has_valid,
//           has_selected, blocks
// Launch:   blocks workgroups of 256, any number; rows are strided over all threads.
// Result:   sums and counts. Determinism: the same bits in any order of threads; sums of floats
//           depend on `blocks` by the rounding of reassociated additions.
//
// KIND is a definition: 0 integers, 1 f32, 2 f64. Floats need 64-bit floats of the adapter.

struct Params {
    n: u32,
    words: u32,
    is_signed: u32,
    has_valid: u32,
    has_selected: u32,
    blocks: u32,
}

#if KIND == 0
alias Value = u32;
alias Sum = vec4<u32>;
fn sum_of(a: Sum, b: Sum) -> Sum {
    var x = a;
    var y = b;
    var out: Sum;
    var carry = 0u;
    for (var k = 0u; k < 4u; k++) {
        let s = x[k] + y[k];
        let t = s + carry;
        carry = select(0u, 1u, s < y[k] || t < s);
        out[k] = t;
    }
    return out;
}
#endif
#if KIND == 1
alias Value = f32;
alias Sum = f64;
fn sum_of(a: Sum, b: Sum) -> Sum { return a + b; }
#endif
#if KIND == 2
alias Value = f64;
alias Sum = f64;
fn sum_of(a: Sum, b: Sum) -> Sum { return a + b; }
#endif

@group(0) @binding(0) var<storage, read> values: array<Value>;
@group(0) @binding(1) var<storage, read> valid: array<u32>;
@group(0) @binding(2) var<storage, read> selected: array<u32>;
@group(0) @binding(3) var<storage, read_write> sums: array<Sum>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;
@group(0) @binding(5) var<uniform> p: Params;

#if KIND == 0
fn value_of(row: u32) -> Sum {
    var out = vec4<u32>(0u);
    if p.words == 0u {
        return out;
    }
    var fill = 0u;
    for (var k = 0u; k < 4u; k++) {
        if k < p.words {
            out[k] = values[row * p.words + k];
            fill = select(0u, 0xffffffffu, p.is_signed != 0u && (out[k] >> 31u) != 0u);
        } else {
            out[k] = fill;
        }
    }
    return out;
}
#else
fn value_of(row: u32) -> Sum {
    return f64(values[row]);
}
#endif

var<workgroup> block_sums: array<Sum, 256>;
var<workgroup> block_counts: array<u32, 256>;

@compute @workgroup_size(256)
fn sum(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let block = wid.x + wid.y * nwg.x;
    if block >= p.blocks {
        return;
    }
    var s = Sum();
    var count = 0u;
    for (var row = block * 256u + lid; row < p.n; row += p.blocks * 256u) {
        if p.has_selected != 0u {
            if selected[row] == 0u {
                continue;
            }
        }
        if p.has_valid != 0u {
            if valid[row] == 0u {
                continue;
            }
        }
        s = sum_of(s, value_of(row));
        count += 1u;
    }
    block_sums[lid] = s;
    block_counts[lid] = count;
    workgroupBarrier();
    for (var d = 128u; d > 0u; d /= 2u) {
        if lid < d {
            block_sums[lid] = sum_of(block_sums[lid], block_sums[lid + d]);
            block_counts[lid] += block_counts[lid + d];
        }
        workgroupBarrier();
    }
    if lid == 0u {
        sums[block] = block_sums[0];
        counts[block] = block_counts[0];
    }
}
