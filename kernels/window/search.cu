// search: where a value by each row stands among the sorted keys of the row's partition.
//
// Purpose:   the ends of RANGE frames by a distance: the value is the row's key and the distance.
// Algorithm: binary search over order-preserving codes: signed integers have their sign bit
//            flipped, floats (IEEE 754 totalOrder) have it flipped, or all bits where it is set;
//            of a descending order all bits are flipped. Nulls equal each other and come before
//            all values or after them.
// Buffers:   low, high     u32[n]: the first row of the row's partition and the first after it
//            keys          Value[n], sorted within each partition
//            key_valid     u32[n]: 0 where null; not read unless key_nulls
//            targets       Value[n]
//            target_valid  u32[n]: 0 where null; not read unless target_nulls
//            limit         u32[n]: the frame's other end
//            found         u32[n]
// Params:    n
//            order         0 unsigned, 1 signed, 2 float
//            descending
//            nulls_first
//            key_nulls, target_nulls
//            after         0: the first row whose key does not come before the target, at most
//                          limit; 1: the first row whose key comes after it, at least limit
// Launch:    blocks of 256 threads that stride over the rows.
// Result:    found, between low and high where limit is.
// Determinism: the same bits in any order of blocks.
//
// KIND is defined before this text: 0 values of 32 bits, 1 of 64 bits, 2 of 128 bits.
#include "windlass.cuh"

struct Params {
  u32 n, order, descending, nulls_first, key_nulls, target_nulls, after;
};

#if KIND == 0
typedef u32 Value;
#elif KIND == 1
typedef u64 Value;
#else
typedef u128 Value;
#endif

#define SIGN (Value(1) << (sizeof(Value) * 8u - 1u))

W_INLINE Value encode(Value v, Params p) {
  if (p.order == 2u && (v & SIGN) != 0) {
    v = ~v;
  } else if (p.order != 0u) {
    v ^= SIGN;
  }
  return p.descending != 0u ? ~v : v;
}

extern "C" __global__ void search(const u32* low, const u32* high, const Value* keys,
                                  const u32* key_valid, const Value* targets,
                                  const u32* target_valid, const u32* limit, u32* found,
                                  Params p) {
  // Values stand in place 1, nulls in place 0 or 2.
  const u32 null_place = p.nulls_first != 0u ? 0u : 2u;
  for (u32 i = blockIdx.x * 256u + threadIdx.x; i < p.n; i += gridDim.x * 256u) {
    u32 from = low[i], to = high[i];
    const bool target_null = p.target_nulls != 0u && target_valid[i] == 0u;
    const u32 target_place = target_null ? null_place : 1u;
    const Value target = encode(targets[i], p);
    while (from < to) {
      const u32 middle = from + (to - from) / 2u;
      const bool null = p.key_nulls != 0u && key_valid[middle] == 0u;
      const u32 place = null ? null_place : 1u;
      bool before = place < target_place;
      if (place == target_place) {
        before = p.after != 0u;
        if (!null) {
          const Value key = encode(keys[middle], p);
          before = key < target || (p.after != 0u && key == target);
        }
      }
      if (before) {
        from = middle + 1u;
      } else {
        to = middle;
      }
    }
    const u32 end = limit[i];
    const bool past = p.after != 0u ? from < end : from > end;
    found[i] = past ? end : from;
  }
}
