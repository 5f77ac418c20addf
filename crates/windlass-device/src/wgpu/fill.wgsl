// fill: sets every 32-bit word of a buffer to one word.
//
// A thread writes four words, a block apart.
//
// Buffers:  dst  u32[words]
// Params:   words, word (the value)
// Launch:   ceil(words / 1024) groups of 256 threads.
// Result:   dst. Deterministic.

struct Params {
    words: u32,
    word: u32,
}

@group(0) @binding(0) var<storage, read_write> dst: array<u32>;
@group(0) @binding(1) var<uniform> p: Params;

@compute @workgroup_size(256)
fn fill(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_id) lid: vec3<u32>,
) {
    let start = (wid.x + wid.y * nwg.x) * 1024u + lid.x;
    for (var i = 0u; i < 4u; i++) {
        let at = start + i * 256u;
        if at < p.words {
            dst[at] = p.word;
        }
    }
}
