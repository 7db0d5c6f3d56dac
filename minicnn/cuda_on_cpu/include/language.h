// The words that CUDA adds to C++. __shared__ is not among them: Python rewrites such declarations (see source.py), so
// that one which it does not know fails to compile.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

// What the emulator does behind a kernel's back is no memory access of the kernel's.
#define CUDA_ON_CPU_QUIET __attribute__((no_sanitize("thread"), noinline))

#define CUDA_ON_CPU_EXPORT __attribute__((visibility("default")))

struct uint3 { unsigned int x, y, z; };
struct dim3 {
    unsigned int x, y, z;
    constexpr dim3(unsigned int x = 1, unsigned int y = 1, unsigned int z = 1) : x(x), y(y), z(z) {}
};

#define CUDA_ON_CPU_VECTORS(T, name) \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; }; \
    struct name##3 { T x, y, z; }; \
    struct alignas(sizeof(T) < 8 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; }; \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; } \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CUDA_ON_CPU_VECTORS(float, float)
CUDA_ON_CPU_VECTORS(double, double)
CUDA_ON_CPU_VECTORS(int, int)

namespace cuda_on_cpu {
static uint3 thread_index, block_index;
static dim3 block_size, grid_size;
}  // namespace cuda_on_cpu

static const uint3& threadIdx = cuda_on_cpu::thread_index;
static const uint3& blockIdx = cuda_on_cpu::block_index;
static const dim3& blockDim = cuda_on_cpu::block_size;
static const dim3& gridDim = cuda_on_cpu::grid_size;
constexpr int warpSize = 32;
