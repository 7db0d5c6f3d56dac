// Atomic operations. One thread of the CPU runs everything, so a load and a store are atomic; the built-ins tell
// ThreadSanitizer so.
#pragma once
#include <type_traits>
#include "numbers.h"

namespace cuda_on_cpu {
template <class T, class Change> inline T replace(T* place, Change change)
{
#if defined(CUDA_ON_CPU_RECORD)
    const T old = *place;  // a read and a write
    *place = (T)change(old);
#else
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    const T old = bits<T>(__atomic_load_n((Bits*)place, __ATOMIC_RELAXED));
    __atomic_store_n((Bits*)place, bits<Bits>((T)change(old)), __ATOMIC_RELAXED);
#endif
    return old;
}
template <class T> using Same = std::common_type_t<T>;  // the value takes the type of the place
using Large = unsigned long long;
template <class T, class... Types> constexpr bool is_one_of = (std::is_same_v<T, Types> || ...);
}  // namespace cuda_on_cpu

// Behind the result stand the types that CUDA has the operation for.
#define CUDA_ON_CPU_ATOMIC(name, result, ...) \
    template <class T> inline T name(T* place, cuda_on_cpu::Same<T> value) \
    { \
        using namespace cuda_on_cpu; \
        static_assert(is_one_of<T, __VA_ARGS__>, "CUDA has no " #name " of this type"); \
        return replace(place, [=](T old) { return result; }); \
    }
CUDA_ON_CPU_ATOMIC(atomicAdd, old + value, int, unsigned, Large, float, double)
CUDA_ON_CPU_ATOMIC(atomicSub, old - value, int, unsigned)
CUDA_ON_CPU_ATOMIC(atomicMax, old < value ? value : old, int, unsigned, long long, Large)
CUDA_ON_CPU_ATOMIC(atomicMin, value < old ? value : old, int, unsigned, long long, Large)
CUDA_ON_CPU_ATOMIC(atomicAnd, old & value, int, unsigned, Large)
CUDA_ON_CPU_ATOMIC(atomicOr, old | value, int, unsigned, Large)
CUDA_ON_CPU_ATOMIC(atomicXor, old ^ value, int, unsigned, Large)
CUDA_ON_CPU_ATOMIC(atomicExch, ((void)old, value), int, unsigned, Large, float)
template <class T> inline T atomicCAS(T* place, cuda_on_cpu::Same<T> expected, cuda_on_cpu::Same<T> value)
{
    static_assert(cuda_on_cpu::is_one_of<T, int, unsigned, cuda_on_cpu::Large>, "CUDA has no atomicCAS of this type");
    return cuda_on_cpu::replace(place, [=](T old) { return old == expected ? value : old; });
}
