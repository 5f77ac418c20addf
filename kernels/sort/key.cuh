// Normalised keys: 32-bit words whose unsigned order is the sort order of a key column.
// Twin: shaders/sort/key.wgsl.
//
// Signed integers have their sign bit flipped; floats (IEEE 754 totalOrder) have it flipped, or
// all bits where it is set; a descending key is the complement. A null has value words of zero,
// so that nulls tie, and its place is in a word of its own, NULL_WORD, above the value's.
#pragma once

#define NULL_WORD 4u

#define KIND_UNSIGNED 0u
#define KIND_SIGNED 1u
#define KIND_FLOAT 2u

#define NULLS_NONE 0u   // valid is not read
#define NULLS_BITS 1u   // a bitmap, row 0 at bit null_bit
#define NULLS_WORDS 2u  // a word for each row, 0 where null

// How a key column lies in memory and sorts.
struct KeyColumn {
  u32 bytes;       // of a value: 1, 2, 4, 8, 16; 0 for a bitmap
  u32 first_bit;   // bit of row 0 in a bitmap
  u32 bits;        // of a value's normalised form: 1, 8, 16, 32, 64, 128
  u32 kind;        // KIND_…
  u32 descending;  // 1 for descending
  u32 nulls;       // NULLS_…
  u32 null_bit;    // bit of row 0 in the validity's bitmap
  u32 nulls_first; // 1 for nulls before values
};

W_INLINE bool key_is_null(const u8* valid, const KeyColumn& c, u32 row) {
  if (c.nulls == NULLS_NONE) return false;
  if (c.nulls == NULLS_WORDS) return ((const u32*)valid)[row] == 0;
  const u64 at = u64(row) + c.null_bit;
  return ((valid[at / 8] >> (at % 8)) & 1u) == 0;
}

// Word w of a row's value as it lies in memory.
W_INLINE u32 key_raw(const u8* values, const KeyColumn& c, u32 row, u32 w) {
  if (c.bytes == 0) {
    const u64 at = u64(row) + c.first_bit;
    return (values[at / 8] >> (at % 8)) & 1u;
  }
  if (c.bytes == 1) return values[row];
  if (c.bytes == 2) return ((const u16*)values)[row];
  return ((const u32*)values)[u64(row) * (c.bytes / 4) + w];
}

// Word w of a row's normalised key, least significant first, or its NULL_WORD.
W_INLINE u32 key_word(const u8* values, const u8* valid, const KeyColumn& c, u32 row, u32 w) {
  const bool null = key_is_null(valid, c, row);
  if (w == NULL_WORD) return u32(null) ^ c.nulls_first;
  if (null) return 0;
  const u32 top = (c.bits - 1) / 32;
  const u32 sign = 1u << ((c.bits - 1) % 32);
  const u32 raw = key_raw(values, c, row, w);
  u32 flip = 0;
  if (c.kind != KIND_UNSIGNED && w == top) flip = sign;
  if (c.kind == KIND_FLOAT) {
    const u32 high = w == top ? raw : key_raw(values, c, row, top);
    if (high & sign) flip = 0xffffffffu;
  }
  if (c.descending) flip = ~flip;
  const u32 mask = c.bits < 32 ? (1u << c.bits) - 1 : 0xffffffffu;
  return (raw ^ flip) & mask;
}
