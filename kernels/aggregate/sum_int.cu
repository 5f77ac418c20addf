// sum_int: adds integers, or counts rows, for each group, wrapping at UNITS * 64 bits.
//
// Three levels keep many rows of few groups from queueing at one address: a thread adds up a
// run of rows of one group in registers; the first local_groups groups have sums in shared
// memory, in several replicas that neighbouring threads take in turn; everything else, and
// each block's local sums at its end, goes to the global sums. Group numbers follow the order
// of appearance, so heavy groups are mostly among the local ones whatever the number of
// groups, and nothing changes abruptly when it passes the local table's size.
// A sum of several units is added unit by unit with its carries: each unit's atomic returns
// the old unit, which tells the carry, and the carries commute.
//
// Buffers:  groups  u32[rows]                      the rows' groups, see rows.cuh for modes
//           values  u64[batch rows * value_units]  the argument; not read when value_units is 0
//           valid   u32[batch rows]                1 where not null; not read unless has_valid
//           state   u64[groups * UNITS]            sums, least significant unit first
//           seen    u32[groups]                    out: 1 where a row was added; if has_seen
// Params:   rows, row_base, mode, local_groups, replicas, blocks, value_units (0: count rows),
//           is_signed (shorter values are sign-extended), has_valid, has_seen
// Limits:   local_groups <= 1024, local_groups * replicas * UNITS <= 1024.
// Launch:   blocks blocks of 256 threads, any number; rows are strided over all threads.
// Result:   state and seen. Deterministic: integer addition commutes.
//
// UNITS (1 or 2) is defined before this text.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 rows, row_base, mode, local_groups, replicas, blocks;
  u32 value_units, is_signed, has_valid, has_seen;
};

struct Sum {
  u64 unit[UNITS];
};

W_INLINE Sum sum_of(Sum a, Sum b) {
  u64 carry = 0;
  for (u32 k = 0; k < UNITS; ++k) {
    const u64 s = a.unit[k] + b.unit[k];
    const u64 t = s + carry;
    carry = s < b.unit[k] || t < s ? 1 : 0;
    a.unit[k] = t;
  }
  return a;
}

W_INLINE void atomic_add_sum(u64* at, Sum v) {
  u64 carry = 0;
  for (u32 k = 0; k < UNITS; ++k) {
    const u64 x = v.unit[k] + carry;
    carry = x < carry ? 1 : 0;
    if (x != 0) {
      const u64 old = atomicAdd(&at[k], x);
      carry = old + x < x ? 1 : carry;
    }
  }
}

W_INLINE Sum value_of(const u64* values, u64 row, Params p) {
  Sum v = {};
  if (p.value_units == 0) {
    v.unit[0] = 1;
    return v;
  }
  u64 fill = 0;
  for (u32 k = 0; k < UNITS; ++k) {
    if (k < p.value_units) {
      v.unit[k] = values[row * p.value_units + k];
      fill = p.is_signed && (v.unit[k] >> 63) != 0 ? ~u64(0) : 0;
    } else {
      v.unit[k] = fill;
    }
  }
  return v;
}

extern "C" __global__ void sum_int(const u32* groups, const u64* values, const u32* valid,
                                   u64* state, u32* seen, Params p) {
  W_SHARED(u64, local_state, 1024);
  W_SHARED(u32, local_seen, 1024);
  const u32 lid = threadIdx.x;
  for (u32 i = lid; i < p.local_groups * p.replicas * UNITS; i += 256u) local_state[i] = 0;
  for (u32 i = lid; i < p.local_groups; i += 256u) local_seen[i] = 0;
  W_SYNC();

  u64* mine = local_state + lid % p.replicas * p.local_groups * UNITS;
  const auto add_run = [&](u32 group, Sum v) {
    if (group < p.local_groups) {
      atomic_add_sum(mine + group * UNITS, v);
      if (p.has_seen) W_STORE(&local_seen[group], 1u);
    } else {
      atomic_add_sum(state + u64(group) * UNITS, v);
      if (p.has_seen) mark(seen, group);
    }
  };

  u32 run = NO_GROUP;
  Sum sum = {};
  const u64 stride = u64(p.blocks) * 256u;
  for (u64 row = blockIdx.x * 256u + lid; row < p.rows; row += stride) {
    const u32 group = group_of(groups, p.mode, u32(row));
    if (group == NO_GROUP) continue;
    const u64 source = p.row_base + row;
    if (p.has_valid && valid[source] == 0) continue;
    const Sum value = value_of(values, source, p);
    if (group == run) {
      sum = sum_of(sum, value);
    } else {
      if (run != NO_GROUP) add_run(run, sum);
      run = group;
      sum = value;
    }
  }
  if (run != NO_GROUP) add_run(run, sum);
  W_SYNC();

  for (u32 group = lid; group < p.local_groups; group += 256u) {
    Sum total = {};
    for (u32 r = 0; r < p.replicas; ++r) {
      Sum part;
      for (u32 k = 0; k < UNITS; ++k) {
        part.unit[k] = local_state[(r * p.local_groups + group) * UNITS + k];
      }
      total = sum_of(total, part);
    }
    atomic_add_sum(state + u64(group) * UNITS, total);
    if (p.has_seen && local_seen[group] != 0) mark(seen, group);
  }
}
