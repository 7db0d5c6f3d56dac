"""Where the time of one training step goes, layer by layer: seconds, GFLOP/s, GB/s, and the share of the machine's peak.

    python benchmarks/profile_step.py                     # the single column at batch 128
    python benchmarks/profile_step.py --recipe torchvision --batch-size 32
    python benchmarks/profile_step.py --write             # and keep the table in benchmarks/results/
    python benchmarks/profile_step.py --gpu --tf32        # on a GPU, kernel by kernel too

A convolution or fully connected layer is held against the machine's own matrix product (sgemm 4096³): GFLOP/s are those of
the direct method, so a fast algorithm may exceed it. The others are held against a copy of memory, by the bytes that must
pass at least: forward reads x and writes y, backward reads dy and x (or y) and writes dx. The maximum of a ReLU behind a
convolution is taken in the convolution, as in a training step.
"""

import argparse
import statistics
import time

from contestants import Minicnn
from contestants_gpu import MinicnnGpu, MinicnnTf32
from gpu_machine import Gpu, add_flags
from machine import RESULTS, copy_bandwidth, describe, sgemm_peak


def timed(function, *arguments, **keywords):
    start = time.perf_counter()
    result = function(*arguments, **keywords)
    return result, time.perf_counter() - start


def step(contestant, timed=timed):
    """{(layer, pass): seconds} of one step; `timed(function, …)` gives the result and the seconds."""
    seconds, values = {}, contestant.images
    layers = list(contestant.net)
    contestant.optimiser.zero_grad()
    for layer, options in contestant.net.passes():
        values, seconds[layer.name, "forward"] = timed(layer.forward, values, **options)
    _, seconds["loss", "forward"] = timed(contestant.loss, values, contestant.labels)
    gradient, seconds["loss", "backward"] = timed(contestant.loss.backward)
    for layer in reversed(layers):
        gradient, seconds[layer.name, "backward"] = timed(layer.backward, gradient, need_dx=layer is not layers[0])
    _, seconds["SGD", "backward"] = timed(contestant.optimiser.step)
    return seconds


def work(contestant):
    """{(layer, pass): (FLOP of the direct method, bytes that must pass)}"""
    from minicnn import trace

    found = {}
    for i, row in enumerate(trace(contestant.net, contestant.images.shape).rows):
        x, y = (4 * count(shape) for shape in (row.input_shape, row.output_shape))
        found[row.name, "forward"] = 2 * row.macs, x + y + 4 * row.parameters
        found[row.name, "backward"] = (2 if i == 0 else 4) * row.macs, 2 * x + y + 8 * row.parameters
    found["SGD", "backward"] = 0, 20 * sum(p.data.size for p in contestant.net.parameters())
    return found


def count(shape):
    product = 1
    for size in shape:
        product *= size
    return product


def table(contestant, measured, heading, flops, bandwidth):
    """The result as Markdown."""
    seconds = {key: statistics.median(one[key] for one in measured) for key in measured[0]}
    total, done = statistics.median(sum(one.values()) for one in measured), work(contestant)
    lines = [f"{heading}; sgemm 4096³ {flops / 1e9:.0f} GFLOP/s, copy {bandwidth / 1e9:.0f} GB/s", "",
             "| layer | pass | time | share of step | GFLOP/s | GB/s | share of peak |", "|---|---|---|---|---|---|---|"]
    for (name, direction), taken in seconds.items():
        flop, size = done.get((name, direction), (0, 0))
        peak = f"{flop / taken / flops:.0%}" if flop else f"{size / taken / bandwidth:.0%}" if size else ""
        lines.append(f"| {name} | {direction} | {milliseconds(taken)} | {taken / total:.1%} | "
                     f"{f'{flop / taken / 1e9:.0f}' if flop else ''} | {size / taken / 1e9:.1f} | {peak} |")
    whole = sum(flop for flop, _ in done.values())
    share = whole / total / flops
    lines.append(f"| all | both | {milliseconds(total)} | 100 % | {whole / total / 1e9:.0f} | | {share:.0%} |")
    return "\n".join(lines)


def milliseconds(seconds):
    """Three digits of what takes long, and microseconds of what does not."""
    return f"{seconds * 1e3:.{0 if seconds >= 1 else 1 if seconds >= 0.01 else 3}f} ms"


def on_cpu(args, heading):
    contestant = Minicnn(args.recipe, args.batch_size)
    measured = [step(contestant) for _ in range(args.steps + 1)][1:]  # the first warms up
    return table(contestant, measured, f"{heading}; {describe()}", sgemm_peak(), copy_bandwidth())


def on_gpu(args, heading):
    gpu = Gpu(args.dry_run)
    kind = MinicnnTf32 if args.tf32 else MinicnnGpu
    contestant = kind(args.recipe, args.batch_size, width=1 / 32 if args.dry_run else 1.0)
    layers = [gpu_step(gpu, contestant) for _ in range(args.steps + 1)][1:]
    kernels = [gpu_kernels(gpu, contestant) for _ in range(args.steps)]
    heading += f"{' with TF32' * args.tf32}; {gpu.describe()}"
    flops = gpu.sgemm_peak()  # in TF32 as well
    return table(contestant, layers, heading, flops, gpu.copy_bandwidth()) + "\n\n" + kernel_table(kernels)


def gpu_step(gpu, contestant):
    gpu.head_start()
    return {key: float(span) for key, span in step(contestant, gpu.timed).items()}


def gpu_kernels(gpu, contestant):
    """{kernel: (launches, seconds)} of one step; "" is the whole step."""
    gpu.head_start()
    with gpu.kernel_spans() as spans, gpu.span() as whole:
        contestant.training()
    found = {"": (1, float(whole))}
    for name, span in spans:
        launches, seconds = found.get(name, (0, 0.0))
        found[name] = launches + 1, seconds + float(span)
    return found


def kernel_table(measured):
    """Kernels by the time that they take in a step."""
    median = {name: statistics.median(one[name][1] for one in measured) for name in measured[0]}
    total = median.pop("")
    median["everything else"] = total - sum(median.values())
    lines = ["| kernel | launches | time | share of step |", "|---|---|---|---|"]
    for name, seconds in sorted(median.items(), key=lambda item: -item[1]):
        lines.append(f"| {name} | {measured[0].get(name, ('',))[0]} | {milliseconds(seconds)} | {seconds / total:.1%} |")
    return "\n".join([*lines, f"| all | | {milliseconds(total)} | 100 % |"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="paper", choices=["paper", "towers", "caffe", "caffenet", "torchvision"])
    parser.add_argument("--batch-size", type=int, default=128, help="images in a step (default 128)")
    parser.add_argument("--steps", type=int, default=5, help="measured steps, after one to warm up (default 5)")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    parser.add_argument("--gpu", action="store_true", help="on a GPU")
    parser.add_argument("--tf32", action="store_true", help="let cuBLAS round to TF32")
    add_flags(parser)
    args = parser.parse_args()
    args.batch_size = 2 if args.dry_run else args.batch_size
    heading = f"one training step, `{args.recipe}`, batch {args.batch_size}, float32, median of {args.steps}"
    text = (on_gpu if args.gpu else on_cpu)(args, heading)
    print(text)
    if args.write and not args.dry_run:
        name = f"profile-{'gpu-' * args.gpu}{'tf32-' * args.tf32}{args.recipe}-{args.batch_size}.md"
        (RESULTS / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
