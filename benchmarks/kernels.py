"""The kernels on a GPU, rung by rung: time, GB/s or GFLOP/s, and the share of what the GPU can do at best.

    python benchmarks/kernels.py                # arrays of AlexNet at batch 128, float32
    python benchmarks/kernels.py --write        # and keep the table in benchmarks/results/

What reads and writes is held against a copy from device memory to device memory, by the bytes that must pass at least;
what multiplies against cuBLAS's own product of two matrices of 4096 rows. But for the loss, arrays are too large for any
cache.
"""

import argparse
import math

from gpu_machine import Gpu, add_flags
from machine import RESULTS

from minicnn.windows import Window

# conv2 is the single column's; C, O, image, kernel, stride, padding
CONVOLUTIONS = {"conv1": (3, 96, 227, 11, 4, 0), "conv2": (96, 256, 27, 5, 1, 2), "conv3": (256, 384, 13, 3, 1, 1)}


def naive(file, kernel, threads, *args):
    """A kernel that no operation uses."""
    from minicnn.backends.cupy.kernels import launch

    launch(file, f"{kernel}_naive", threads, *args)


def activations(gpu, *shape):
    """(operation, rung, call, bytes) of what reads and writes activations of this shape."""
    ops, x, dy = gpu.ops, gpu.random(*shape), gpu.random(*shape)
    yield "relu", "", lambda: ops.relu(x), 2 * x.nbytes
    yield "relu backward", "", lambda: ops.relu_backward(dy, x), 3 * x.nbytes
    yield "sigmoid", "", lambda: ops.sigmoid(x), 2 * x.nbytes
    yield from dropout(gpu, x)
    yield from lrn(gpu, x, dy)
    yield from pooling(gpu, x)
    yield from batchnorm(gpu, x, dy)


def dropout(gpu, x):
    y, keep = gpu.cupy.empty_like(x), gpu.cupy.empty(x.shape, "bool")
    rest, size = (x.size, 1, 2, 2**31, 2.0), 2 * x.nbytes + x.size
    yield "dropout", "naive", lambda: naive("dropout", "dropout_forward", x.size, x, y, keep, *rest), size
    yield "dropout", "shared memory", lambda: gpu.ops.dropout(x, 0.5, [1, 2]), size
    yield "dropout backward", "", lambda: gpu.ops.dropout_backward(x, keep, 0.5), size


def lrn(gpu, x, dy):
    y, size, constants = gpu.cupy.empty_like(x), 5, (1e-4, 0.75, 2.0)
    rest = x.size, x.shape[1], math.prod(x.shape[2:]), size, *constants
    yield "LRN", "naive", lambda: naive("lrn", "lrn_forward", x.size, x, y, *rest), 2 * x.nbytes
    yield "LRN", "walk", lambda: gpu.ops.lrn(x, size, *constants), 2 * x.nbytes
    yield "LRN backward", "naive", lambda: naive("lrn", "lrn_backward", x.size, dy, x, y, *rest, 1.5e-4), 3 * x.nbytes
    yield "LRN backward", "walk", lambda: gpu.ops.lrn_backward(dy, x, size, *constants), 3 * x.nbytes


def pooling(gpu, x):
    ops, window = gpu.ops, Window.make(3, 2, 0)
    y, argmax = ops.max_pool2d(x, window)
    size = x.nbytes + y.nbytes
    yield "max pooling", "", lambda: ops.max_pool2d(x, window), size + argmax.nbytes
    yield "max pooling backward", "", lambda: ops.max_pool2d_backward(y, argmax, x.shape, window), size + argmax.nbytes
    yield "average pooling", "", lambda: ops.avg_pool2d(x, window, True), size
    yield "average pooling backward", "", lambda: ops.avg_pool2d_backward(y, x.shape, window, True), size


def batchnorm(gpu, x, dy):
    gamma, beta = gpu.random(x.shape[1]), gpu.random(x.shape[1])
    _, normal, inverse, _, _ = gpu.ops.batchnorm(x, gamma, beta, 1e-5)
    yield "batch norm", "", lambda: gpu.ops.batchnorm(x, gamma, beta, 1e-5), 4 * x.nbytes
    yield "batch norm backward", "", lambda: gpu.ops.batchnorm_backward(dy, normal, gamma, inverse, False), 5 * x.nbytes


def optimisers(gpu, weights):
    """(operation, rung, call, bytes) of an update of so many weights."""
    ops, w, g, m, v = gpu.ops, *(gpu.random(weights) for _ in range(4))
    v *= v
    yield "SGD", "", lambda: ops.sgd_update(w, g, m, 0.01, 0.9, 5e-4), 5 * w.nbytes
    yield "Adam", "", lambda: ops.adam_update(w, g, m, v, 1, 1e-3, (0.9, 0.999), 1e-8, 0.0), 7 * w.nbytes


def losses(gpu, batch, classes):
    """(operation, rung, call, bytes): too small for a GPU to show what it can do."""
    z, labels = gpu.random(batch, classes), gpu.cupy.zeros(batch, "int64")
    p, row = gpu.cupy.empty_like(z), gpu.cupy.empty(batch, "float32")
    rest = z, labels, p, row, batch, classes
    yield "loss", "naive", lambda: naive("losses", "softmax_cross_entropy", batch, *rest), 2 * z.nbytes
    yield "loss", "a block a row", lambda: gpu.ops.softmax_cross_entropy(z, labels), 2 * z.nbytes


def convolutions(gpu, batch, shapes):
    """(operation, rung, call, FLOP) of each convolution by each algorithm."""
    for name, (c, o, side, kernel, stride, padding) in shapes.items():
        window = Window.make(kernel, stride, padding)
        x, w, b = gpu.random(batch, c, side, side), gpu.random(o, c, kernel, kernel), gpu.random(o)
        dy = gpu.random(batch, o, *window.output_size((side, side)))
        flop = 2 * dy.size * c * kernel**2
        for rung in gpu.ops.conv2d_algorithms(window):
            yield name, rung, lambda rung=rung: gpu.ops.conv2d(x, w, b, window, algorithm=rung), flop  # noqa: B023
            yield (f"{name} backward", rung,
                   lambda rung=rung: gpu.ops.conv2d_backward(dy, x, w, window, algorithm=rung), 2 * flop)  # noqa: B023


def row(gpu, operation, rung, call, work, best, is_flop):
    """One line of the table."""
    taken = gpu.seconds(call)
    rate = f"{work / taken / 1e9:.0f}"
    return (f"| {operation} | {rung} | {taken * 1e3:.3f} ms | {'' if is_flop else rate} | {rate if is_flop else ''} | "
            f"{work / taken / best:.0%} |")


def table(gpu, batch, dry_run):
    """The result as Markdown."""
    copy, product = gpu.copy_bandwidth(), gpu.sgemm_peak()
    shape, weights, shapes = (batch, 96, 55, 55), 9216 * 4096, CONVOLUTIONS
    if dry_run:
        shape, weights, shapes = (batch, 6, 11, 11), 5000, {"conv1": (3, 4, 19, 5, 2, 0)}
    lines = [f"kernels, batch {batch}, float32; {gpu.describe()}; copy {copy / 1e9:.0f} GB/s, sgemm {gpu.side}³ "
             f"{product / 1e9:.0f} GFLOP/s", "",
             "| operation | rung | time | GB/s | GFLOP/s | share of copy or sgemm |", "|---|---|---|---|---|---|"]
    for cases in (activations(gpu, *shape), losses(gpu, batch, 1000), optimisers(gpu, weights)):
        lines += [row(gpu, *case, copy, is_flop=False) for case in cases]
    lines += [row(gpu, *case, product, is_flop=True) for case in convolutions(gpu, batch, shapes)]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=128, help="images (default 128)")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    add_flags(parser)
    args = parser.parse_args()
    text = table(Gpu(args.dry_run), 2 if args.dry_run else args.batch_size, args.dry_run)
    print(text)
    if args.write and not args.dry_run:
        (RESULTS / f"kernels-{args.batch_size}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
