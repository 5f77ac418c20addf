// min_max: the largest of an order-preserving code of the argument, for each group.
//
// The code of a value is an unsigned number of `phases` units, most significant first, with
// the order of the values: signed integers have their sign bit flipped; floats (IEEE 754
// totalOrder) have it flipped, or all bits where it is set; a minimum is the largest
// complement. Codes of one unit are found by one atomic maximum. Longer codes take one launch
// a unit: unit k looks only at rows whose earlier units equal the group's largest, which
// earlier launches have settled. The three levels are those of sum_int.
//
// Buffers:  groups  u32[rows]                  the rows' groups, see rows.cuh for modes
//           values  Unit[batch rows * phases]  the argument, least significant unit first
//           valid   u32[batch rows]            1 where not null; not read unless has_valid
//           state   Unit[groups * phases]      codes, most significant unit first; zeros at
//                                              first
//           seen    u32[groups]                out: 1 where a row was taken; if has_seen
// Params:   rows, row_base, mode, local_groups, replicas, blocks, phases, phase, kind
//           (0 unsigned, 1 signed, 2 float), is_min, has_valid, has_seen
// Limits:   local_groups <= 1024, local_groups * replicas * sizeof(Unit) <= 8192.
// Launch:   blocks blocks of 256 threads, any number; rows are strided over all threads.
// Result:   unit `phase` of state, and seen. Deterministic.
//
// UNIT_BITS (32 or 64) is defined before this text.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

#if UNIT_BITS == 64
typedef u64 Unit;
#else
typedef u32 Unit;
#endif

struct Params {
  u32 rows, row_base, mode, local_groups, replicas, blocks;
  u32 phases, phase, kind, is_min, has_valid, has_seen;
};

// Unit k of the code of a row's value.
W_INLINE Unit code(const Unit* values, u64 row, u32 k, Params p) {
  const Unit sign = Unit(1) << (UNIT_BITS - 1);
  const Unit top = values[row * p.phases + p.phases - 1];
  Unit unit = k == 0 ? top : values[row * p.phases + p.phases - 1 - k];
  if (p.kind == 2 && (top & sign) != 0) {
    unit = ~unit;
  } else if (p.kind != 0 && k == 0) {
    unit ^= sign;
  }
  return p.is_min ? ~unit : unit;
}

extern "C" __global__ void min_max(const u32* groups, const Unit* values, const u32* valid,
                                   Unit* state, u32* seen, Params p) {
  W_SHARED(Unit, local_state, 65536 / UNIT_BITS);
  W_SHARED(u32, local_seen, 1024);
  const u32 lid = threadIdx.x;
  for (u32 i = lid; i < p.local_groups * p.replicas; i += 256u) local_state[i] = 0;
  for (u32 i = lid; i < p.local_groups; i += 256u) local_seen[i] = 0;
  W_SYNC();

  Unit* mine = local_state + lid % p.replicas * p.local_groups;
  const auto take_global = [&](u32 group, Unit unit) {
    Unit* at = &state[u64(group) * p.phases + p.phase];
    if (W_LOAD(at) < unit) atomicMax(at, unit);
  };
  const auto take_run = [&](u32 group, Unit unit) {
    if (group < p.local_groups) {
      atomicMax(&mine[group], unit);
      if (p.has_seen) W_STORE(&local_seen[group], 1u);
    } else {
      take_global(group, unit);
      if (p.has_seen) mark(seen, group);
    }
  };

  u32 run = NO_GROUP;
  Unit best = 0;
  const u64 stride = u64(p.blocks) * 256u;
  for (u64 row = blockIdx.x * 256u + lid; row < p.rows; row += stride) {
    const u32 group = group_of(groups, p.mode, u32(row));
    if (group == NO_GROUP) continue;
    const u64 source = p.row_base + row;
    if (p.has_valid && valid[source] == 0) continue;
    bool leads = true;
    for (u32 k = 0; k < p.phase; ++k) {
      leads = leads && code(values, source, k, p) == state[u64(group) * p.phases + k];
    }
    if (!leads) continue;
    const Unit unit = code(values, source, p.phase, p);
    if (group == run) {
      best = max(best, unit);
    } else {
      if (run != NO_GROUP) take_run(run, best);
      run = group;
      best = unit;
    }
  }
  if (run != NO_GROUP) take_run(run, best);
  W_SYNC();

  for (u32 group = lid; group < p.local_groups; group += 256u) {
    Unit top = 0;
    for (u32 r = 0; r < p.replicas; ++r) top = max(top, local_state[r * p.local_groups + group]);
    if (top != 0) take_global(group, top);
    if (p.has_seen && local_seen[group] != 0) mark(seen, group);
  }
}
