// Shuffles and votes: the lanes that the mask names leave a value each, meet, and read.
//
// Stricter than a GPU, which answers with garbage: every lane of the mask must take part, in the same call, and a lane may
// only be read if it is in the mask. Shuffles do not order memory; __syncwarp does.
#pragma once
#include "scheduler.h"

namespace cuda_on_cpu {
struct Word { uint64_t half[2]; };
static Word left[2][MOST_THREADS];   // by every thread; twice, as one lane may be an operation ahead of another

inline int lane_index() { return linear_index() % WARP; }

// The lanes of the mask that the block has; reports a mask without the lane itself.
CUDA_ON_CPU_QUIET static unsigned checked(unsigned mask, const Site& site)
{
    const int me = current->thread, lanes = thread_count - me / WARP * WARP;
    if (!(mask >> me % WARP & 1)) {
        report("%s: %s is not in its own mask 0x%08x", what(site).text, who(me).text, mask);
        stop_launch();
    }
    return lanes < WARP ? mask & ((1u << lanes) - 1) : mask;
}

// Meets the other lanes of the mask, each leaving `word`; returns where lane 0 of this warp left its own.
CUDA_ON_CPU_QUIET static const Word* meet(unsigned mask, const Word& word, const Site& site)
{
    const int me = current->thread, turn = threads[me].exchanges++ % 2;
    checked(mask, site);
    left[turn][me] = word;
    park(IN_WARP, mask, site, nullptr);
    return &left[turn][me / WARP * WARP];
}

CUDA_ON_CPU_QUIET static Word exchange(unsigned mask, const Word& word, int source, const Site& site)
{
    const Word* words = meet(mask, word, site);
    if (!(mask >> source & 1)) {
        report("%s: %s reads lane %d, which is not in its mask 0x%08x", what(site).text, who(current->thread).text, source, mask);
        stop_launch();
    }
    return words[source];
}

CUDA_ON_CPU_QUIET static unsigned vote(unsigned mask, bool predicate, const Site& site)
{
    const Word* words = meet(mask, Word{{predicate, 0}}, site);
    unsigned result = 0;
    for (int lane = 0; lane < WARP; ++lane)
        if (mask >> lane & 1 && words[lane].half[0]) result |= 1u << lane;
    return result;
}

// __syncwarp, which may name lanes that the block does not have.
CUDA_ON_CPU_QUIET static void wait_for_warp(unsigned mask, const Site& site)
{
    const int me = current->thread;
    park(IN_WARP, checked(mask, site), site, sanitizers::token(block_number, me / WARP, threads[me].exchanges++));
}

template <class T> inline T shuffle(unsigned mask, T value, int source, const Site& site)
{
    static_assert(sizeof(T) <= sizeof(Word), "a shuffle of more than 16 bytes");
    Word word = {};
    memcpy(&word, &value, sizeof value);
    word = exchange(mask, word, source, site);
    memcpy(&value, &word, sizeof value);
    return value;
}
}  // namespace cuda_on_cpu

// As in CUDA, `width` (a power of two) cuts the warp into groups; a source outside the own group is the own lane.
#define CUDA_ON_CPU_SHUFFLE(name, offset_type, source) \
    template <class T> inline T name(unsigned mask, T value, offset_type offset, int width = warpSize, \
                                     const char* file = __builtin_FILE(), int line = __builtin_LINE()) \
    { \
        const int lane = cuda_on_cpu::lane_index(), group = lane & -width, last = group + width - 1; \
        const int from = source; \
        return cuda_on_cpu::shuffle(mask, value, from >= group && from <= last ? from : lane, {#name, file, line}); \
    }
CUDA_ON_CPU_SHUFFLE(__shfl_sync, int, group + (offset & (width - 1)))
CUDA_ON_CPU_SHUFFLE(__shfl_xor_sync, int, lane ^ offset)
CUDA_ON_CPU_SHUFFLE(__shfl_down_sync, unsigned, lane + (int)offset)
CUDA_ON_CPU_SHUFFLE(__shfl_up_sync, unsigned, lane - (int)offset)

inline unsigned __ballot_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(), int line = __builtin_LINE())
{
    return cuda_on_cpu::vote(mask, predicate, {"__ballot_sync", file, line});
}
inline int __any_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(), int line = __builtin_LINE())
{
    return cuda_on_cpu::vote(mask, predicate, {"__any_sync", file, line}) != 0;
}
inline int __all_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(), int line = __builtin_LINE())
{
    return cuda_on_cpu::vote(mask, predicate, {"__all_sync", file, line}) == mask;
}
inline void __syncwarp(unsigned mask = 0xffffffff, const char* file = __builtin_FILE(), int line = __builtin_LINE())
{
    cuda_on_cpu::wait_for_warp(mask, {"__syncwarp", file, line});
}
