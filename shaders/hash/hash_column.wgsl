// hash_column: folds one column into the rows' 64-bit hashes.
//
// Algorithm: MurmurHash64B, the 64-bit MurmurHash2 for 32-bit machines (Austin Appleby,
// SMHasher's MurmurHash2.cpp, public domain), of a value's canonical little-endian bytes, with
// the hash of the columns before it as the seed. Its state is two 32-bit lanes. A null is hashed
// as zero bytes long. For values of up to 64 bits and one seed it is a bijection.
//
// Buffers:  values  the column's values, in either storage
//           valid   its validity; not read where the column has none
//           hashes  u32[rows * 2]  the rows' hashes, low word first; in unless first, and out
// Params:   rows, first (1: the seed is `seed`), seed (low word; the high one is 0), kind, words,
//           bit_offset, valid_mode, valid_offset (hash/value.wgsl)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   hashes.
// Determinism: the same bits on every backend and in any order of threads.
#import windlass::hash::value::{ColumnLayout, is_valid, value_at}

struct Params {
    rows: u32,
    first: u32,
    seed: u32,
    kind: u32,
    words: u32,
    bit_offset: u32,
    valid_mode: u32,
    valid_offset: u32,
}

@group(0) @binding(2) var<storage, read_write> hashes: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

const M: u32 = 0x5bd1e995u;

fn feed(lane: u32, word: u32) -> u32 {
    var k = word * M;
    k ^= k >> 24u;
    return (lane * M) ^ (k * M);
}

@compute @workgroup_size(256)
fn hash_column(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let column = ColumnLayout(p.kind, p.words, p.bit_offset, p.valid_mode, p.valid_offset);
    let stride = nwg.x * nwg.y * 256u;
    for (var row = (wid.x + wid.y * nwg.x) * 256u + lid; row < p.rows; row += stride) {
        var h1 = p.seed;
        var h2 = 0u;
        if p.first == 0u {
            h1 = hashes[row * 2u];
            h2 = hashes[row * 2u + 1u];
        }
        if is_valid(column, row) {
            let v = value_at(column, row);
            h1 = feed(h1 ^ (p.words * 4u), v.x);
            if p.words >= 2u {
                h2 = feed(h2, v.y);
            }
            if p.words == 4u {
                h1 = feed(h1, v.z);
                h2 = feed(h2, v.w);
            }
        }
        h1 = (h1 ^ (h2 >> 18u)) * M;
        h2 = (h2 ^ (h1 >> 22u)) * M;
        h1 = (h1 ^ (h2 >> 17u)) * M;
        h2 = (h2 ^ (h1 >> 19u)) * M;
        hashes[row * 2u] = h2;
        hashes[row * 2u + 1u] = h1;
    }
}
