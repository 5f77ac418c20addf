// hash_text: folds a column of texts into the rows' 64-bit hashes.
//
// Purpose:  hashes of texts that agree between their encodings: offsets and bytes, views, and
//           codes into either.
// Algorithm: MurmurHash64B, the 64-bit MurmurHash2 for 32-bit machines (Austin Appleby,
//           SMHasher's MurmurHash2.cpp, public domain), of the text's bytes, with the hash of the
//           columns before it as the seed, as hash/hash_column does for other values. A null is
//           hashed as zero bytes long. A thread takes a row.
// Buffers:  heads, bytes, valid  the column (string/text.wgsl); valid is not read unless nullable
//           codes   u32[n]: the row of the column for each row; not read unless coded
//           live    u32[n]: 0 where a code is null; not read unless coded is 2
//           hashes  u32[n * 2]: the rows' hashes, low word first; in unless first, and out
// Params:   n, form, limit, rows, nullable (string/text.wgsl), coded (0: row i is i; 1; 2: some
//           codes are null), first (1: the seed is `seed`), seed (low word; the high one is 0)
// Launch:   any number of workgroups of 256; rows are strided over all threads.
// Result:   hashes. A code that is not less than rows hashes as null.
// Determinism: the same bits on every backend and in any order of threads.
#import windlass::string::layout::TextLayout
#import windlass::string::text::{text_at, text_word}
#import windlass::string::valid::text_valid

struct Params {
    n: u32,
    form: u32,
    limit: u32,
    rows: u32,
    nullable: u32,
    coded: u32,
    first: u32,
    seed: u32,
}

@group(0) @binding(3) var<storage, read> codes: array<u32>;
@group(0) @binding(4) var<storage, read> live: array<u32>;
@group(0) @binding(5) var<storage, read_write> hashes: array<u32>;
@group(0) @binding(6) var<uniform> p: Params;

const M: u32 = 0x5bd1e995u;

fn feed(lane: u32, word: u32) -> u32 {
    var k = word * M;
    k ^= k >> 24u;
    return (lane * M) ^ (k * M);
}

@compute @workgroup_size(256)
fn hash_text(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let column = TextLayout(p.form, p.limit, p.rows, p.nullable);
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        var h1 = p.seed;
        var h2 = 0u;
        if p.first == 0u {
            h1 = hashes[i * 2u];
            h2 = hashes[i * 2u + 1u];
        }
        var row = i;
        var is_live = true;
        if p.coded != 0u {
            row = codes[i];
        }
        if p.coded == 2u {
            is_live = live[i] != 0u;
        }
        if is_live && text_valid(column, row) {
            let t = text_at(column, row);
            h1 ^= t.len;
            var at = 0u;
            while t.len - at >= 8u {
                h1 = feed(h1, text_word(t, at));
                h2 = feed(h2, text_word(t, at + 4u));
                at += 8u;
            }
            if t.len - at >= 4u {
                h1 = feed(h1, text_word(t, at));
                at += 4u;
            }
            if at < t.len {
                h2 = (h2 ^ text_word(t, at)) * M;
            }
        }
        h1 = (h1 ^ (h2 >> 18u)) * M;
        h2 = (h2 ^ (h1 >> 22u)) * M;
        h1 = (h1 ^ (h2 >> 17u)) * M;
        h2 = (h2 ^ (h1 >> 19u)) * M;
        hashes[i * 2u] = h2;
        hashes[i * 2u + 1u] = h1;
    }
}
