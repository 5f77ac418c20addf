// scan: running sums and products along the middle axis of an array of three.
//
// Algorithm: reduce-then-scan (Blelloch, "Prefix Sums and Their Applications", CMU-CS-90-190,
// 1990; the form of Merrill and Grimshaw, 2010). The axis is cut into parts, each of which was
// folded before; a block adds up the parts before its own and scans it from there, so that no
// block waits for another. Its threads lie on the array as those of `fold` do: `wide` neighbours
// along the last axis by `tall` along the middle one by as many along the first as are left. A
// thread takes 8 elements one after the other, and the threads of a line are scanned in shared
// memory (Hillis and Steele, "Data Parallel Algorithms", 1986).
//
// Purpose:  cumulative sums and products of tiles, one tile behind the other.
// Buffers:  values  T[outer * n * inner], the last axis the fastest
//           before  T[outer * inner]: what comes before each line; not read unless carried
//           sums    T[parts * outer * inner]: the parts of lines folded; not read unless there
//                   are several
//           out     T[outer * n * inner]: element by element the result up to and with it
//           after   T[outer * inner]: the last result of each line
// Params:   outer, n, inner, parts (1 to n, cut as `fold` cuts them), wide and tall (their
//           product is at most 256), carried
// Launch:   any number of blocks of 256 threads; parts of lines are strided over blocks.
// Result:   out and after; integers wrap. Determinism: the same bits in any order of threads;
//           those of floats depend on `parts` and `tall` by the rounding of reassociated
//           operations.
//
// KIND (2 u64, 4 f32, 5 f64) and OP (0 sum, 1 product) are defined before this text.
#include "windlass.cuh"

struct Params {
  u32 outer, n, inner, parts, wide, tall, carried;
};

#define ITEMS 8u

#if KIND == 2
typedef u64 T;
#elif KIND == 4
typedef f32 T;
#else
typedef f64 T;
#endif

// What changes nothing; of sums of floats -0, so that a zero keeps its sign.
#if OP == 1
#define NOTHING T(1)
#elif KIND == 2
#define NOTHING T(0)
#else
#define NOTHING T(-0.0)
#endif

W_INLINE T apply(T a, T b) {
#if OP == 0
  return a + b;
#else
  return a * b;
#endif
}

extern "C" __global__ void scan(const T* values, const T* before, const T* sums, T* out, T* after,
                                Params p) {
  W_SHARED(T, kept, 256);
  const u32 t = threadIdx.x, deep = 256u / (p.wide * p.tall);
  const u32 x = t % p.wide, y = t / p.wide % p.tall, z = t / (p.wide * p.tall);
  const u32 columns = (p.inner + p.wide - 1u) / p.wide, slabs = (p.outer + deep - 1u) / deep;
  const u32 chunk = p.tall * ITEMS;
  const u64 tasks = u64(p.parts) * columns * slabs, n = p.n;
  for (u64 task = blockIdx.x; task < tasks; task += gridDim.x) {
    const u32 column = u32(task % columns), rest = u32(task / columns);
    const u32 i = column * p.wide + x, o = rest % slabs * deep + z, part = rest / slabs;
    const bool live = z < deep && i < p.inner && o < p.outer;
    const u64 line = u64(o) * p.inner + i, lines = u64(p.outer) * p.inner;
    const u32 begin = u32(n * part / p.parts), end = u32(n * (part + 1u) / p.parts);
    // What comes before the part.
    T at = NOTHING;
    if (p.parts > 1u) {
      if (live) {
        for (u32 q = y; q < part; q += p.tall) at = apply(at, sums[q * lines + line]);
      }
      kept[t] = at;
      for (u32 rows = p.tall; rows > 1u;) {
        W_SYNC();
        const u32 half = (rows + 1u) / 2u;
        if (live && y + half < rows) kept[t] = apply(kept[t], kept[t + half * p.wide]);
        rows = half;
      }
      W_SYNC();
      if (live) at = kept[t - y * p.wide];
      W_SYNC();
    }
    if (live && p.carried) at = apply(before[line], at);
    for (u32 first = begin; first < end; first += chunk) {
      T rows[ITEMS];
      T sum = NOTHING;
      const u32 own = first + y * ITEMS;
      W_UNROLL for (u32 k = 0; k < ITEMS; ++k) {
        rows[k] = NOTHING;
        if (live && own + k < end) rows[k] = values[(o * n + own + k) * p.inner + i];
        sum = apply(sum, rows[k]);
      }
      T from = at;
      if (p.tall > 1u) {
        kept[t] = sum;
        W_SYNC();
        for (u32 d = 1; d < p.tall; d *= 2u) {
          T up = NOTHING;
          if (live && y >= d) up = kept[t - d * p.wide];
          W_SYNC();
          sum = apply(up, sum);
          kept[t] = sum;
          W_SYNC();
        }
        if (live) {
          if (y > 0) from = apply(at, kept[t - p.wide]);
          sum = kept[t + (p.tall - 1u - y) * p.wide];
        }
        W_SYNC();
      }
      at = apply(at, sum);
      W_UNROLL for (u32 k = 0; k < ITEMS; ++k) {
        from = apply(from, rows[k]);
        if (live && own + k < end) {
          out[(o * n + own + k) * p.inner + i] = from;
          if (own + k + 1u == p.n) after[line] = from;
        }
      }
    }
  }
}
