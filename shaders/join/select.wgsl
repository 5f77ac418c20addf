// select: the numbers of the rows whose flag is the wanted one.
//
// Algorithm: compaction by flags, scan and scatter (Blelloch, "Prefix Sums and Their
// Applications", 1990): flag_wanted, the library's exclusive scan, write_wanted.
//
// Buffers:  flag_wanted:  flags u32[n], 0 or not; places u32[n] out: 1 where wanted, else 0
//           write_wanted: flags; places u32[n], scanned; rows u32[wanted] out: row numbers
// Params:   n, wanted (1: flags that are not 0, 0: flags that are)
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   places; rows, ascending.
// Determinism: the same bits in any order of threads.
struct Params {
    n: u32,
    wanted: u32,
}

@group(0) @binding(0) var<storage, read> flags: array<u32>;
#ifdef WRITE
@group(0) @binding(1) var<storage, read> places: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(256)
fn write_wanted(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        if (flags[i] != 0u) == (p.wanted != 0u) {
            rows[places[i]] = i;
        }
    }
}
#else
@group(0) @binding(1) var<storage, read_write> places: array<u32>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(256)
fn flag_wanted(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lid: u32,
) {
    let stride = nwg.x * nwg.y * 256u;
    for (var i = (wid.x + wid.y * nwg.x) * 256u + lid; i < p.n; i += stride) {
        places[i] = select(0u, 1u, (flags[i] != 0u) == (p.wanted != 0u));
    }
}
#endif
