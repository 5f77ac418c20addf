// The dialect on NVRTC. `windlass.cuh` says what each name means.
#pragma once

#define W_INLINE static __device__ __forceinline__
#define W_SHARED(type, name, n) __shared__ type name[n]
#define W_UNROLL _Pragma("unroll")
#define W_FULL_MASK 0xffffffffu

#define W_SYNC() __syncthreads()
#define W_SYNCWARP() __syncwarp(W_FULL_MASK)
#define W_BALLOT(p) __ballot_sync(W_FULL_MASK, (p))
#define W_ANY(p) (__any_sync(W_FULL_MASK, (p)) != 0)
#define W_ALL(p) (__all_sync(W_FULL_MASK, (p)) != 0)
#define W_MATCH_ANY(v) __match_any_sync(W_FULL_MASK, (v))
#define W_SHFL(v, lane) w_shfl((v), (lane))
#define W_SHFL_UP(v, d) w_shfl_up((v), (d))
#define W_SHFL_DOWN(v, d) w_shfl_down((v), (d))
#define W_SHFL_XOR(v, mask) w_shfl_xor((v), (mask))
#define W_FENCE() __threadfence()
#define W_FENCE_BLOCK() __threadfence_block()
#define W_LOAD(p) w_load(p)
#define W_STORE(p, v) w_store((p), (v))

// A shuffle moves 32-bit words, so that one template serves every type of up to 16 bytes.
#define W_DEFINE_SHUFFLE(name, intrinsic)                              \
  template <class T> W_INLINE T name(T v, u32 arg) {                   \
    static_assert(sizeof(T) <= 16, "a shuffle moves up to 16 bytes");  \
    constexpr u32 words = (sizeof(T) + 3) / 4;                         \
    u32 w[words] = {};                                                 \
    memcpy(w, &v, sizeof(T));                                          \
    W_UNROLL for (u32 i = 0; i < words; ++i) {                         \
      w[i] = intrinsic(W_FULL_MASK, w[i], arg);                        \
    }                                                                  \
    memcpy(&v, w, sizeof(T));                                          \
    return v;                                                          \
  }
W_DEFINE_SHUFFLE(w_shfl, __shfl_sync)
W_DEFINE_SHUFFLE(w_shfl_up, __shfl_up_sync)
W_DEFINE_SHUFFLE(w_shfl_down, __shfl_down_sync)
W_DEFINE_SHUFFLE(w_shfl_xor, __shfl_xor_sync)
#undef W_DEFINE_SHUFFLE

template <class T> W_INLINE T w_load(const T* p) { return *(const volatile T*)p; }
template <class T> struct w_same { typedef T type; };
template <class T> W_INLINE void w_store(T* p, typename w_same<T>::type v) {
  *(volatile T*)p = v;
}

// CUDA has these atomics for u64 only; two's complement makes them the same.
W_INLINE i64 atomicAdd(i64* p, i64 v) { return i64(atomicAdd((u64*)p, u64(v))); }
W_INLINE i64 atomicCAS(i64* p, i64 old, i64 v) {
  return i64(atomicCAS((u64*)p, u64(old), u64(v)));
}
W_INLINE i64 atomicExch(i64* p, i64 v) { return i64(atomicExch((u64*)p, u64(v))); }
W_INLINE i64 atomicOr(i64* p, i64 v) { return i64(atomicOr((u64*)p, u64(v))); }
W_INLINE i64 atomicAnd(i64* p, i64 v) { return i64(atomicAnd((u64*)p, u64(v))); }
W_INLINE i64 atomicXor(i64* p, i64 v) { return i64(atomicXor((u64*)p, u64(v))); }

#define W_POPC(x) w_popc(x)
#define W_CLZ(x) w_clz(x)
#define W_FFS(x) w_ffs(x)
#define W_BREV(x) w_brev(x)
W_INLINE u32 w_popc(u32 x) { return u32(__popc(x)); }
W_INLINE u32 w_popc(u64 x) { return u32(__popcll(x)); }
W_INLINE u32 w_clz(u32 x) { return u32(__clz(int(x))); }
W_INLINE u32 w_clz(u64 x) { return u32(__clzll(i64(x))); }
W_INLINE u32 w_ffs(u32 x) { return u32(__ffs(int(x))); }
W_INLINE u32 w_ffs(u64 x) { return u32(__ffsll(i64(x))); }
W_INLINE u32 w_brev(u32 x) { return __brev(x); }
W_INLINE u64 w_brev(u64 x) { return __brevll(x); }

W_INLINE u32 w_mulhi(u32 a, u32 b) { return __umulhi(a, b); }
W_INLINE i32 w_mulhi(i32 a, i32 b) { return __mulhi(a, b); }
W_INLINE u64 w_mulhi(u64 a, u64 b) { return __umul64hi(a, b); }
W_INLINE i64 w_mulhi(i64 a, i64 b) { return __mul64hi(a, b); }

W_INLINE u32 w_f32_bits(f32 x) { return __float_as_uint(x); }
W_INLINE f32 w_bits_f32(u32 x) { return __uint_as_float(x); }
W_INLINE u64 w_f64_bits(f64 x) { return u64(__double_as_longlong(x)); }
W_INLINE f64 w_bits_f64(u64 x) { return __longlong_as_double(i64(x)); }
