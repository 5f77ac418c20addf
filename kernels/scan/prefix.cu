// prefix: running sums, minima and maxima of a column, over all rows or segment by segment,
// passing over nulls.
//
// Algorithm: reduce-then-scan (Blelloch, "Prefix Sums and Their Applications", CMU-CS-90-190,
// 1990; the form of Merrill and Grimshaw, 2010) with the operator on pairs of value and flag
// that makes segments part of the values (Schwartz 1980; Sengupta et al., "Scan Primitives for
// GPU Computing", 2007). A first launch reduces each tile, the tiles' states are scanned by the
// same operation, a last launch scans each tile from its carry. One tile takes the last launch
// alone. No block waits for another. Minima and maxima are maxima of order-preserving codes:
// signed integers have their sign bit flipped; floats (IEEE 754 totalOrder) have it flipped, or
// all bits where it is set; a minimum is the largest complement.
//
// Purpose:  inclusive, exclusive and segmented scans, row numbers and ranks.
// Buffers:  values      Value[n]
//           valid       u32[n]: bit 0 is 1 where not null, bit 1 where a segment starts in what
//                       the value stands for; not read unless has_valid
//           starts      u32[n]: not 0 in the first row of a segment; not read unless has_starts
//           carries     Value[tiles], and
//           carry_flags u32[tiles]: the state before each tile; not read unless carried
//           out         Value[n], or with reduce Value[tiles]
//           out_flags   u32[n]: 1 where a value was seen in the segment so far; written if
//                       writes_flags; with reduce u32[tiles], flags as in valid, always written
// Params:   n, order (of min and max: 0 unsigned, 1 signed, 2 float), is_min, coded (values are
//           states of an earlier launch, so are neither coded nor decoded), has_valid,
//           has_starts, exclusive (a row's own value is left out), carried, writes_flags, reduce
// Launch:   one block of 256 threads for each tile of 2048 rows.
// Result:   out and out_flags; a row before which nothing was seen has the value 0.
//           Determinism: the same bits in any order of blocks, sums of floats too, since the
//           order of additions is fixed by the tiles.
//
// KIND is defined before this text: 0 u32 sum, 1 u64 sum, 2 f32 sum, 3 f64 sum, 4 codes of 32
// bits, 5 codes of 64 bits.
#include "windlass.cuh"

struct Params {
  u32 n, order, is_min, coded, has_valid, has_starts, exclusive, carried, writes_flags, reduce;
};

#define ITEMS 8u
#define TILE 2048u
#define SEEN 1u
#define START 2u

#if KIND == 2
typedef f32 Value;
#elif KIND == 3
typedef f64 Value;
#elif KIND == 1 || KIND == 5
typedef u64 Value;
#else
typedef u32 Value;
#endif

#if KIND < 4
W_INLINE Value apply(Value a, Value b) { return a + b; }
W_INLINE Value encode(Value v, const Params&) { return v; }
W_INLINE Value decode(Value v, const Params&) { return v; }
#else
#define SIGN (Value(1) << (sizeof(Value) * 8 - 1))
W_INLINE Value apply(Value a, Value b) { return max(a, b); }
W_INLINE Value encode(Value v, const Params& p) {
  if (p.order == 2 && (v & SIGN) != 0) {
    v = ~v;
  } else if (p.order != 0) {
    v ^= SIGN;
  }
  return p.is_min ? ~v : v;
}
W_INLINE Value decode(Value v, const Params& p) {
  if (p.is_min) v = ~v;
  if (p.order == 2 && (v & SIGN) == 0) return ~v;
  return p.order != 0 ? v ^ SIGN : v;
}
#endif

// What a range of rows comes to.
struct State {
  Value value;
  u32 flags;
};

W_INLINE State join(State a, State b) {
  if (b.flags & START) return b;
  State s;
  s.value = apply(a.value, b.value);
  s.flags = a.flags | b.flags;
  return s;
}

// The state of the threads before this one in the block, and of all of them.
W_INLINE State block_exclusive(State s, State* warps, State* all) {
  const State none = {Value(0), 0u};
  for (u32 d = 1; d < 32; d *= 2) {
    const State up = W_SHFL_UP(s, d);
    if (W_LANE >= d) s = join(up, s);
  }
  if (W_LANE == 31) warps[W_WARP_ID] = s;
  State before = W_SHFL_UP(s, 1);
  if (W_LANE == 0) before = none;
  W_SYNC();
  State carry = none, total = none;
  for (u32 w = 0; w < 8; ++w) {
    if (w == W_WARP_ID) carry = total;
    total = join(total, warps[w]);
  }
  *all = total;
  return join(carry, before);
}

extern "C" __global__ void prefix(const Value* values, const u32* valid, const u32* starts,
                                  const Value* carries, const u32* carry_flags, Value* out,
                                  u32* out_flags, Params p) {
  W_SHARED(State, warps, 8);
  const u64 base = u64(blockIdx.x) * TILE + threadIdx.x * ITEMS;
  State rows[ITEMS];
  State sum = {Value(0), 0u};
  W_UNROLL for (u32 k = 0; k < ITEMS; ++k) {
    State row = {Value(0), 0u};
    if (base + k < p.n) {
      row.flags = p.has_valid ? valid[base + k] : SEEN;
      if (row.flags & SEEN) {
        const Value value = values[base + k];
        row.value = p.coded ? value : encode(value, p);
      }
      if (p.has_starts && starts[base + k] != 0) row.flags |= START;
    }
    rows[k] = row;
    sum = join(sum, row);
  }
  State all;
  State at = block_exclusive(sum, warps, &all);
  if (p.reduce) {
    if (threadIdx.x == 0) {
      out[blockIdx.x] = all.value;
      out_flags[blockIdx.x] = all.flags;
    }
    return;
  }
  if (p.carried) {
    const State carry = {carries[blockIdx.x], carry_flags[blockIdx.x]};
    at = join(carry, at);
  }
  W_UNROLL for (u32 k = 0; k < ITEMS; ++k) {
    const State next = join(at, rows[k]);
    State result = next;
    if (p.exclusive) {
      result = at;
      if (p.has_starts && (rows[k].flags & START)) result.flags = 0;
    }
    at = next;
    if (base + k < p.n) {
      Value value = Value(0);
      if (result.flags & SEEN) value = p.coded ? result.value : decode(result.value, p);
      out[base + k] = value;
      if (p.writes_flags) out_flags[base + k] = result.flags & SEEN;
    }
  }
}
