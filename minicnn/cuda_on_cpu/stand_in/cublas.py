"""cuBLAS: `cupy.cublas.gemm`, and the raw calls of `cupy.cuda.cublas`, which know addresses and columns only."""

import ctypes

import numpy as np

from minicnn.cuda_on_cpu.stand_in.array import ndarray, unwrap

HANDLE = 1
OP_N, OP_T = 0, 1


def gemm(transa, transb, a, b, out=None, alpha=1.0, beta=0.0):
    """out = alpha·op(a)·op(b) + beta·out, for matrices of one dtype."""
    left, right = (unwrap(x).T if trans in ("T", "t", OP_T) else unwrap(x) for x, trans in ((a, transa), (b, transb)))
    if left.dtype != right.dtype or left.dtype.char not in "fd":
        raise TypeError(f"invalid dtypes: {left.dtype} and {right.dtype}")
    if out is None:
        out, beta = ndarray((left.shape[0], right.shape[1]), left.dtype, order="F"), 0.0
    _accumulate(unwrap(out), left @ right, float(alpha), float(beta))
    return out


def _accumulate(out, product, alpha, beta):
    """As BLAS does: what is in `out` is not even read where beta is 0."""
    product *= out.dtype.type(alpha)
    if beta:
        product += out.dtype.type(beta) * out
    out[...] = product


def _matrix(address, rows, columns, leading, dtype):
    """The column-major matrix at an address."""
    if leading < rows:
        raise ValueError(f"a leading dimension of {leading} for {rows} rows")
    if not rows or not columns:
        return np.empty((rows, columns), dtype)
    count = leading * (columns - 1) + rows
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    return np.lib.stride_tricks.as_strided(np.frombuffer(memory, dtype), (rows, columns),
                                           (dtype.itemsize, leading * dtype.itemsize))


def _number(address, dtype):
    return np.frombuffer((ctypes.c_char * dtype.itemsize).from_address(address), dtype)[0]


def _raw_gemm(dtype):
    def gemm(handle, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        left = _matrix(a, k, m, lda, dtype).T if transa else _matrix(a, m, k, lda, dtype)
        right = _matrix(b, n, k, ldb, dtype).T if transb else _matrix(b, k, n, ldb, dtype)
        _accumulate(_matrix(c, m, n, ldc, dtype), left @ right, _number(alpha, dtype), _number(beta, dtype))
    return gemm


def _raw_strided(dtype):
    one = _raw_gemm(dtype)

    def gemm(handle, transa, transb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc, stride_c, batch):
        for i in range(batch):
            at_a, at_b, at_c = (address + i * stride * dtype.itemsize
                                for address, stride in ((a, stride_a), (b, stride_b), (c, stride_c)))
            one(handle, transa, transb, m, n, k, alpha, at_a, lda, at_b, ldb, beta, at_c, ldc)
    return gemm


RAW = {"CUBLAS_OP_N": OP_N, "CUBLAS_OP_T": OP_T, "getVersion": lambda handle: 130000}
for _letter, _dtype in (("s", np.dtype("f4")), ("d", np.dtype("f8"))):
    RAW[f"{_letter}gemm"] = _raw_gemm(_dtype)
    RAW[f"{_letter}gemmStridedBatched"] = _raw_strided(_dtype)
