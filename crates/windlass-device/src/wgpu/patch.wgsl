// patch: replaces some bytes of one 32-bit word: the ends of an upload that does not start or
// end at a word.
//
// Buffers:  dst  u32[at + 1 or more]  the buffer uploaded to
// Params:   at (the word), mask (the bits to replace), bits (their values)
// Launch:   one thread.
// Result:   dst[at]. Deterministic.

struct Params {
    at: u32,
    mask: u32,
    bits: u32,
}

@group(0) @binding(0) var<storage, read_write> dst: array<u32>;
@group(0) @binding(1) var<uniform> p: Params;

@compute @workgroup_size(1)
fn patch_word() {
    dst[p.at] = (dst[p.at] & ~p.mask) | (p.bits & p.mask);
}
