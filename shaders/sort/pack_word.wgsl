// pack_word: writes some bits of a key column's normalised words into the rows' packed words.
//
// Purpose:   packed keys hold the bits that vary, of all keys, side by side; one launch adds the
//            bits that one word of one key gives to one packed word.
// Algorithm: a map over rows, or a gather where the rows come in another order.
//
// Buffers:  values  the key column's values, any storage
//           valid   its validity; not read where nulls is 0
//           order   u32[n]  the rows in order; not read unless ordered
//           out     u32[(n - 1) * stride + at + 1]  the packed words of item i at i * stride + at
// Params:   n (items), ordered (0: item i is row i), word (of the key, see key.cuh), shift (of
//           the bits in that word), mask (of the bits, once shifted), place (their shift in the
//           packed word), store (1: write the packed word, 0: OR into it), stride, at; then the
//           column, see key.cuh
// Launch:   any number of blocks of 256 threads; items are strided over all threads.
// Result:   out, complete once every part of the packed word has been added. Deterministic.
#import windlass::sort::key::{KeyColumn, key_word}

struct Params {
    n: u32,
    ordered: u32,
    word: u32,
    shift: u32,
    mask: u32,
    place: u32,
    store: u32,
    stride: u32,
    at: u32,
    bytes: u32,
    first_bit: u32,
    bits: u32,
    kind: u32,
    descending: u32,
    nulls: u32,
    null_bit: u32,
    nulls_first: u32,
}

@group(0) @binding(2) var<storage, read> order: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
@group(0) @binding(4) var<uniform> p: Params;

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

@compute @workgroup_size(256)
fn pack_word(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    let c = column();
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        var row = i;
        if p.ordered != 0u {
            row = order[i];
        }
        let bits = ((key_word(c, row, p.word) >> p.shift) & p.mask) << p.place;
        let at = i * p.stride + p.at;
        if p.store != 0u {
            out[at] = bits;
        } else {
            out[at] |= bits;
        }
    }
}
