// Writes down which thread reads and writes which element, in which order; compiled in with CUDA_ON_CPU_RECORD.
//
// g++ -fsanitize=thread puts a call before every access to memory. They are meant for ThreadSanitizer; here they come to
// these functions, which keep those accesses that fall into an array of the kernel's or into its shared memory.
#pragma once
#include <dlfcn.h>
#include "scheduler.h"
#include "shared.h"

namespace cuda_on_cpu {
struct Span { const char *begin, *end; };    // an array that the kernel was given

struct Access {
    uint32_t block, thread;                  // as numbers, x running fastest
    int32_t array;                           // >= 0: of the spans; < 0: shared memory, -1 - its number in shared_names
    uint16_t bytes, is_write;
    int64_t offset;                          // in bytes; from the beginning of the array, or of the shared variable
    int64_t instruction;                     // its address in this library, which addr2line knows the source line of
};

static const Span* spans;
static int span_count;
static Access* accesses;
static uint64_t access_count, access_room;
static const char* shared_names[MOST_VARIABLES];
static int shared_name_count;

CUDA_ON_CPU_QUIET static int number_of(const char* shared_name)
{
    int k = 0;
    while (k < shared_name_count && strcmp(shared_names[k], shared_name)) ++k;
    if (k == shared_name_count) shared_names[shared_name_count++] = shared_name;
    return k;
}

CUDA_ON_CPU_QUIET static void keep(int array, int64_t offset, int bytes, bool is_write, int64_t instruction)
{
    if (access_count == access_room) {
        access_room = 2 * access_room + 4096;
        accesses = (Access*)realloc(accesses, access_room * sizeof(Access));
        if (!accesses) abort();
    }
    const uint3& b = block_index;
    accesses[access_count++] = {(b.z * grid_size.y + b.y) * grid_size.x + b.x, (uint32_t)current->thread, array, (uint16_t)bytes,
                                is_write, offset, instruction};
}

CUDA_ON_CPU_QUIET static void record(const void* place, int bytes, bool is_write, void* behind)
{
    static Dl_info library;
    if (!library.dli_fbase) dladdr((void*)&record, &library);
    const int64_t instruction = (char*)behind - 1 - (char*)library.dli_fbase;
    const char* p = (const char*)place;
    for (int k = 0; k < span_count; ++k)
        if (p >= spans[k].begin && p < spans[k].end) return keep(k, p - spans[k].begin, bytes, is_write, instruction);
    for (int k = 0; k < variable_count; ++k) {
        const Variable& v = *block_variables[k];
        if (p >= v.memory && p < v.memory + v.bytes) return keep(-1 - number_of(v.name), p - v.memory, bytes, is_write, instruction);
    }
}
}  // namespace cuda_on_cpu

#define CUDA_ON_CPU_RECORDED(bytes) \
    CUDA_ON_CPU_QUIET void __tsan_read##bytes(void* p) { cuda_on_cpu::record(p, bytes, false, __builtin_return_address(0)); } \
    CUDA_ON_CPU_QUIET void __tsan_write##bytes(void* p) { cuda_on_cpu::record(p, bytes, true, __builtin_return_address(0)); }
extern "C" {
CUDA_ON_CPU_RECORDED(1)
CUDA_ON_CPU_RECORDED(2)
CUDA_ON_CPU_RECORDED(4)
CUDA_ON_CPU_RECORDED(8)
CUDA_ON_CPU_RECORDED(16)
CUDA_ON_CPU_QUIET void __tsan_read_range(void* p, size_t n) { cuda_on_cpu::record(p, (int)n, false, __builtin_return_address(0)); }
CUDA_ON_CPU_QUIET void __tsan_write_range(void* p, size_t n) { cuda_on_cpu::record(p, (int)n, true, __builtin_return_address(0)); }
CUDA_ON_CPU_QUIET void __tsan_init() {}
CUDA_ON_CPU_QUIET void __tsan_func_entry(void*) {}
CUDA_ON_CPU_QUIET void __tsan_func_exit() {}

// Forgets what was recorded, and watches these arrays from now on.
CUDA_ON_CPU_EXPORT void cuda_on_cpu_watch(const cuda_on_cpu::Span* spans, int count)
{
    cuda_on_cpu::spans = spans, cuda_on_cpu::span_count = count;
    cuda_on_cpu::access_count = 0;
}
CUDA_ON_CPU_EXPORT uint64_t cuda_on_cpu_recorded(const cuda_on_cpu::Access** first)
{
    *first = cuda_on_cpu::accesses;
    return cuda_on_cpu::access_count;
}
// The name of a variable in shared memory; null behind the last.
CUDA_ON_CPU_EXPORT const char* cuda_on_cpu_shared_name(int k)
{
    return k < cuda_on_cpu::shared_name_count ? cuda_on_cpu::shared_names[k] : nullptr;
}}
