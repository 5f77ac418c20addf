// fold: what becomes of the elements along the middle axis of an array of three.
//
// Algorithm: the middle axis is cut into parts. A block takes a part of some lines: its threads
// lie in an array of three axes of its own, `wide` neighbours along the last axis by `tall`
// along the middle one by as many along the first as there are threads left for, so that
// neighbouring threads read neighbouring elements whatever the lengths are. A thread takes
// elements `tall` apart, and the threads of a line are merged by a tree. The host merges parts.
// Moments are merged as in Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm
// for Computing Sample Variances" (1979).
//
// Purpose:  sums, products, extremes and where they are, means with squared deviations.
// Buffers:  values  T[outer * n * inner], the last axis the fastest
//           out     T[parts * outer * inner]: for each part the results, the last axis the
//                   fastest; with OP 6 the means
//           more    with OP 4 and 5 u32[parts * outer * inner]: the position along the middle
//                   axis; with OP 6 f64 of them: the squared deviations; else not written
// Params:   outer, n, inner, parts (1 to n), wide and tall (their product is at most 256)
// Launch:   any number of blocks of 256 threads; parts of lines are strided over blocks.
// Result:   out and more. Integers wrap. A NaN is the result of an extreme that meets one, but
//           of OP 2 and 3 with IGNORE_NAN only where there is nothing else; equal elements are
//           found where they are first. Determinism: the same bits in any order of threads; sums
//           of floats depend on `parts` and `tall` by the rounding of reassociated additions.
//
// KIND (0 u32, 1 i32, 2 u64, 3 i64, 4 f32, 5 f64), OP (0 sum, 1 product, 2 least, 3 greatest,
// 4 position of the least, 5 of the greatest, 6 moments of f64) and IGNORE_NAN are defined
// before this text.
#include "windlass.cuh"

struct Params {
  u32 outer, n, inner, parts, wide, tall;
};

#if KIND == 0
typedef u32 T;
#elif KIND == 1
typedef i32 T;
#elif KIND == 2
typedef u64 T;
#elif KIND == 3
typedef i64 T;
#elif KIND == 4
typedef f32 T;
#else
typedef f64 T;
#endif

// What is kept of elements that were seen; of none where count is 0.
struct Kept {
  T value;
#if OP == 6
  f64 squares;
#endif
  u32 at, count;
};

W_INLINE bool is_nan(T x) {
#if KIND >= 4
  return !(x == x);
#else
  return false;
#endif
}

// Whether b, which may stand anywhere, goes before a.
W_INLINE bool goes_before(const Kept& a, const Kept& b) {
  if (is_nan(a.value) || is_nan(b.value)) {
    if (is_nan(a.value) && is_nan(b.value)) return b.at < a.at;
    return is_nan(b.value) != (IGNORE_NAN != 0);
  }
  if (a.value == b.value) return b.at < a.at;
#if OP == 3 || OP == 5
  return b.value > a.value;
#else
  return b.value < a.value;
#endif
}

W_INLINE void merge(Kept& a, const Kept& b) {
  if (b.count == 0) return;
  if (a.count == 0) {
    a = b;
    return;
  }
#if OP == 0
  a.value += b.value;
#elif OP == 1
  a.value *= b.value;
#elif OP == 6
  const f64 all = f64(a.count) + f64(b.count), d = b.value - a.value;
  a.value += d * (f64(b.count) / all);
  a.squares += b.squares + d * d * (f64(a.count) * f64(b.count) / all);
#else
  if (goes_before(a, b)) {
    a.value = b.value;
    a.at = b.at;
  }
#endif
  a.count += b.count;
}

W_INLINE void take(Kept& a, T value, u32 at) {
#if OP == 6
  a.count += 1;
  const f64 d = value - a.value;
  a.value += d / f64(a.count);
  a.squares += d * (value - a.value);
#else
  Kept b = {};
  b.value = value;
  b.at = at;
  b.count = 1;
  merge(a, b);
#endif
}

#if OP == 6
typedef f64 More;
#else
typedef u32 More;
#endif

W_INLINE void write(const Kept& a, T* out, More* more, u64 to) {
  out[to] = a.value;
#if OP == 6
  more[to] = a.squares;
#elif OP >= 4
  more[to] = a.at;
#endif
}

// The elements of a part: from begin on, until end.
struct Part {
  u32 begin, end;
};
W_INLINE Part part_of(const Params& p, u32 part) {
  const u64 n = p.n;
  Part q = {u32(n * part / p.parts), u32(n * (part + 1u) / p.parts)};
  return q;
}

extern "C" __global__ void fold(const T* values, T* out, More* more, Params p) {
  W_SHARED(Kept, kept, 256);
  const u32 t = threadIdx.x, deep = 256u / (p.wide * p.tall);
  const u32 x = t % p.wide, y = t / p.wide % p.tall, z = t / (p.wide * p.tall);
  const u32 columns = (p.inner + p.wide - 1u) / p.wide, slabs = (p.outer + deep - 1u) / deep;
  const u64 tasks = u64(p.parts) * columns * slabs;
  for (u64 task = blockIdx.x; task < tasks; task += gridDim.x) {
    const u32 column = u32(task % columns), rest = u32(task / columns);
    const u32 i = column * p.wide + x, o = rest % slabs * deep + z, part = rest / slabs;
    const bool live = z < deep && i < p.inner && o < p.outer;
    Kept a = {};
    if (live) {
      const Part q = part_of(p, part);
      for (u32 j = q.begin + y; j < q.end; j += p.tall) {
        take(a, values[(u64(o) * p.n + j) * p.inner + i], j);
      }
    }
    if (p.tall > 1u) {
      kept[t] = a;
      for (u32 rows = p.tall; rows > 1u;) {
        W_SYNC();
        const u32 half = (rows + 1u) / 2u;
        if (live && y + half < rows) {
          merge(a, kept[t + half * p.wide]);
          kept[t] = a;
        }
        rows = half;
      }
      W_SYNC();
    }
    if (live && y == 0) write(a, out, more, (u64(part) * p.outer + o) * p.inner + i);
  }
}
