"""CUDA kernels on the CPU, thread by thread: for tests, and for learners without a GPU."""

from minicnn.cuda_on_cpu.accesses import record, transactions
from minicnn.cuda_on_cpu.arguments import LaunchError
from minicnn.cuda_on_cpu.compiler import CompileError
from minicnn.cuda_on_cpu.pretend import pretend

__all__ = ["CompileError", "LaunchError", "pretend", "record", "transactions"]
