// like: whether each row's text matches a pattern.
//
// Purpose:  SQL's LIKE, and with it prefixes, suffixes and parts of texts.
// Algorithm: the pattern is compiled on the host: its parts between `%` are segments of
//           elements, a byte or any one character. The first segment is matched at the text's
//           start and the last one at its end unless a `%` stands there; each one between is
//           matched at the first place after the one before it, which leaves the most to the
//           rest (greedy matching of patterns without alternatives; every segment has a fixed
//           number of characters). Texts are walked by characters of UTF-8. A thread takes a row.
// Buffers:  heads, bytes  the column (string/text.cuh)
//           program  u32: segments, anchors (1: start, 2: end), least bytes that match, then for
//                    each segment its number of elements and the elements, 256 for any character
//           out      u32[n]: 1 where the text matches, or 0 where negated
// Params:   n, form, limit, rows, nullable (string/text.cuh), negated
// Launch:   any number of blocks of 256 threads; rows are strided over all threads.
// Result:   out, also of null rows (of what their heads name).
// Determinism: the same words in any order of threads.
#include "windlass.cuh"
#include "string/text.cuh"

struct Params {
  u32 n;
  TextLayout column;
  u32 negated;
};

#define ANY 256u
#define NOWHERE 0xffffffffu
#define AT_START 1u
#define AT_END 2u

// The first byte after the character that byte `at`, which there is, is of.
W_INLINE u32 next_character(const Text& t, u32 at) {
  ++at;
  while (at < t.len && continues(text_byte(t, at))) ++at;
  return at;
}

// Where a segment that is matched from byte `at` on ends.
W_INLINE u32 end_of_match(const Text& t, const u32* elements, u32 count, u32 at) {
  for (u32 e = 0; e < count; ++e) {
    if (at >= t.len) return NOWHERE;
    const u32 element = elements[e];
    if (element == ANY) {
      at = next_character(t, at);
    } else {
      if (text_byte(t, at) != element) return NOWHERE;
      ++at;
    }
  }
  return at;
}

// Whether a segment that ends with the text begins at byte `from` or after it.
W_INLINE bool matches_end(const Text& t, const u32* elements, u32 count, u32 from) {
  u32 at = t.len;
  for (u32 e = count; e > 0; --e) {
    if (at <= from) return false;
    --at;
    const u32 element = elements[e - 1];
    if (element == ANY) {
      while (at > from && continues(text_byte(t, at))) --at;
    } else if (text_byte(t, at) != element) {
      return false;
    }
  }
  return true;
}

W_INLINE bool matches(const Text& t, const u32* program) {
  const u32 segments = program[0], anchors = program[1];
  if (t.len < program[2]) return false;
  const u32* segment = program + 3;
  u32 at = 0;
  for (u32 s = 0; s < segments; ++s) {
    const u32 count = segment[0];
    const u32* elements = segment + 1;
    segment += 1 + count;
    if (s == 0 && (anchors & AT_START) != 0) {
      at = end_of_match(t, elements, count, 0);
      if (at == NOWHERE) return false;
      if (segments == 1 && (anchors & AT_END) != 0 && at != t.len) return false;
    } else if (s + 1 == segments && (anchors & AT_END) != 0) {
      return matches_end(t, elements, count, at);
    } else {
      u32 end = NOWHERE;
      while (at < t.len) {
        end = end_of_match(t, elements, count, at);
        if (end != NOWHERE) break;
        at = next_character(t, at);
      }
      if (end == NOWHERE) return false;
      at = end;
    }
  }
  return true;
}

extern "C" __global__ void like(const u32* heads, const u32* bytes, const u32* program, u32* out,
                                Params p) {
  const u64 stride = u64(gridDim.x) * 256u;
  for (u64 row = u64(blockIdx.x) * 256u + threadIdx.x; row < p.n; row += stride) {
    const Text t = text_at(heads, bytes, p.column, row);
    out[row] = (matches(t, program) ? 1u : 0u) ^ p.negated;
  }
}
