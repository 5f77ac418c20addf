// sum_float: adds 64-bit floats for each group: the values, or their differences from the
// group's shift, or the squares of these; with PRODUCT, the products of two arguments'
// differences from their shifts.
//
// The three levels are those of sum_int. Differences from a value of the group itself keep
// sums of squares from cancelling: Chan, Golub, LeVeque, "Algorithms for computing the sample
// variance" (1983).
//
// Buffers:  groups  u32[rows]        the rows' groups, see rows.cuh for modes
//           values  f64[batch rows]  the argument
//           valid   u32[batch rows]  1 where not null; not read unless has_valid
//           state   f64[groups]      the sums
//           seen    u32[groups]      out: 1 where a row was added; if has_seen
//           shift   f64[groups]      the groups' shifts; not read when power is 0
//           others  f64[batch rows]  PRODUCT: the second argument, null where the first is
//           other_shift f64[groups]  PRODUCT: its shifts
// Params:   rows, row_base, mode, local_groups, replicas, blocks, power (0: the value, 1: its
//           difference from the shift, 2: the square of that), has_valid, has_seen
// Limits:   local_groups * replicas <= 1024.
// Launch:   blocks blocks of 256 threads, any number; rows are strided over all threads.
// Result:   state and seen. Not deterministic: the order of additions, and so the rounding,
//           varies from run to run.
//
// PRODUCT may be defined before this text; power is then 1.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 rows, row_base, mode, local_groups, replicas, blocks, power, has_valid, has_seen;
};

extern "C" __global__ void sum_float(const u32* groups, const f64* values, const u32* valid,
                                   f64* state, u32* seen, const f64* shift,
#if defined(PRODUCT)
                                   const f64* others, const f64* other_shift,
#endif
                                   Params p) {
  W_SHARED(f64, local_state, 1024);
  W_SHARED(u32, local_seen, 1024);
  const u32 lid = threadIdx.x;
  for (u32 i = lid; i < p.local_groups * p.replicas; i += 256u) local_state[i] = 0.0;
  for (u32 i = lid; i < p.local_groups; i += 256u) local_seen[i] = 0;
  W_SYNC();

  f64* mine = local_state + lid % p.replicas * p.local_groups;
  const auto add_run = [&](u32 group, f64 v) {
    if (group < p.local_groups) {
      atomicAdd(&mine[group], v);
      W_STORE(&local_seen[group], 1u);
    } else {
      atomicAdd(&state[group], v);
      if (p.has_seen) mark(seen, group);
    }
  };

  u32 run = NO_GROUP;
  f64 sum = 0.0;
  const u64 stride = u64(p.blocks) * 256u;
  for (u64 row = blockIdx.x * 256u + lid; row < p.rows; row += stride) {
    const u32 group = group_of(groups, p.mode, u32(row));
    if (group == NO_GROUP) continue;
    const u64 source = p.row_base + row;
    if (p.has_valid && valid[source] == 0) continue;
    f64 value = values[source];
    if (p.power != 0) {
      value -= shift[group];
      if (p.power == 2) value *= value;
#if defined(PRODUCT)
      value *= others[source] - other_shift[group];
#endif
    }
    if (group == run) {
      sum += value;
    } else {
      if (run != NO_GROUP) add_run(run, sum);
      run = group;
      sum = value;
    }
  }
  if (run != NO_GROUP) add_run(run, sum);
  W_SYNC();

  for (u32 group = lid; group < p.local_groups; group += 256u) {
    if (local_seen[group] == 0) continue;
    f64 total = 0.0;
    for (u32 r = 0; r < p.replicas; ++r) total += local_state[r * p.local_groups + group];
    atomicAdd(&state[group], total);
    if (p.has_seen) mark(seen, group);
  }
}
