// Hash of a packed key: MurmurHash3 for 32-bit words (Austin Appleby, MurmurHash3_x86_32,
// public domain), fed word by word. Twin: shaders/aggregate/key_hash.wgsl.
#pragma once

W_INLINE u32 hash_key(const u32* key, u32 words) {
  u32 h = 0x9747b28cu;
  for (u32 i = 0; i < words; ++i) {
    u32 k = key[i] * 0xcc9e2d51u;
    k = (k << 15) | (k >> 17);
    h ^= k * 0x1b873593u;
    h = ((h << 13) | (h >> 19)) * 5u + 0xe6546b64u;
  }
  h ^= words * 4u;
  h = (h ^ (h >> 16)) * 0x85ebca6bu;
  h = (h ^ (h >> 13)) * 0xc2b2ae35u;
  return h ^ (h >> 16);
}

W_INLINE bool same_key(const u32* a, const u32* b, u32 words) {
  for (u32 i = 0; i < words; ++i) {
    if (a[i] != b[i]) return false;
  }
  return true;
}
