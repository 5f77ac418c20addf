// vary: which bits of a key column's normalised words differ between rows.
//
// Purpose:   a bit that is the same in every row decides nothing: the sort leaves it out.
// Algorithm: each thread ORs the words of its rows, and their complements; a workgroup by
//            its own atomics, then one atomic each. A bit set in both results varies. The skipping
//            of constant digits is that of CUB's and Onesweep's histograms (Adinets and
//            Merrill, arXiv 2206.01784), taken to single bits.
//
// Buffers:  values  the key column's values, any storage
//           valid   its validity; not read where nulls is 0
//           masks   u32[base + 10], zeros at first; out: of word w the OR at base + 2 w and the
//                   OR of complements at base + 2 w + 1
// Params:   rows (more than 0), base, then the column, see key.cuh
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   masks. Determinism: the same bits in any order.
#import windlass::sort::key::{KeyColumn, key_word, NULL_WORD, NULLS_NONE}

struct Params {
    rows: u32,
    base: u32,
    bytes: u32,
    first_bit: u32,
    bits: u32,
    kind: u32,
    descending: u32,
    nulls: u32,
    null_bit: u32,
    nulls_first: u32,
}

@group(0) @binding(2) var<storage, read_write> masks: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> p: Params;

var<workgroup> ones: array<atomic<u32>, 5>;
var<workgroup> zeros: array<atomic<u32>, 5>;

fn column() -> KeyColumn {
    return KeyColumn(
        p.bytes,
        p.first_bit,
        p.bits,
        p.kind,
        p.descending,
        p.nulls,
        p.null_bit,
        p.nulls_first,
    );
}

fn vary_word(first: u32, stride: u32, w: u32) {
    let c = column();
    var on = 0u;
    var off = 0u;
    for (var row = first; row < p.rows; row += stride) {
        let word = key_word(c, row, w);
        on |= word;
        off |= ~word;
    }
    atomicOr(&ones[w], on);
    atomicOr(&zeros[w], off);
}

@compute @workgroup_size(256)
fn vary(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    let first = (wid.x + wid.y * nwg.x) * 256u + lid;
    let words = (p.bits + 31u) / 32u;
    for (var w = 0u; w < words; w++) {
        vary_word(first, stride, w);
    }
    if p.nulls != NULLS_NONE {
        vary_word(first, stride, NULL_WORD);
    }
    workgroupBarrier();
    if lid < 5u {
        atomicOr(&masks[p.base + 2u * lid], atomicLoad(&ones[lid]));
        atomicOr(&masks[p.base + 2u * lid + 1u], atomicLoad(&zeros[lid]));
    }
}
