// bits: the conjunction, disjunction or exclusive disjunction of the argument's bits, for each
// group.
//
// The three levels are those of sum_int. A value is one or two words, each of which is
// combined by itself; the operations commute, so no order matters.
//
// Buffers:  groups  u32[rows]                the rows' groups, see rows.cuh for modes
//           values  u32[batch rows * WORDS]  the argument
//           valid   u32[batch rows]          1 where not null; not read unless has_valid
//           state   u32[groups * WORDS]      the results; `neutral` at first
//           seen    u32[groups]              out: 1 where a row was taken; if has_seen
// Params:   rows, row_base, mode, local_groups, replicas, blocks, op (0 and, 1 or, 2 xor),
//           neutral (all ones for and, else 0), has_valid, has_seen
// Limits:   local_groups <= 1024, local_groups * replicas * WORDS <= 2048.
// Launch:   blocks blocks of 256 threads, any number; rows are strided over all threads.
// Result:   state and seen. Deterministic.
//
// WORDS (1 or 2) is defined before this text.
#include "windlass.cuh"
#include "aggregate/rows.cuh"

struct Params {
  u32 rows, row_base, mode, local_groups, replicas, blocks, op, neutral, has_valid, has_seen;
};

struct Bits {
  u32 word[WORDS];
};

W_INLINE u32 combined(u32 op, u32 a, u32 b) { return op == 0 ? a & b : op == 1 ? a | b : a ^ b; }

W_INLINE void combine_at(u32 op, u32* at, Bits v) {
  for (u32 k = 0; k < WORDS; ++k) {
    if (op == 0) {
      atomicAnd(&at[k], v.word[k]);
    } else if (op == 1) {
      atomicOr(&at[k], v.word[k]);
    } else {
      atomicXor(&at[k], v.word[k]);
    }
  }
}

extern "C" __global__ void bits(const u32* groups, const u32* values, const u32* valid, u32* state,
                                u32* seen, Params p) {
  W_SHARED(u32, local_state, 2048);
  W_SHARED(u32, local_seen, 1024);
  const u32 lid = threadIdx.x;
  for (u32 i = lid; i < p.local_groups * p.replicas * WORDS; i += 256u) local_state[i] = p.neutral;
  for (u32 i = lid; i < p.local_groups; i += 256u) local_seen[i] = 0;
  W_SYNC();

  u32* mine = local_state + lid % p.replicas * p.local_groups * WORDS;
  const auto take_run = [&](u32 group, Bits v) {
    if (group < p.local_groups) {
      combine_at(p.op, mine + group * WORDS, v);
      W_STORE(&local_seen[group], 1u);
    } else {
      combine_at(p.op, state + u64(group) * WORDS, v);
      if (p.has_seen) mark(seen, group);
    }
  };

  u32 run = NO_GROUP;
  Bits all = {};
  const u64 stride = u64(p.blocks) * 256u;
  for (u64 row = blockIdx.x * 256u + lid; row < p.rows; row += stride) {
    const u32 group = group_of(groups, p.mode, u32(row));
    if (group == NO_GROUP) continue;
    const u64 source = p.row_base + row;
    if (p.has_valid && valid[source] == 0) continue;
    if (group != run) {
      if (run != NO_GROUP) take_run(run, all);
      run = group;
      for (u32 k = 0; k < WORDS; ++k) all.word[k] = p.neutral;
    }
    for (u32 k = 0; k < WORDS; ++k) {
      all.word[k] = combined(p.op, all.word[k], values[source * WORDS + k]);
    }
  }
  if (run != NO_GROUP) take_run(run, all);
  W_SYNC();

  for (u32 group = lid; group < p.local_groups; group += 256u) {
    if (local_seen[group] == 0) continue;
    Bits total;
    for (u32 k = 0; k < WORDS; ++k) {
      total.word[k] = p.neutral;
      for (u32 r = 0; r < p.replicas; ++r) {
        const u32 part = local_state[(r * p.local_groups + group) * WORDS + k];
        total.word[k] = combined(p.op, total.word[k], part);
      }
    }
    combine_at(p.op, state + u64(group) * WORDS, total);
    if (p.has_seen) mark(seen, group);
  }
}
