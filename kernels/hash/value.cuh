// One value of a column in either storage as 32-bit words, canonical: equal values have equal
// words. Booleans and 8- and 16-bit integers are extended to a word, as wide storage has them;
// every NaN becomes the quiet NaN, -0.0 becomes 0.0. Twin: shaders/hash/value.wgsl.
#pragma once

// How the values lie.
#define KIND_WORDS 0u  // whole words, the least significant first
#define KIND_BIT 1u    // bits, from bit_offset on
#define KIND_I8 2u
#define KIND_U8 3u
#define KIND_I16 4u
#define KIND_U16 5u
#define KIND_F32 6u  // one word, a float
#define KIND_F64 7u  // two words, a float

// How the validity lies.
#define VALID_ALL 0u    // no null; the buffer is not read
#define VALID_BITS 1u   // bits, from valid_offset on
#define VALID_WORDS 2u  // a word for each row, 0 where null

struct ColumnLayout {
  u32 kind, words, bit_offset, valid_mode, valid_offset;
};

W_INLINE bool bit_at(const u32* buffer, u64 bit) {
  return (((const u8*)buffer)[bit >> 3] >> (bit & 7u) & 1u) != 0;
}

W_INLINE bool is_valid(const u32* valid, const ColumnLayout& c, u64 row) {
  if (c.valid_mode == VALID_ALL) return true;
  if (c.valid_mode == VALID_WORDS) return valid[row] != 0;
  return bit_at(valid, row + c.valid_offset);
}

struct Value {
  u32 w[4];
};

// The words past c.words are zero.
W_INLINE Value value_at(const u32* values, const ColumnLayout& c, u64 row) {
  Value v = {{0, 0, 0, 0}};
  switch (c.kind) {
    case KIND_BIT: v.w[0] = bit_at(values, row + c.bit_offset) ? 1u : 0u; return v;
    case KIND_I8: v.w[0] = u32(i32(((const i8*)values)[row])); return v;
    case KIND_U8: v.w[0] = ((const u8*)values)[row]; return v;
    case KIND_I16: v.w[0] = u32(i32(((const i16*)values)[row])); return v;
    case KIND_U16: v.w[0] = ((const u16*)values)[row]; return v;
    default: break;
  }
  W_UNROLL for (u32 k = 0; k < 4; ++k) {
    if (k < c.words) v.w[k] = values[row * c.words + k];
  }
  if (c.kind == KIND_F32) {
    const u32 magnitude = v.w[0] & 0x7fffffffu;
    if (magnitude > 0x7f800000u) v.w[0] = 0x7fc00000u;
    if (magnitude == 0) v.w[0] = 0;
  } else if (c.kind == KIND_F64) {
    const u32 magnitude = v.w[1] & 0x7fffffffu;
    if (magnitude > 0x7ff00000u || (magnitude == 0x7ff00000u && v.w[0] != 0)) {
      v.w[0] = 0;
      v.w[1] = 0x7ff80000u;
    } else if (magnitude == 0 && v.w[0] == 0) {
      v.w[1] = 0;
    }
  }
  return v;
}
