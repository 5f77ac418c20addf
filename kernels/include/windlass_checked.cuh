// The emulator's checked mode: the compiler's instrumentation for memory accesses and for
// undefined behaviour calls these functions, which report to the emulator. No sanitizer
// runtime is needed.
//
// Memory: a kernel may touch its buffers (and write only those declared as written), its
// shared arrays, its own stack and the constants of its own image.
#pragma once

#define W_UNCHECKED __attribute__((no_sanitize("kernel-address", "undefined")))
#define W_HOOK extern "C" __attribute__((visibility("hidden"), used)) W_UNCHECKED

extern "C" __attribute__((visibility("hidden"))) char __ehdr_start;
extern "C" __attribute__((visibility("hidden"))) char _end;

W_UNCHECKED static void w_access(u64 address, u64 bytes, u32 write) {
  w_thread* t = w_self;
  const char* p = (const char*)address;
  // Calls from outside a launch, and the emulator's own state.
  if (!t || p == (const char*)&w_self) return;
  if (p >= (const char*)t && p < (const char*)(t + 1)) return;
  if (p >= (const char*)t->block && p < (const char*)(t->block + 1)) return;
  if (p >= &__ehdr_start && p < &_end && !write) return;
  t->block->check(t, p, bytes, write);
}

#define W_HOOK_SIZE(n)                                                              \
  W_HOOK void __asan_load##n##_noabort(u64 p) { w_access(p, n, 0); }                \
  W_HOOK void __asan_store##n##_noabort(u64 p) { w_access(p, n, 1); }
W_HOOK_SIZE(1)
W_HOOK_SIZE(2)
W_HOOK_SIZE(4)
W_HOOK_SIZE(8)
W_HOOK_SIZE(16)
W_HOOK void __asan_loadN_noabort(u64 p, u64 n) { w_access(p, n, 0); }
W_HOOK void __asan_storeN_noabort(u64 p, u64 n) { w_access(p, n, 1); }
W_HOOK void __asan_handle_no_return() {}
W_HOOK void* __asan_memcpy(void* d, const void* s, u64 n) {
  w_access((u64)d, n, 1);
  w_access((u64)s, n, 0);
  return __builtin_memcpy(d, s, n);
}
W_HOOK void* __asan_memmove(void* d, const void* s, u64 n) {
  w_access((u64)d, n, 1);
  w_access((u64)s, n, 0);
  return __builtin_memmove(d, s, n);
}
W_HOOK void* __asan_memset(void* d, int c, u64 n) {
  w_access((u64)d, n, 1);
  return __builtin_memset(d, c, n);
}

// Every report's data begins with the place.
struct w_place {
  const char* file;
  u32 line, column;
};

W_UNCHECKED static void w_undefined(const w_place* at, const char* what) {
  w_self->block->fail(w_self, what, at->file, at->line);
}

#define W_HOOK_UB(name, what) \
  W_HOOK void __ubsan_handle_##name(const w_place* at) { w_undefined(at, what); }
W_HOOK_UB(type_mismatch_v1_abort, "misaligned or null pointer")
W_HOOK_UB(alignment_assumption_abort, "misaligned pointer")
W_HOOK_UB(add_overflow_abort, "signed addition overflows")
W_HOOK_UB(sub_overflow_abort, "signed subtraction overflows")
W_HOOK_UB(mul_overflow_abort, "signed multiplication overflows")
W_HOOK_UB(negate_overflow_abort, "negation overflows")
W_HOOK_UB(divrem_overflow_abort, "division by zero or overflow of a division")
W_HOOK_UB(shift_out_of_bounds_abort, "shift past the type's width, or of a negative value")
W_HOOK_UB(out_of_bounds_abort, "index outside an array")
W_HOOK_UB(builtin_unreachable, "unreachable code is reached")
W_HOOK_UB(missing_return, "a function ends without a value")
W_HOOK_UB(vla_bound_not_positive_abort, "an array's length is not positive")
W_HOOK_UB(float_cast_overflow_abort, "a float does not fit the integer it is cast to")
W_HOOK_UB(load_invalid_value_abort, "a bool or enum holds another value")
W_HOOK_UB(invalid_builtin_abort, "count of zeros of zero")
W_HOOK_UB(nonnull_arg_abort, "null argument")
W_HOOK_UB(pointer_overflow_abort, "pointer arithmetic overflows")
W_HOOK_UB(function_type_mismatch_abort, "call through a wrong type")
