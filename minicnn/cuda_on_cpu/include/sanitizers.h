// What AddressSanitizer and ThreadSanitizer have to be told. Without them all of it is empty.
//
// To ThreadSanitizer each CUDA thread is a fiber of its own, and only barriers order what two of them do; that they run
// one after another does not count. The scheduler itself acts as the fiber that launched the kernel.
#pragma once
#include "language.h"

#if defined(__SANITIZE_ADDRESS__)
extern "C" void __asan_unpoison_memory_region(void const volatile*, size_t);
#endif

#if defined(__SANITIZE_THREAD__) && !defined(CUDA_ON_CPU_RECORD)
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned);
void __tsan_switch_to_fiber(void*, unsigned);
void __tsan_acquire(void*);
void __tsan_release(void*);
}
#define CUDA_ON_CPU_RACES
#endif

namespace cuda_on_cpu {
namespace sanitizers {
#if defined(__SANITIZE_ADDRESS__)
constexpr bool WATCH_BOUNDS = true;
#else
constexpr bool WATCH_BOUNDS = false;
#endif
#if defined(CUDA_ON_CPU_RACES)
constexpr bool WATCH_RACES = true;
constexpr unsigned NO_ORDER = 1;          // switching from fiber to fiber orders nothing
constexpr int MOST_FIBERS = 1024;         // a launch of more threads uses some again, and misses races between those
inline CUDA_ON_CPU_EXPORT void* fibers[MOST_FIBERS];  // made once for all modules of the process: that takes a millisecond
static void* launcher;
static uint64_t used_fibers;              // by this launch
static char shared_memory, begin, end, barriers[MOST_FIBERS][2 * 33];  // of each block its own: blocks do not wait for others

CUDA_ON_CPU_QUIET static void begin_launch()
{
    launcher = __tsan_get_current_fiber();
    used_fibers = 0;
    __tsan_release(&begin);
}
CUDA_ON_CPU_QUIET static void begin_thread(void*& fiber)
{
    void*& own = fibers[used_fibers++ % MOST_FIBERS];
    if (!own) own = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(fiber = own, NO_ORDER);
    __tsan_acquire(&begin);               // sees what kernels before have written
}
CUDA_ON_CPU_QUIET static void leave(void* token)
{
    if (token) __tsan_release(token);
    __tsan_switch_to_fiber(launcher, NO_ORDER);
}
CUDA_ON_CPU_QUIET static void enter(void* fiber, void* token)
{
    __tsan_switch_to_fiber(fiber, NO_ORDER);
    if (token) __tsan_acquire(token);
}
// What stands for the barrier of a block (warp -1) or of one of its warps, at odd and at even turns: a thread may be one
// turn ahead of another, never two.
CUDA_ON_CPU_QUIET static void* token(uint64_t block, int warp, unsigned turn)
{
    return &barriers[block % MOST_FIBERS][2 * (warp + 1) + turn % 2];
}
CUDA_ON_CPU_QUIET static void give_shared() { __tsan_release(&shared_memory); }  // by the scheduler, when it is allocated
CUDA_ON_CPU_QUIET static void take_shared() { __tsan_acquire(&shared_memory); }  // by each thread
CUDA_ON_CPU_QUIET static void end_thread() { leave(&end); }
CUDA_ON_CPU_QUIET static void end_launch() { __tsan_acquire(&end); }
#else
constexpr bool WATCH_RACES = false;
inline void begin_launch() {}
inline void begin_thread(void*&) {}
inline void* token(uint64_t, int, unsigned) { return nullptr; }
inline void leave(void*) {}
inline void give_shared() {}
inline void take_shared() {}
inline void enter(void*, void*) {}
inline void end_thread() {}
inline void end_launch() {}
#endif

inline void forget(void* memory, size_t bytes)
{
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}
}  // namespace sanitizers
}  // namespace cuda_on_cpu
