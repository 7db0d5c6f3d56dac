// Arithmetic that CUDA has and C++ has not. Rounding differs from a GPU's: no fused multiply-adds, denormals are kept, and
// the fast intrinsics (__expf, ...) are as accurate as the slow ones.
#pragma once
#include <math.h>  // of C++: exp(float) stays a float, as in CUDA
#include <stdint.h>
#include <string.h>

// Macros of the host that CUDA has not.
#undef INFINITY
#undef NAN
#undef HUGE_VAL
#undef M_PI
#undef M_E

// The overloads that CUDA has; a call that is ambiguous there is so here.
#define CUDA_ON_CPU_MIN_MAX(R, A, B) \
    inline R min(A a, B b) { return (R)b < (R)a ? (R)b : (R)a; } \
    inline R max(A a, B b) { return (R)a < (R)b ? (R)b : (R)a; }
#define CUDA_ON_CPU_WHOLE_MIN_MAX(S) \
    CUDA_ON_CPU_MIN_MAX(S, S, S) \
    CUDA_ON_CPU_MIN_MAX(unsigned S, unsigned S, unsigned S) \
    CUDA_ON_CPU_MIN_MAX(unsigned S, S, unsigned S) \
    CUDA_ON_CPU_MIN_MAX(unsigned S, unsigned S, S)
CUDA_ON_CPU_WHOLE_MIN_MAX(int)
CUDA_ON_CPU_WHOLE_MIN_MAX(long)
CUDA_ON_CPU_WHOLE_MIN_MAX(long long)
inline float min(float a, float b) { return fminf(a, b); }  // of a number and a NaN the number, as in CUDA
inline float max(float a, float b) { return fmaxf(a, b); }
#define CUDA_ON_CPU_DOUBLE_MIN_MAX(A, B) \
    inline double min(A a, B b) { return fmin((double)a, (double)b); } \
    inline double max(A a, B b) { return fmax((double)a, (double)b); }
CUDA_ON_CPU_DOUBLE_MIN_MAX(double, double)
CUDA_ON_CPU_DOUBLE_MIN_MAX(float, double)
CUDA_ON_CPU_DOUBLE_MIN_MAX(double, float)

namespace cuda_on_cpu {
template <class To, class From> inline To bits(From value)
{
    static_assert(sizeof(To) == sizeof(From), "a type of another size");
    To result;
    memcpy(&result, &value, sizeof result);
    return result;
}
}  // namespace cuda_on_cpu

inline float __int_as_float(int v) { return cuda_on_cpu::bits<float>(v); }
inline float __uint_as_float(unsigned v) { return cuda_on_cpu::bits<float>(v); }
inline int __float_as_int(float v) { return cuda_on_cpu::bits<int>(v); }
inline unsigned __float_as_uint(float v) { return cuda_on_cpu::bits<unsigned>(v); }
inline double __longlong_as_double(long long v) { return cuda_on_cpu::bits<double>(v); }
inline long long __double_as_longlong(double v) { return cuda_on_cpu::bits<long long>(v); }

inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
inline int __mulhi(int a, int b) { return (int)((int64_t)a * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
inline long long __mul64hi(long long a, long long b) { return (long long)((__int128)a * b >> 64); }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
inline int __clzll(long long v) { return v ? __builtin_clzll((unsigned long long)v) : 64; }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline unsigned __brev(unsigned v)
{
    unsigned result = 0;
    for (int bit = 0; bit < 32; ++bit) result |= (v >> bit & 1) << (31 - bit);
    return result;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)((((uint64_t)high << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float rsqrt(float x) { return rsqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0 ? fminf(x, 1) : 0; }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
#define CUDA_ON_CPU_ROUNDED(T, p) \
    inline T __##p##add_rn(T a, T b) { return a + b; } \
    inline T __##p##sub_rn(T a, T b) { return a - b; } \
    inline T __##p##mul_rn(T a, T b) { return a * b; } \
    inline T __##p##div_rn(T a, T b) { return a / b; } \
    inline T __##p##sqrt_rn(T a) { return sqrt(a); } \
    inline T __##p##rcp_rn(T a) { return 1 / a; }
CUDA_ON_CPU_ROUNDED(float, f)
CUDA_ON_CPU_ROUNDED(double, d)
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }

template <class T> inline T __ldg(const T* p) { return *p; }
template <class T> inline T __ldca(const T* p) { return *p; }
template <class T> inline T __ldcg(const T* p) { return *p; }
template <class T> inline T __ldcs(const T* p) { return *p; }
template <class T> inline void __stcs(T* p, T value) { *p = value; }
