// range: sum, minimum, maximum or spread of the rows of each row's window frame.
//
// Purpose:   running and sliding SUM, MIN, MAX, VAR and STDDEV over any frame, passing over
//            nulls.
// Algorithm: a tree of sums (or extremes) of pairs, pairs of pairs and so on, of which a frame
//            is at most two nodes a level (Bentley, "Solutions to Klee's rectangle problems",
//            1977). Sums are made of the frame's own rows only: nothing is subtracted, so that
//            no float cancels and no NaN or infinity before a frame gets into it. Minima and
//            maxima are maxima of order-preserving codes: signed integers have their sign bit
//            flipped; floats (IEEE 754 totalOrder) have it flipped, or all bits where it is set;
//            a minimum is the largest complement. A spread is the sum of squared differences
//            from the mean: of two nodes it comes from their counts, means and sums (Chan, Golub
//            and LeVeque, "Algorithms for computing the sample variance", 1983).
// Buffers:   values      Item[n]
//            valid       u32[n]: 0 where null; not read unless has_valid
//            tree        Value[fewer than n]: level 1 first; nodes of which a row is not there
//                        are left out
//            tree_flags  u32: 1 where a node has a row that is not null; of a spread how many
//            low, high   u32[n]: the first row of a frame and the first after it; not read where
//                        a level is made
//            out         Item[n]
//            out_flags   u32[n]: 1 where the frame has a row that is not null
// Params:    n          rows
//            order      of minima and maxima: 0 unsigned, 1 signed, 2 float
//            is_min
//            has_valid
//            nodes      of the level to make; 0 to answer frames
//            below      first node of the level below in tree; 0xffffffff for the rows
//            at         first node of the level to make
// Launch:    one for each level, then one for the frames; blocks of 256 threads that stride over
//            the nodes, or the rows.
// Result:    out and out_flags; an empty frame, or one of nulls, has the value 0.
// Determinism: the same bits in any order of blocks: additions follow the tree.
//
// KIND is defined before this text: 0 u32 sum, 1 u64 sum, 2 f32 sum, 3 f64 sum, 4 codes of 32
// bits, 5 codes of 64 bits, 6 u128 sum, 7 codes of 128 bits, 8 f64 spread.
#include "windlass.cuh"

struct Params {
  u32 n, order, is_min, has_valid, nodes, below, at;
};

#if KIND == 0 || KIND == 4
typedef u32 Value;
#elif KIND == 1 || KIND == 5
typedef u64 Value;
#elif KIND == 2
typedef f32 Value;
#elif KIND == 3
typedef f64 Value;
#elif KIND == 8
// A node's mean, and the sum of its values' squared differences from it.
struct Value {
  f64 mean, squares;
};
#else
typedef u128 Value;
#endif

#if KIND == 8
typedef f64 Item;
#else
typedef Value Item;
#endif

#define ROWS 0xffffffffu

#if KIND == 8
W_INLINE Value encode(Item v, Params p) {
  Value one = {v, 0.0};
  return one;
}
W_INLINE Item decode(Value v, Params p) { return v.squares; }
#elif KIND < 4 || KIND == 6
W_INLINE Value apply(Value a, Value b) { return a + b; }
W_INLINE Value encode(Value v, Params p) { return v; }
W_INLINE Value decode(Value v, Params p) { return v; }
#else
#define SIGN (Value(1) << (sizeof(Value) * 8u - 1u))
W_INLINE Value apply(Value a, Value b) { return a < b ? b : a; }
W_INLINE Value encode(Value v, Params p) {
  if (p.order == 2u && (v & SIGN) != 0) {
    v = ~v;
  } else if (p.order != 0u) {
    v ^= SIGN;
  }
  return p.is_min != 0u ? ~v : v;
}
W_INLINE Value decode(Value v, Params p) {
  if (p.is_min != 0u) v = ~v;
  if (p.order == 2u && (v & SIGN) == 0) return ~v;
  return p.order != 0u ? v ^ SIGN : v;
}
#endif

// What some rows come to.
struct State {
  Value value;
  u32 seen;  // of a spread how many values
};

W_INLINE State join(State a, State b) {
  if (b.seen == 0u) return a;
  if (a.seen == 0u) return b;
#if KIND == 8
  const f64 left = f64(a.seen), right = f64(b.seen), all = left + right;
  const f64 apart = b.value.mean - a.value.mean;
  State both = {{a.value.mean + apart * (right / all),
                 a.value.squares + b.value.squares + apart * apart * (left * right / all)},
                a.seen + b.seen};
#else
  State both = {apply(a.value, b.value), 1u};
#endif
  return both;
}

W_INLINE State node(const Item* values, const u32* valid, const Value* tree,
                    const u32* tree_flags, u32 base, u32 i, Params p) {
  State s = {Value(), 0u};
  if (base != ROWS) {
    s.value = tree[base + i];
    s.seen = tree_flags[base + i];
  } else if (p.has_valid == 0u || valid[i] != 0u) {
    s.value = encode(values[i], p);
    s.seen = 1u;
  }
  return s;
}

extern "C" __global__ void range(const Item* values, const u32* valid, Value* tree,
                                 u32* tree_flags, const u32* low, const u32* high, Item* out,
                                 u32* out_flags, Params p) {
  const u32 stride = gridDim.x * 256u;
  for (u32 i = blockIdx.x * 256u + threadIdx.x; i < p.nodes; i += stride) {
    const State a = node(values, valid, tree, tree_flags, p.below, 2u * i, p);
    const State s = join(a, node(values, valid, tree, tree_flags, p.below, 2u * i + 1u, p));
    tree[p.at + i] = s.value;
    tree_flags[p.at + i] = s.seen;
  }
  if (p.nodes != 0u) return;
  for (u32 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += stride) {
    u32 from = low[i], to = high[i], base = ROWS, size = p.n;
    State left = {Value(), 0u}, right = {Value(), 0u};
    while (from < to) {
      if ((from & 1u) != 0u) {
        left = join(left, node(values, valid, tree, tree_flags, base, from, p));
        from += 1u;
      }
      if ((to & 1u) != 0u) {
        to -= 1u;
        right = join(node(values, valid, tree, tree_flags, base, to, p), right);
      }
      from /= 2u;
      to /= 2u;
      base = base == ROWS ? 0u : base + size;
      size /= 2u;
    }
    const State s = join(left, right);
    out[i] = s.seen != 0u ? decode(s.value, p) : Item(0);
    out_flags[i] = s.seen != 0u ? 1u : 0u;
  }
}
