// How Python calls a kernel: CUDA_ON_CPU_KERNEL(name, bounds), appended for each, makes functions of C: one launches it, one
// spells its parameter types, so that Python can check the arguments (on a GPU nothing does), one tells its launch bound.
#pragma once
#include <type_traits>
#include <utility>
#include "scheduler.h"
#include "shared.h"

namespace cuda_on_cpu {
// NumPy's spelling of a type; that of a pointer begins with *c (to const) or *m.
template <class T> struct Spelling { static void write(char* out) { sprintf(out, "V%zu", sizeof(T)); } };
#define CUDA_ON_CPU_SPELLING(T, text) \
    template <> struct Spelling<T> { static void write(char* out) { strcpy(out, text); } };
CUDA_ON_CPU_SPELLING(void, "void") CUDA_ON_CPU_SPELLING(bool, "b1")
CUDA_ON_CPU_SPELLING(float, "f4") CUDA_ON_CPU_SPELLING(double, "f8")
CUDA_ON_CPU_SPELLING(float2, "f4x2") CUDA_ON_CPU_SPELLING(float4, "f4x4") CUDA_ON_CPU_SPELLING(double2, "f8x2")
CUDA_ON_CPU_SPELLING(int2, "i4x2") CUDA_ON_CPU_SPELLING(int4, "i4x4")
CUDA_ON_CPU_SPELLING(char, "i1") CUDA_ON_CPU_SPELLING(signed char, "i1") CUDA_ON_CPU_SPELLING(unsigned char, "u1")
CUDA_ON_CPU_SPELLING(short, "i2") CUDA_ON_CPU_SPELLING(unsigned short, "u2")
CUDA_ON_CPU_SPELLING(int, "i4") CUDA_ON_CPU_SPELLING(unsigned, "u4")
CUDA_ON_CPU_SPELLING(long, "i8") CUDA_ON_CPU_SPELLING(unsigned long, "u8")
CUDA_ON_CPU_SPELLING(long long, "i8") CUDA_ON_CPU_SPELLING(unsigned long long, "u8")
template <class T> struct Spelling<T*> {
    static void write(char* out)
    {
        strcpy(out, std::is_const_v<T> ? "*c" : "*m");
        Spelling<std::remove_cv_t<T>>::write(out + 2);
    }
};

template <class T> inline void append(char* out)
{
    Spelling<std::remove_cv_t<T>>::write(out + strlen(out));
    strcat(out, " ");
}
template <class... A> inline const char* signature(void (*)(A...))
{
    static char text[16 * sizeof...(A) + 1];
    text[0] = 0;
    (append<A>(text), ...);
    return text;
}

template <class... A, size_t... I> inline void call(void (*kernel)(A...), void** cells, std::index_sequence<I...>)
{
    kernel(*(std::remove_cv_t<A>*)cells[I]...);
}
template <class... A> inline void call(void (*kernel)(A...), void** cells)
{
    call(kernel, cells, std::index_sequence_for<A...>{});
}
template <auto kernel> CUDA_ON_CPU_QUIET void call_with(void** cells) { call(kernel, cells); }

CUDA_ON_CPU_QUIET static void run_block()
{
    for (next_thread = 0; next_thread < thread_count && !error[0];)
        if (Stack* stack = idle_stack()) resume(stack);
    while (!error[0] && open()) {}
    end_block();
}

inline int first(int threads, ...) { return threads; }  // of __launch_bounds__(threads, blocks); 0 without

struct Launch { unsigned grid[3], block[3]; uint64_t dynamic_bytes, shared_limit; int reverse; };

CUDA_ON_CPU_QUIET static void prepare_launch(const Launch& l)
{
    error[0] = 0;
    grid_size = {l.grid[0], l.grid[1], l.grid[2]};
    block_size = {l.block[0], l.block[1], l.block[2]};
    thread_count = (int)(l.block[0] * l.block[1] * l.block[2]);
    for (int t = 0; t < thread_count; ++t) {
        const unsigned u = (unsigned)t;
        threads[t] = {};
        threads[t].index = {u % l.block[0], u / l.block[0] % l.block[1], u / l.block[0] / l.block[1]};
    }
    dynamic_bytes = l.dynamic_bytes, shared_limit = l.shared_limit, reverse_order = l.reverse;
}

// The message of an error, or null.
CUDA_ON_CPU_QUIET static const char* launch(void (*kernel)(void**), void** cells, const Launch& l)
{
    prepare_launch(l);
    entry = kernel, entry_arguments = cells;
    sanitizers::begin_launch();
    const uint64_t blocks = (uint64_t)l.grid[0] * l.grid[1] * l.grid[2];
    for (block_number = 0; block_number < blocks && !error[0]; ++block_number) {
        const uint64_t b = reverse_order ? blocks - 1 - block_number : block_number;
        block_index = {(unsigned)(b % l.grid[0]), (unsigned)(b / l.grid[0] % l.grid[1]), (unsigned)(b / l.grid[0] / l.grid[1])};
        run_block();
    }
    sanitizers::end_launch();
    free_old();
    if (error[0]) give_up();
    return error[0] ? error : nullptr;
}
}  // namespace cuda_on_cpu

#define CUDA_ON_CPU_KERNEL(name, bounds) \
    extern "C" CUDA_ON_CPU_EXPORT const char* cuda_on_cpu_launch_##name(void** cells, const cuda_on_cpu::Launch* how) \
    { return cuda_on_cpu::launch(cuda_on_cpu::call_with<&::name>, cells, *how); } \
    extern "C" CUDA_ON_CPU_EXPORT const char* cuda_on_cpu_signature_##name() { return cuda_on_cpu::signature(&::name); } \
    extern "C" CUDA_ON_CPU_EXPORT int cuda_on_cpu_bound_##name() { return cuda_on_cpu::first bounds; }
