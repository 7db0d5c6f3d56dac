// Atomic operations. One thread of the CPU runs everything, so a load and a store are atomic; the built-ins tell
// ThreadSanitizer so.
#pragma once
#include <type_traits>
#include "numbers.h"

namespace cuda_on_cpu {
template <class T, class Change> inline T replace(T* place, Change change)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "atomic operations take 32 or 64 bits");
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
}  // namespace cuda_on_cpu

#define CUDA_ON_CPU_ATOMIC(name, result) \
    template <class T> inline T name(T* place, cuda_on_cpu::Same<T> value) \
    { return cuda_on_cpu::replace(place, [=](T old) { return result; }); }
CUDA_ON_CPU_ATOMIC(atomicAdd, old + value)
CUDA_ON_CPU_ATOMIC(atomicSub, old - value)
CUDA_ON_CPU_ATOMIC(atomicMax, old < value ? value : old)
CUDA_ON_CPU_ATOMIC(atomicMin, value < old ? value : old)
CUDA_ON_CPU_ATOMIC(atomicAnd, old & value)
CUDA_ON_CPU_ATOMIC(atomicOr, old | value)
CUDA_ON_CPU_ATOMIC(atomicXor, old ^ value)
CUDA_ON_CPU_ATOMIC(atomicExch, ((void)old, value))
template <class T> inline T atomicCAS(T* place, cuda_on_cpu::Same<T> expected, cuda_on_cpu::Same<T> value)
{
    return cuda_on_cpu::replace(place, [=](T old) { return old == expected ? value : old; });
}
