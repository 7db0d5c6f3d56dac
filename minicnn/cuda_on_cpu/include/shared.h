// Shared memory: allocated anew for every block and filled with NaNs (0xff...), so that a read before the first write
// shows, no block finds what another has left, and AddressSanitizer sees its bounds.
#pragma once
#include "scheduler.h"

namespace cuda_on_cpu {
constexpr int MOST_VARIABLES = 64;
constexpr size_t STATIC_LIMIT = 48 << 10;

struct Variable { unsigned long long block; void* memory; };   // one __shared__ declaration

static unsigned long long block_serial;                        // of the running block, over all launches
static void* block_memory[MOST_VARIABLES];
static int variable_count;
static size_t dynamic_bytes, static_bytes, shared_limit;
static void** old_memory;                                      // of earlier blocks of this launch
static size_t old_count, old_room;

CUDA_ON_CPU_QUIET static void* allocate_shared(size_t bytes)
{
    if (variable_count == MOST_VARIABLES) { report("more than %d shared variables", MOST_VARIABLES); stop_launch(); }
    void* memory = malloc(bytes ? bytes : 1);
    if (!memory) { report("no memory for %zu bytes of shared memory", bytes); stop_launch(); }
    memset(memory, 0xff, bytes);
    return block_memory[variable_count++] = memory;
}

CUDA_ON_CPU_QUIET static void* memory_of(Variable& variable, size_t bytes)
{
    if (variable.block != block_serial) {
        sanitizers::leave(nullptr);       // as the launcher: all threads of the block may use it, and none has made it
        variable.memory = allocate_shared(bytes);
        variable.block = block_serial;
        sanitizers::enter(threads[current->thread].fiber, nullptr);
    }
    return variable.memory;
}

template <class T, class Declaration> CUDA_ON_CPU_QUIET T& shared(Declaration)
{
    static Variable variable;             // one for each declaration, and for each instance of a template that has it
    if (variable.block != block_serial) {
        static_bytes += sizeof(T);
        if (static_bytes > STATIC_LIMIT || static_bytes + dynamic_bytes > shared_limit) {
            report("%zu bytes of static and %zu of dynamic shared memory; a block has %zu, of which %zu may be static",
                   static_bytes, dynamic_bytes, shared_limit, STATIC_LIMIT);
            stop_launch();
        }
    }
    return *(T*)memory_of(variable, sizeof(T));
}

CUDA_ON_CPU_QUIET inline void* dynamic_shared()
{
    static Variable variable;
    return memory_of(variable, dynamic_bytes);
}

CUDA_ON_CPU_QUIET static void free_old()
{
    while (old_count) free(old_memory[--old_count]);
}

CUDA_ON_CPU_QUIET static void next_block()
{
    if (old_count + variable_count > old_room) {
        old_room = 2 * old_room + MOST_VARIABLES;
        old_memory = (void**)realloc(old_memory, old_room * sizeof(void*));
    }
    while (variable_count) old_memory[old_count++] = block_memory[--variable_count];
#if !defined(CUDA_ON_CPU_RACES)           // which would see the memory come back, and take it for the old block's
    free_old();
#endif
    static_bytes = 0;
    ++block_serial;
}
}  // namespace cuda_on_cpu
