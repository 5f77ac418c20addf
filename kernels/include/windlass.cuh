// The dialect that every kernel of Windlass is written in.
//
// One file, two compilers: NVRTC makes it a GPU kernel, the host's C++ compiler makes it a
// kernel of the emulator (device `cuda-emulated`). Kernels therefore use the names below
// and CUDA's own `threadIdx`, `blockIdx`, `blockDim`, `gridDim`, `__global__`,
// `__device__`, `__constant__` and `__launch_bounds__`, and nothing else that is special:
// no inline PTX, no host headers, no dynamic shared memory, no undefined behaviour of C++
// (signed overflow, shifts past the width) although a GPU may define it.
//
//   types      u8 … u64, u128, i8 … i64, i128, f32, f64
//   functions  W_INLINE T f(...)             a device function
//   shared     W_SHARED(type, name, n);      an array of n elements, undefined at first
//   block      W_SYNC()                      barrier of the whole block: no thread may have
//                                            left the kernel, all wait at the same place
//   warp       W_SYNCWARP() W_BALLOT(p) W_ANY(p) W_ALL(p) W_MATCH_ANY(v)
//              W_SHFL(v, lane) W_SHFL_UP(v, d) W_SHFL_DOWN(v, d) W_SHFL_XOR(v, mask)
//                                            every live thread of the warp takes part; v is
//                                            of up to 16 bytes; a value from a lane that
//                                            has left, or lies past the block, is undefined
//              W_LANE W_WARP_ID W_WARP_SIZE
//   atomics    atomicAdd (u32 i32 u64 i64 f32 f64), atomicMin atomicMax (u32 i32 u64 i64),
//              atomicCAS atomicExch (u32 i32 u64 i64), atomicOr atomicAnd atomicXor
//              (u32 i32 u64 i64): relaxed order, the old value comes back
//   memory     W_LOAD(p) W_STORE(p, v)       not cached and not moved, 1 to 8 bytes;
//              W_FENCE() W_FENCE_BLOCK()     order of this thread's accesses, as seen by
//                                            the device, by the block
//   bits       W_POPC(x) W_CLZ(x) W_FFS(x) W_BREV(x)  of u32 and u64, result in u32;
//              W_FFS counts from 1, 0 for none
//              w_mulhi(a, b)                 upper half of a product (u32 i32 u64 i64)
//              w_f32_bits w_bits_f32 w_f64_bits w_bits_f64
//   math       sqrt exp log pow floor ceil round rint trunc fmod fabs fmin fmax fma …, for
//              f64 and f32 (also with suffix f); min max abs of integers; isnan isinf.
//              Contraction is off, so + - * / sqrt and the roundings give the same bits on
//              both compilers and in Rust; exp, log, pow and the like may differ in the
//              last places.
//   loops      W_UNROLL before a loop
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;
typedef float f32;
typedef double f64;
typedef __int128 i128;
typedef unsigned __int128 u128;

#define W_WARP_SIZE 32u

#if defined(WINDLASS_EMULATED)
#include "windlass_emulated.cuh"
#else
#include "windlass_cuda.cuh"
#endif

#define W_LANE (threadIdx.x & (W_WARP_SIZE - 1u))
#define W_WARP_ID (threadIdx.x / W_WARP_SIZE)

// Checks an entry point against the calling convention: `buffers` pointers, then one struct
// of `params` 32-bit words when `params` is not zero. Both compilers append it to a kernel.
template <class T> struct w_is_pointer { static constexpr bool value = false; };
template <class T> struct w_is_pointer<T*> { static constexpr bool value = true; };

template <class F> struct w_signature;
template <class... A> struct w_signature<void (*)(A...)> {
  static constexpr u32 count = sizeof...(A);

  static __host__ __device__ constexpr bool buffers_first(u32 buffers) {
    const bool pointer[] = {w_is_pointer<A>::value..., false};
    for (u32 i = 0; i < count; ++i) {
      if (pointer[i] != (i < buffers)) return false;
    }
    return true;
  }

  static __host__ __device__ constexpr bool words_last(u32 buffers, u32 params) {
    const u32 size[] = {u32(sizeof(A))..., 0u};
    const u32 align[] = {u32(alignof(A))..., 0u};
    if (params == 0) return count == buffers;
    return count == buffers + 1 && size[buffers] == 4 * params && align[buffers] == 4;
  }
};

#define W_CHECK_ENTRY(entry, buffers, params)                                             \
  static_assert(w_signature<decltype(&entry)>::buffers_first(buffers),                    \
                "the entry point must take the declared buffers as pointers, first");     \
  static_assert(w_signature<decltype(&entry)>::words_last(buffers, params),               \
                "the entry point's last parameter must be a struct of the declared "      \
                "number of 32-bit words, or absent when there are none")
