// Stacks that can be left in the midst of a function and entered again later.
//
// ucontext makes a stack; its swapcontext asks the operating system to exchange signal masks each time, which takes ten
// times as long as the rest, so that the compiler's own jump buffers do the switching.
#pragma once
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "sanitizers.h"

namespace cuda_on_cpu {
constexpr size_t STACK_BYTES = 256 << 10, GUARD_BYTES = 64 << 10;

struct Place { void* registers[5]; ucontext_t* begin; };  // where a stack was left; `begin` if it was never entered

// AddressSanitizer takes a jump for the end of a function, and would forget what it knows of the stack.
#define CUDA_ON_CPU_JUMPS CUDA_ON_CPU_QUIET __attribute__((no_sanitize("address", "undefined")))

[[noreturn]] CUDA_ON_CPU_JUMPS static void jump(Place& to)
{
    if (ucontext_t* begin = to.begin) {
        to.begin = nullptr;
        setcontext(begin);
    }
    __builtin_longjmp(to.registers, 1);
}
CUDA_ON_CPU_JUMPS static void switch_stacks(Place& from, Place& to)
{
    if (!__builtin_setjmp(from.registers)) jump(to);
}

struct Stack { Place place; ucontext_t start; char* memory; int thread; };

// From now on, entering the stack calls `body`, which never returns.
static void begin_anew(Stack* stack, void (*body)())
{
    sanitizers::forget(stack->memory, STACK_BYTES);
    ucontext_t* const context = &stack->start;
    getcontext(context);
    context->uc_stack.ss_sp = stack->memory;
    context->uc_stack.ss_size = STACK_BYTES;
    context->uc_link = nullptr;
    makecontext(context, body, 0);
    stack->place.begin = context;
}

// Null if there is no memory.
static Stack* new_stack(void (*body)())
{
    const size_t bytes = GUARD_BYTES + STACK_BYTES;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
    mprotect(memory, GUARD_BYTES, PROT_NONE);  // stacks grow downwards: an overflow is a crash, and no garbage
    Stack* stack = (Stack*)calloc(1, sizeof(Stack));
    stack->memory = (char*)memory + GUARD_BYTES;
    begin_anew(stack, body);
    return stack;
}
}  // namespace cuda_on_cpu
