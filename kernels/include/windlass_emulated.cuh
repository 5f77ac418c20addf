// The dialect on the host, for the emulator. `windlass.cuh` says what each name means.
//
// A CUDA thread is a fiber. It leaves its state in a `w_thread` and calls `sync` of the
// block it belongs to, which switches to another fiber; the emulator fills in the result
// and resumes it. The structs are laid out as `emulated/abi.rs` says; `w_layout` lets the
// emulator check that.
#pragma once

struct w_dim {
  u32 x, y, z;
};

struct w_thread;

// What all threads of a block share, and the calls into the emulator.
struct w_block {
  w_dim block_idx, block_dim, grid_dim;
  void (*sync)(w_thread*);
  void* (*shared)(w_thread*, const void* key, u64 bytes, u64 align);
  void (*fail)(w_thread*, const char* what, const char* file, u32 line);
  void (*check)(w_thread*, const void* address, u64 bytes, u32 write);
};

struct w_thread {
  w_dim thread_idx;
  u32 op;        // what the thread waits for: W_OP_...
  u32 line;      // where it waits
  u32 arg;       // lane, distance, mask or predicate
  u32 fuel;      // atomics left until it lets others run
  const char* file;
  w_block* block;
  u64 in[2];     // its value
  u64 out[2];    // the result
};

enum {
  W_OP_PREEMPT = 1,
  W_OP_BLOCK,
  W_OP_WARP,
  W_OP_BALLOT,
  W_OP_MATCH,
  W_OP_SHFL,
  W_OP_SHFL_UP,
  W_OP_SHFL_DOWN,
  W_OP_SHFL_XOR,
};

static thread_local w_thread* w_self;

#define threadIdx (w_self->thread_idx)
#define blockIdx (w_self->block->block_idx)
#define blockDim (w_self->block->block_dim)
#define gridDim (w_self->block->grid_dim)

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __constant__ static const
#define __launch_bounds__(...)
#define __grid_constant__
#define W_INLINE static inline
#define W_UNROLL
#define W_SHARED(type, name, n)                                              \
  static char name##_key;                                                    \
  type(&name)[n] = *(type(*)[n])w_self->block->shared(w_self, &name##_key,   \
                                                      sizeof(type[n]), alignof(type))

W_INLINE void w_wait(u32 op, const char* file, u32 line) {
  w_thread* t = w_self;
  t->op = op;
  t->file = file;
  t->line = line;
  t->block->sync(t);
}

W_INLINE u32 w_vote(u32 op, u64 value, const char* file, u32 line) {
  w_thread* t = w_self;
  t->in[0] = value;
  w_wait(op, file, line);
  return u32(t->out[0]);
}

template <class T>
W_INLINE T w_shuffle(u32 op, T v, u32 arg, const char* file, u32 line) {
  static_assert(sizeof(T) <= 16, "a shuffle moves up to 16 bytes");
  w_thread* t = w_self;
  t->in[0] = 0;
  t->in[1] = 0;
  __builtin_memcpy(t->in, &v, sizeof(T));
  t->arg = arg;
  w_wait(op, file, line);
  __builtin_memcpy(&v, t->out, sizeof(T));
  return v;
}

#define W_SYNC() w_wait(W_OP_BLOCK, __FILE__, __LINE__)
#define W_SYNCWARP() w_wait(W_OP_WARP, __FILE__, __LINE__)
#define W_BALLOT(p) w_vote(W_OP_BALLOT, (p) ? 1u : 0u, __FILE__, __LINE__)
#define W_ANY(p) (W_BALLOT(p) != 0u)
#define W_ALL(p) (W_BALLOT(!(p)) == 0u)
#define W_MATCH_ANY(v) w_vote(W_OP_MATCH, u64(v), __FILE__, __LINE__)
#define W_SHFL(v, lane) w_shuffle(W_OP_SHFL, (v), (lane), __FILE__, __LINE__)
#define W_SHFL_UP(v, d) w_shuffle(W_OP_SHFL_UP, (v), (d), __FILE__, __LINE__)
#define W_SHFL_DOWN(v, d) w_shuffle(W_OP_SHFL_DOWN, (v), (d), __FILE__, __LINE__)
#define W_SHFL_XOR(v, mask) w_shuffle(W_OP_SHFL_XOR, (v), (mask), __FILE__, __LINE__)
#define W_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define W_FENCE_BLOCK() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define W_LOAD(p) w_load(p)
#define W_STORE(p, v) w_store((p), (v))

// Every so many atomics a thread lets others run, so that a thread which waits for another
// one in a loop does not wait forever.
W_INLINE void w_tick() {
  if (--w_self->fuel == 0) w_wait(W_OP_PREEMPT, "", 0);
}

template <class T> W_INLINE T w_load(const T* p) {
  w_tick();
  return __atomic_load_n(p, __ATOMIC_RELAXED);
}
template <class T> struct w_same { typedef T type; };
template <class T> W_INLINE void w_store(T* p, typename w_same<T>::type v) {
  w_tick();
  __atomic_store_n(p, v, __ATOMIC_RELAXED);
}

#define W_DEFINE_ATOMICS(T)                                                    \
  W_INLINE T atomicAdd(T* p, T v) {                                            \
    w_tick();                                                                  \
    return __atomic_fetch_add(p, v, __ATOMIC_RELAXED);                         \
  }                                                                            \
  W_INLINE T atomicOr(T* p, T v) {                                             \
    w_tick();                                                                  \
    return __atomic_fetch_or(p, v, __ATOMIC_RELAXED);                          \
  }                                                                            \
  W_INLINE T atomicAnd(T* p, T v) {                                            \
    w_tick();                                                                  \
    return __atomic_fetch_and(p, v, __ATOMIC_RELAXED);                         \
  }                                                                            \
  W_INLINE T atomicXor(T* p, T v) {                                            \
    w_tick();                                                                  \
    return __atomic_fetch_xor(p, v, __ATOMIC_RELAXED);                         \
  }                                                                            \
  W_INLINE T atomicExch(T* p, T v) {                                           \
    w_tick();                                                                  \
    return __atomic_exchange_n(p, v, __ATOMIC_RELAXED);                        \
  }                                                                            \
  W_INLINE T atomicCAS(T* p, T old, T v) {                                     \
    w_tick();                                                                  \
    __atomic_compare_exchange_n(p, &old, v, false, __ATOMIC_RELAXED,           \
                                __ATOMIC_RELAXED);                             \
    return old;                                                                \
  }                                                                            \
  W_INLINE T atomicMin(T* p, T v) {                                            \
    w_tick();                                                                  \
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);                              \
    while (v < old && !__atomic_compare_exchange_n(                            \
                          p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) { \
    }                                                                          \
    return old;                                                                \
  }                                                                            \
  W_INLINE T atomicMax(T* p, T v) {                                            \
    w_tick();                                                                  \
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);                              \
    while (v > old && !__atomic_compare_exchange_n(                            \
                          p, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) { \
    }                                                                          \
    return old;                                                                \
  }
W_DEFINE_ATOMICS(u32)
W_DEFINE_ATOMICS(i32)
W_DEFINE_ATOMICS(u64)
W_DEFINE_ATOMICS(i64)
#undef W_DEFINE_ATOMICS

#define W_DEFINE_FLOAT_ADD(T, B)                                               \
  W_INLINE T atomicAdd(T* p, T v) {                                            \
    w_tick();                                                                  \
    B old = __atomic_load_n((B*)p, __ATOMIC_RELAXED);                          \
    for (;;) {                                                                 \
      T x;                                                                     \
      __builtin_memcpy(&x, &old, sizeof x);                                    \
      T sum = x + v;                                                           \
      B bits;                                                                  \
      __builtin_memcpy(&bits, &sum, sizeof bits);                              \
      if (__atomic_compare_exchange_n((B*)p, &old, bits, true, __ATOMIC_RELAXED, \
                                      __ATOMIC_RELAXED)) {                     \
        return x;                                                              \
      }                                                                        \
    }                                                                          \
  }
W_DEFINE_FLOAT_ADD(f32, u32)
W_DEFINE_FLOAT_ADD(f64, u64)
#undef W_DEFINE_FLOAT_ADD

#define W_POPC(x) w_popc(x)
#define W_CLZ(x) w_clz(x)
#define W_FFS(x) w_ffs(x)
#define W_BREV(x) w_brev(x)
W_INLINE u32 w_popc(u32 x) { return u32(__builtin_popcount(x)); }
W_INLINE u32 w_popc(u64 x) { return u32(__builtin_popcountll(x)); }
W_INLINE u32 w_clz(u32 x) { return x ? u32(__builtin_clz(x)) : 32u; }
W_INLINE u32 w_clz(u64 x) { return x ? u32(__builtin_clzll(x)) : 64u; }
W_INLINE u32 w_ffs(u32 x) { return u32(__builtin_ffs(i32(x))); }
W_INLINE u32 w_ffs(u64 x) { return u32(__builtin_ffsll(i64(x))); }
W_INLINE u64 w_brev(u64 x) {
  x = ((x >> 1) & 0x5555555555555555ull) | ((x & 0x5555555555555555ull) << 1);
  x = ((x >> 2) & 0x3333333333333333ull) | ((x & 0x3333333333333333ull) << 2);
  x = ((x >> 4) & 0x0f0f0f0f0f0f0f0full) | ((x & 0x0f0f0f0f0f0f0f0full) << 4);
  return __builtin_bswap64(x);
}
W_INLINE u32 w_brev(u32 x) { return u32(w_brev(u64(x)) >> 32); }

W_INLINE u32 w_mulhi(u32 a, u32 b) { return u32((u64(a) * b) >> 32); }
W_INLINE i32 w_mulhi(i32 a, i32 b) { return i32((i64(a) * b) >> 32); }
W_INLINE u64 w_mulhi(u64 a, u64 b) { return u64((u128(a) * b) >> 64); }
W_INLINE i64 w_mulhi(i64 a, i64 b) { return i64((i128(a) * b) >> 64); }

template <class To, class From> W_INLINE To w_bit_cast(From x) {
  static_assert(sizeof(To) == sizeof(From), "same size");
  To y;
  __builtin_memcpy(&y, &x, sizeof y);
  return y;
}
W_INLINE u32 w_f32_bits(f32 x) { return w_bit_cast<u32>(x); }
W_INLINE f32 w_bits_f32(u32 x) { return w_bit_cast<f32>(x); }
W_INLINE u64 w_f64_bits(f64 x) { return w_bit_cast<u64>(x); }
W_INLINE f64 w_bits_f64(u64 x) { return w_bit_cast<f64>(x); }

#define W_MATH_1(name)               \
  extern "C" f64 name(f64) noexcept; \
  extern "C" f32 name##f(f32) noexcept; \
  W_INLINE f32 name(f32 x) { return name##f(x); }
#define W_MATH_2(name)                    \
  extern "C" f64 name(f64, f64) noexcept; \
  extern "C" f32 name##f(f32, f32) noexcept; \
  W_INLINE f32 name(f32 x, f32 y) { return name##f(x, y); }
W_MATH_1(sqrt)
W_MATH_1(cbrt)
W_MATH_1(exp)
W_MATH_1(exp2)
W_MATH_1(expm1)
W_MATH_1(log)
W_MATH_1(log2)
W_MATH_1(log10)
W_MATH_1(log1p)
W_MATH_1(sin)
W_MATH_1(cos)
W_MATH_1(tan)
W_MATH_1(asin)
W_MATH_1(acos)
W_MATH_1(atan)
W_MATH_1(sinh)
W_MATH_1(cosh)
W_MATH_1(tanh)
W_MATH_1(asinh)
W_MATH_1(acosh)
W_MATH_1(atanh)
W_MATH_1(floor)
W_MATH_1(ceil)
W_MATH_1(round)
W_MATH_1(rint)
W_MATH_1(trunc)
W_MATH_1(fabs)
W_MATH_2(pow)
W_MATH_2(fmod)
W_MATH_2(atan2)
W_MATH_2(hypot)
W_MATH_2(fmin)
W_MATH_2(fmax)
W_MATH_2(copysign)
#undef W_MATH_1
#undef W_MATH_2
extern "C" f64 fma(f64, f64, f64) noexcept;
extern "C" f32 fmaf(f32, f32, f32) noexcept;

W_INLINE bool isnan(f32 x) { return x != x; }
W_INLINE bool isnan(f64 x) { return x != x; }
W_INLINE bool isinf(f32 x) { return __builtin_isinf(x); }
W_INLINE bool isinf(f64 x) { return __builtin_isinf(x); }
W_INLINE bool isfinite(f32 x) { return __builtin_isfinite(x); }
W_INLINE bool isfinite(f64 x) { return __builtin_isfinite(x); }

#define W_DEFINE_MIN_MAX(T)                              \
  W_INLINE T min(T a, T b) { return b < a ? b : a; }     \
  W_INLINE T max(T a, T b) { return a < b ? b : a; }
W_DEFINE_MIN_MAX(u32)
W_DEFINE_MIN_MAX(i32)
W_DEFINE_MIN_MAX(u64)
W_DEFINE_MIN_MAX(i64)
#undef W_DEFINE_MIN_MAX
W_INLINE f32 min(f32 a, f32 b) { return fminf(a, b); }
W_INLINE f64 min(f64 a, f64 b) { return fmin(a, b); }
W_INLINE f32 max(f32 a, f32 b) { return fmaxf(a, b); }
W_INLINE f64 max(f64 a, f64 b) { return fmax(a, b); }
extern "C" i32 abs(i32) noexcept;
W_INLINE i64 abs(i64 x) { return x < 0 ? -x : x; }
W_INLINE f32 abs(f32 x) { return fabsf(x); }
W_INLINE f64 abs(f64 x) { return fabs(x); }

// The entry point, called with the launch's buffers and parameter words.
template <class A> struct w_argument {
  static A get(void* const* buffers, const u32*, u32 i) {
    static_assert(sizeof(A) <= 256, "at most 64 parameter words");
    (void)buffers, (void)i;
    A a;
    __builtin_memcpy(&a, ((const void* const*)buffers)[i], sizeof a);
    return a;
  }
};
template <class A> struct w_argument<A*> {
  static A* get(void* const* buffers, const u32*, u32 i) { return (A*)buffers[i]; }
};
template <u32... I> struct w_indices {};
template <u32 N, u32... I> struct w_make_indices : w_make_indices<N - 1, N - 1, I...> {};
template <u32... I> struct w_make_indices<0, I...> { typedef w_indices<I...> type; };

template <class... A, u32... I>
W_INLINE void w_invoke(void (*entry)(A...), void* const* arguments, w_indices<I...>) {
  entry(w_argument<A>::get(arguments, nullptr, I)...);
}
template <class... A> W_INLINE void w_call(void (*entry)(A...), void* const* arguments) {
  w_invoke(entry, arguments, typename w_make_indices<sizeof...(A)>::type());
}

#define W_EXPORT extern "C" __attribute__((visibility("default")))

// What the emulator looks up in a compiled kernel.
#define W_EMULATED_ENTRY(entry)                                                        \
  W_EXPORT w_thread** w_slot() { return &w_self; }                                     \
  W_EXPORT void w_enter(void* const* arguments) { w_call(&entry, arguments); }         \
  W_EXPORT const u32 w_layout[9] = {                                                   \
      sizeof(w_block),                 sizeof(w_thread),                               \
      __builtin_offsetof(w_block, sync),  __builtin_offsetof(w_block, check),          \
      __builtin_offsetof(w_thread, op),   __builtin_offsetof(w_thread, file),          \
      __builtin_offsetof(w_thread, block), __builtin_offsetof(w_thread, in),           \
      __builtin_offsetof(w_thread, out)}

#if defined(WINDLASS_CHECKED)
#include "windlass_checked.cuh"
#endif
