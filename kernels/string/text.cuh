// The text of a row, for columns of offsets and bytes and for columns of views.
// Twin: shaders/string/text.wgsl.
//
// Offsets and bytes: heads is u32[rows + 1], row r is bytes[heads[r] .. heads[r + 1]].
// Views: heads is u32[rows * 4]; word 0 is the length; a text of up to 12 bytes lies in words 1
// to 3, a longer one in bytes from word 3 on. Both as Arrow has them.
//
// Whatever the heads say, no access leaves the buffers: starts and lengths are clamped to the
// limit, and a row that is not there is an empty text.
#pragma once

#define FORM_VIEWS 1u     // else: offsets
#define FORM_CONSTANT 2u  // the first row stands for all rows

struct TextLayout {
  u32 form;      // the bits above
  u32 limit;     // length of bytes
  u32 rows;
  u32 nullable;  // whether there is a validity, a word for each row, 0 where null
};

struct Text {
  const u32* words;
  u32 at;     // first byte
  u32 len;    // in bytes
  u32 limit;  // bytes of words
};

W_INLINE u32 w_least(u32 a, u32 b) { return a < b ? a : b; }

W_INLINE Text text_at(const u32* heads, const u32* bytes, const TextLayout& c, u64 row) {
  Text t = {bytes, 0, 0, c.limit};
  if ((c.form & FORM_CONSTANT) != 0) row = 0;
  if (row >= c.rows) return t;
  if ((c.form & FORM_VIEWS) != 0) {
    const u32* view = heads + row * 4;
    t.len = view[0];
    if (t.len <= 12) {
      t.words = view + 1;
      t.limit = 12;
      return t;
    }
    t.at = w_least(view[3], c.limit);
    t.len = w_least(t.len, c.limit - t.at);
    return t;
  }
  t.at = w_least(heads[row], c.limit);
  const u32 end = w_least(heads[row + 1], c.limit);
  t.len = end > t.at ? end - t.at : 0;
  return t;
}

W_INLINE bool text_valid(const u32* valid, const TextLayout& c, u64 row) {
  if ((c.form & FORM_CONSTANT) != 0) row = 0;
  if (row >= c.rows) return false;
  return c.nullable == 0 || valid[row] != 0;
}

// Byte i of the text, which is less than its length.
W_INLINE u32 text_byte(const Text& t, u32 i) { return ((const u8*)t.words)[u64(t.at) + i]; }

// Four bytes of the text from byte i on, the first in the lowest place; 0 past its end.
W_INLINE u32 text_word(const Text& t, u32 i) {
  if (i >= t.len) return 0;
  const u32 left = t.len - i;
  const u64 at = u64(t.at) + i;
  const u64 word = at >> 2;
  const u32 shift = u32(at & 3u) * 8;
  u32 out = 0;
  if (word * 4 + 8 <= t.limit) {
    out = t.words[word] >> shift;
    if (shift != 0) out |= t.words[word + 1] << (32 - shift);
  } else {
    for (u32 k = 0; k < w_least(left, 4); ++k) {
      out |= u32(((const u8*)t.words)[at + k]) << (8 * k);
    }
  }
  return left >= 4 ? out : out & ((1u << (8 * left)) - 1);
}

// As text_word(t, 0) for the text of a row, from the view where there is one: bytes elsewhere are
// not read for it.
W_INLINE u32 text_first(const u32* heads, const TextLayout& c, u64 row, const Text& t) {
  if ((c.form & FORM_VIEWS) == 0) return text_word(t, 0);
  const u32 word = heads[(c.form & FORM_CONSTANT) != 0 ? 1 : row * 4 + 1];
  return t.len >= 4 ? word : word & ((1u << (8 * t.len)) - 1);
}

W_INLINE u32 w_swap_bytes(u32 w) {
  return (w >> 24) | ((w >> 8) & 0xff00u) | ((w << 8) & 0xff0000u) | (w << 24);
}

// Whether a byte of UTF-8 continues a character.
W_INLINE bool continues(u32 byte) { return (byte & 0xc0u) == 0x80u; }

// How many bytes of a word, each of a text, begin a character: those that are not 10xxxxxx.
W_INLINE u32 characters_in(u32 word) {
  return 4 - W_POPC((word >> 7) & ~(word >> 6) & 0x01010101u);
}

// The last row of 0 .. rows whose first output byte, offsets[row], is not after `at`, searched
// from row `low` on, for which that holds. Of empty rows at one place it is the last.
W_INLINE u32 row_of(const u32* offsets, u32 low, u32 rows, u32 at) {
  u32 high = rows;
  while (high - low > 1) {
    const u32 middle = low + (high - low) / 2;
    if (offsets[middle] <= at) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}
