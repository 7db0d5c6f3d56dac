// Shared memory: allocated anew for every block and filled with NaNs (0xff...), so that a read before the first write
// shows, no block finds what another has left, and AddressSanitizer sees its bounds. Without it, margins on both sides
// tell at the end of a block that something was written beyond them.
#pragma once
#include "scheduler.h"

namespace cuda_on_cpu {
constexpr int MOST_VARIABLES = 64;
constexpr size_t STATIC_LIMIT = 48 << 10, MARGIN = sanitizers::WATCH_BOUNDS ? 0 : 64;

struct Variable {               // one __shared__ declaration
    uint64_t block;             // that its memory belongs to
    char* memory;
    size_t bytes;
    const char* name;
};

static uint64_t block_serial = 1;  // of the running block, over all launches
static Variable* block_variables[MOST_VARIABLES];
static int variable_count;
static size_t dynamic_bytes, static_bytes, shared_limit;
static char** old_memory;       // of earlier blocks of this launch
static size_t old_count, old_room;

CUDA_ON_CPU_QUIET static void allocate(Variable& variable, size_t bytes, const char* name)
{
    if (variable_count == MOST_VARIABLES) { report("more than %d shared variables", MOST_VARIABLES); stop_launch(); }
    char* memory = (char*)malloc(bytes + 2 * MARGIN + !bytes);
    if (!memory) { report("no memory for %zu bytes of shared memory", bytes); stop_launch(); }
    memset(memory, 0xff, bytes + 2 * MARGIN);
    variable = {block_serial, memory + MARGIN, bytes, name};
    block_variables[variable_count++] = &variable;
}

CUDA_ON_CPU_QUIET static char* memory_of(Variable& variable, size_t bytes, const char* name)
{
    if (variable.block != block_serial) {
        sanitizers::leave(nullptr);  // as the launcher: all threads of the block may use it, and none of them has made it
        allocate(variable, bytes, name);
        sanitizers::give_shared();
        sanitizers::enter(threads[current->thread].fiber, nullptr);
    }
    sanitizers::take_shared();
    return variable.memory;
}

CUDA_ON_CPU_QUIET inline void count_static(size_t bytes)
{
    static_bytes += bytes;
    if (static_bytes <= STATIC_LIMIT && static_bytes + dynamic_bytes <= shared_limit) return;
    report("%zu bytes of static and %zu of dynamic shared memory, wanted at most %zu in all, %zu of them static",
           static_bytes, dynamic_bytes, shared_limit, STATIC_LIMIT);
    stop_launch();
}

// What __shared__ T name; stands for.
template <class T, class Declaration> CUDA_ON_CPU_QUIET T& shared(const char* name, Declaration)
{
    static Variable variable;       // one for each declaration, and for each instance of a template that has it
    if (variable.block != block_serial) count_static(sizeof(T));
    return *(T*)memory_of(variable, sizeof(T), name);
}

// What extern __shared__ T name[]; stands for.
CUDA_ON_CPU_QUIET inline char* dynamic_shared(const char* name)
{
    static Variable variable;
    return memory_of(variable, dynamic_bytes, name);
}

CUDA_ON_CPU_QUIET static bool is_blank(const char* memory, size_t bytes)
{
    for (size_t i = 0; i < bytes; ++i)
        if (memory[i] != (char)0xff) return false;
    return true;
}

CUDA_ON_CPU_QUIET static void free_old()
{
    while (old_count) free(old_memory[--old_count]);
}

CUDA_ON_CPU_QUIET static void end_block()
{
    if (old_count + variable_count > old_room) {
        old_room = 2 * old_room + MOST_VARIABLES;
        old_memory = (char**)realloc(old_memory, old_room * sizeof(char*));
    }
    while (variable_count) {
        const Variable& v = *block_variables[--variable_count];
        if (!is_blank(v.memory - MARGIN, MARGIN) || !is_blank(v.memory + v.bytes, MARGIN))
            report("block (%u, %u, %u) wrote outside of shared %s, which has %zu bytes", block_index.x, block_index.y,
                   block_index.z, v.name, v.bytes);
        old_memory[old_count++] = v.memory - MARGIN;
    }
    if (!sanitizers::WATCH_RACES) free_old();  // if memory came back, it would be taken for that of the old block
    static_bytes = 0;
    ++block_serial;
}
}  // namespace cuda_on_cpu
