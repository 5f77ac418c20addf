// Hash of a packed key: MurmurHash3 for 32-bit words (Austin Appleby, MurmurHash3_x86_32,
// public domain), fed word by word. Twin: kernels/aggregate/key_hash.cuh.
#define_import_path windlass::aggregate::key_hash

const SEED: u32 = 0x9747b28cu;

fn mix(hash: u32, word: u32) -> u32 {
    var k = word * 0xcc9e2d51u;
    k = (k << 15u) | (k >> 17u);
    let h = hash ^ (k * 0x1b873593u);
    return ((h << 13u) | (h >> 19u)) * 5u + 0xe6546b64u;
}

fn finish(hash: u32, words: u32) -> u32 {
    var h = hash ^ (words * 4u);
    h = (h ^ (h >> 16u)) * 0x85ebca6bu;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    return h ^ (h >> 16u);
}
