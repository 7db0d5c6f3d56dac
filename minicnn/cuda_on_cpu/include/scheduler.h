// Runs the threads of a block one after another, and lets them wait for each other.
//
// A kernel that never synchronises costs one call for each thread, all on one stack. A thread that comes to a barrier is
// parked: its stack is left as it is, and the next thread starts on another one (a fiber, made by ucontext). When every
// thread of the block has returned or is parked, open() sees who may go on. What a GPU would hang on or answer with
// garbage is an error here, which names the thread, the block and the line.
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "fibers.h"
#include "language.h"
#include "sanitizers.h"

namespace cuda_on_cpu {
constexpr int MOST_THREADS = 1024, WARP = 32;

enum State { RUNNING, AT_BARRIER, IN_WARP, RETURNED };

struct Site { const char* operation; const char* file; int line; };  // where a thread waits

struct Thread {
    State state;
    uint3 index;
    Site site;
    unsigned mask;         // of the warp operation it waits in
    unsigned barriers;     // that it has passed
    unsigned exchanges;    // warp operations that it has passed
    bool may_go;           // the barrier opens
    Stack* stack;
    void* fiber;           // ThreadSanitizer's
};

static Thread threads[MOST_THREADS];
static int thread_count, next_thread;
static uint64_t block_number;  // of the running block in its launch
static Stack *stacks[MOST_THREADS], *idle[MOST_THREADS], *current;
static int stack_count, idle_count;
static Place scheduler;  // where it waits while a thread runs
static bool reverse_order;
static void (*entry)(void**);
static void** entry_arguments;
static char error[600];

inline int linear_index()
{
    return (int)((thread_index.z * block_size.y + thread_index.y) * block_size.x + thread_index.x);
}

// --- errors ----------------------------------------------------------------------------------------------------------

__attribute__((format(printf, 1, 2))) CUDA_ON_CPU_QUIET static void report(const char* format, ...)
{
    if (error[0]) return;  // the first one tells
    va_list rest;
    va_start(rest, format);
    vsnprintf(error, sizeof error, format, rest);
    va_end(rest);
}

struct Where { char text[300]; };

// "thread (1, 0, 0) of block (0, 0, 0)"
CUDA_ON_CPU_QUIET static Where who(int thread)
{
    const uint3 &t = threads[thread].index, &b = block_index;
    Where where;
    snprintf(where.text, sizeof where.text, "thread (%u, %u, %u) of block (%u, %u, %u)", t.x, t.y, t.z, b.x, b.y, b.z);
    return where;
}

// "__syncthreads at lrn.cu:12"
CUDA_ON_CPU_QUIET static Where what(const Site& site)
{
    Where where;
    snprintf(where.text, sizeof where.text, "%s at %s:%d", site.operation, site.file, site.line);
    return where;
}

// --- stacks ----------------------------------------------------------------------------------------------------------

static void run_threads();

static Stack* idle_stack()
{
    if (idle_count) return idle[--idle_count];
    Stack* stack = new_stack(run_threads);
    if (!stack) report("no memory for the stack of another thread");
    else stacks[stack_count++] = stack;
    return stack;
}

// After an error, parked threads are given up and their stacks begin anew.
static void give_up()
{
    for (idle_count = 0; idle_count < stack_count; ++idle_count) begin_anew(idle[idle_count] = stacks[idle_count], run_threads);
}

CUDA_ON_CPU_QUIET static void resume(Stack* stack)
{
    current = stack;
    switch_stacks(scheduler, stack->place);
}

// The body of every stack: thread after thread, until one parks; after that, the rest of the block on another stack.
CUDA_ON_CPU_QUIET static void run_threads()
{
    for (;;) {
        while (next_thread < thread_count && !error[0]) {
            const int k = next_thread++, t = reverse_order ? thread_count - 1 - k : k;
            Thread& thread = threads[t];
            current->thread = t;
            thread.stack = current;
            thread.state = RUNNING;
            thread_index = thread.index;
            sanitizers::begin_thread(thread.fiber);
            entry(entry_arguments);
            sanitizers::end_thread();
            threads[current->thread].state = RETURNED;
        }
        idle[idle_count++] = current;
        switch_stacks(current->place, scheduler);
    }
}

// Leaves the running thread as it is until its barrier opens. `token` is what ThreadSanitizer takes for the barrier.
CUDA_ON_CPU_QUIET static void park(State state, unsigned mask, const Site& site, void* token)
{
    Stack* const stack = current;
    Thread& thread = threads[stack->thread];
    thread.state = state, thread.mask = mask, thread.site = site;
    sanitizers::leave(token);
    switch_stacks(stack->place, scheduler);
    sanitizers::enter(threads[stack->thread].fiber, token);
    thread_index = threads[stack->thread].index;
}

// Ends the launch from inside a thread.
[[noreturn]] CUDA_ON_CPU_QUIET static void stop_launch()
{
    sanitizers::leave(nullptr);
    switch_stacks(current->place, scheduler);
    abort();  // nobody resumes a thread after an error
}

// --- barriers --------------------------------------------------------------------------------------------------------

CUDA_ON_CPU_QUIET static bool same_place(const Site& a, const Site& b)
{
    return a.line == b.line && (a.operation == b.operation || !strcmp(a.operation, b.operation)) &&
           (a.file == b.file || !strcmp(a.file, b.file));
}

// Whether all lanes of the mask of `t` wait in the same warp operation; reports what can never come to that.
CUDA_ON_CPU_QUIET static bool warp_is_complete(int t)
{
    const Thread& mine = threads[t];
    const int first = t / WARP * WARP;
    for (int lane = 0; lane < WARP; ++lane) {
        if (!(mine.mask >> lane & 1)) continue;
        const int u = first + lane;
        if (u >= thread_count || threads[u].state == RETURNED) {
            report("%s: mask 0x%08x names lane %d, which %s; %s waits for it", what(mine.site).text, mine.mask, lane,
                   u < thread_count ? "has returned" : "the block does not have", who(t).text);
            return false;
        }
        if (threads[u].state != IN_WARP || threads[u].mask != mine.mask || !same_place(threads[u].site, mine.site)) return false;
    }
    return true;
}

// Everybody still running waits at __syncthreads: does it open?
CUDA_ON_CPU_QUIET static bool block_is_complete(int waiting)
{
    for (int t = 0; t < thread_count; ++t) {
        if (threads[t].state == RETURNED) {
            report("%s: %s waits, but %s has returned", what(threads[waiting].site).text, who(waiting).text, who(t).text);
            return false;
        }
        if (!same_place(threads[t].site, threads[waiting].site)) {
            report("divergent barrier: %s waits in %s, %s in %s", who(waiting).text, what(threads[waiting].site).text,
                   who(t).text, what(threads[t].site).text);
            return false;
        }
    }
    return true;
}

// Marks the threads that may go on: whole warps, or the whole block. False at the end of the block, or after an error.
CUDA_ON_CPU_QUIET static bool choose()
{
    int alive = 0, going = 0, at_barrier = 0, a = -1, b = -1;
    for (int t = 0; t < thread_count && !error[0]; ++t) {
        if (threads[t].state == RETURNED) continue;
        ++alive;
        if (threads[t].state == AT_BARRIER) { ++at_barrier, a = t; continue; }
        b = t;
        const int first_lane = t / WARP * WARP + __builtin_ctz(threads[t].mask);
        threads[t].may_go = t == first_lane ? warp_is_complete(t) : threads[first_lane].may_go && threads[first_lane].mask == threads[t].mask;
        going += threads[t].may_go;
    }
    if (error[0] || !alive) return false;
    if (alive == at_barrier && block_is_complete(a))
        for (int t = 0; t < thread_count; ++t, ++going) threads[t].may_go = true;
    if (!going && at_barrier)
        report("deadlock: %s waits in %s, %s in %s", who(a).text, what(threads[a].site).text, who(b).text, what(threads[b].site).text);
    if (!going)
        report("deadlock: %s waits in %s for lanes that wait elsewhere", who(b).text, what(threads[b].site).text);
    return !error[0];
}

// Lets all go on who may; false if there is nobody, or after an error.
CUDA_ON_CPU_QUIET static bool open()
{
    if (!choose()) return false;
    for (int k = 0; k < thread_count && !error[0]; ++k) {
        Thread& thread = threads[reverse_order ? thread_count - 1 - k : k];
        if (!thread.may_go) continue;
        thread.may_go = false;
        thread.state = RUNNING;
        resume(thread.stack);
    }
    return !error[0];
}

CUDA_ON_CPU_QUIET static void wait_for_block(const Site& site)
{
    park(AT_BARRIER, 0, site, sanitizers::token(block_number, -1, threads[current->thread].barriers++));
}
}  // namespace cuda_on_cpu

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE())
{
    cuda_on_cpu::wait_for_block({"__syncthreads", file, line});
}
inline void __threadfence() {}
inline void __threadfence_block() {}
