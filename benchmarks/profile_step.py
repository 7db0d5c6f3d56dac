"""Where the time of one training step goes, layer by layer: seconds, GFLOP/s, GB/s, and the share of the machine's peak.

    python benchmarks/profile_step.py                     # the single column at batch 128
    python benchmarks/profile_step.py --recipe torchvision --batch-size 32

A convolution or fully connected layer is held against the machine's own matrix product (sgemm 4096³): GFLOP/s are those of
the direct method, so a fast algorithm may exceed it. The others are held against a copy of memory, by the bytes that must
pass at least: forward reads x and writes y, backward reads dy and x (or y) and writes dx.
"""

import argparse
import statistics
import time

from contestants import Minicnn
from machine import copy_bandwidth, describe, sgemm_peak


def timed(function, *arguments, **keywords):
    start = time.perf_counter()
    result = function(*arguments, **keywords)
    return result, time.perf_counter() - start


def step(contestant):
    """{(layer, pass): seconds} of one step."""
    seconds, values = {}, contestant.images
    layers = list(contestant.net.leaves())
    contestant.optimiser.zero_grad()
    for layer in layers:
        values, seconds[layer.name, "forward"] = timed(layer.forward, values)
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


def table(contestant, steps, recipe):
    """The result as Markdown."""
    measured = [step(contestant) for _ in range(steps + 1)][1:]  # the first warms up
    seconds = {key: statistics.median(one[key] for one in measured) for key in measured[0]}
    total, done = statistics.median(sum(one.values()) for one in measured), work(contestant)
    flops, bandwidth = sgemm_peak(), copy_bandwidth()
    lines = [f"one training step, `{recipe}`, batch {len(contestant.images)}, float32, median of {steps}; {describe()}; "
             f"sgemm 4096³ {flops / 1e9:.0f} GFLOP/s, copy {bandwidth / 1e9:.0f} GB/s", "",
             "| layer | pass | time | share of step | GFLOP/s | GB/s | share of peak |", "|---|---|---|---|---|---|---|"]
    for (name, direction), taken in seconds.items():
        flop, size = done.get((name, direction), (0, 0))
        peak = f"{flop / taken / flops:.0%}" if flop else f"{size / taken / bandwidth:.0%}" if size else ""
        lines.append(f"| {name} | {direction} | {taken * 1e3:.1f} ms | {taken / total:.1%} | "
                     f"{f'{flop / taken / 1e9:.0f}' if flop else ''} | {size / taken / 1e9:.1f} | {peak} |")
    whole = sum(flop for flop, _ in done.values())
    share = whole / total / flops
    lines.append(f"| all | both | {total * 1e3:.0f} ms | 100 % | {whole / total / 1e9:.0f} | | {share:.0%} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="paper", choices=["paper", "towers", "caffe", "caffenet", "torchvision"])
    parser.add_argument("--batch-size", type=int, default=128, help="images in a step (default 128)")
    parser.add_argument("--steps", type=int, default=5, help="measured steps, after one to warm up (default 5)")
    args = parser.parse_args()
    print(table(Minicnn(args.recipe, args.batch_size), args.steps, args.recipe))


if __name__ == "__main__":
    main()
