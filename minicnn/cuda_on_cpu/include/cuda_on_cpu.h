// Plays CUDA for g++: put before the text of a .cu file, this makes it a C++17 program that runs on the CPU.
//
//   language.h   __global__ and the like, vector types, threadIdx
//   numbers.h    min, max, intrinsics
//   fibers.h     stacks to switch between
//   scheduler.h  runs the threads of a block one after another; barriers
//   shared.h     shared memory
//   warp.h       shuffles and votes
//   atomics.h    atomic operations
//   record.h     who reads and writes what (if asked for)
//   sanitizers.h what they have to be told
//   entry.h      how Python calls a kernel
#pragma once
#include "language.h"
#include "numbers.h"
#include "scheduler.h"
#include "shared.h"
#include "warp.h"
#include "atomics.h"
#include "entry.h"
#if defined(CUDA_ON_CPU_RECORD)
#include "record.h"
#endif
