"""Does the GPU train as the CPU does? The loss of an AlexNet, step by step on both backends, from the same numbers.

    python benchmarks/agreement.py                 # the narrow and the full one, in float64 and in float32

In float64 the losses must agree to 8 digits at every step; in float32 to 5 digits at the first, since each step after it
magnifies what rounding does: two of the CPU's own algorithms differ by some parts in a thousand after five steps.
Ends with 1 if they do not.
"""

import argparse
import sys

from contestants import Minicnn
from contestants_gpu import MinicnnGpu
from gpu_machine import Gpu, add_flags


def losses(kind, recipe, batch, width, dtype, steps):
    """The loss at each of the first steps."""
    contestant = kind(recipe, batch, width)
    contestant.net.astype(dtype)
    contestant.images = contestant.images.astype(dtype)
    return [float(contestant.training()) for _ in range(steps)]


def compare(recipe, batch, width, dtype, steps):
    """(lines of the table, do they agree?)"""
    lines, agree = [], True
    pairs = zip(*(losses(kind, recipe, batch, width, dtype, steps) for kind in (Minicnn, MinicnnGpu)))
    for step, (cpu, gpu) in enumerate(pairs, 1):
        difference = abs(gpu - cpu) / abs(cpu)
        limit = 1e-8 if dtype == "float64" else 1e-5 if step == 1 else None
        verdict = "" if limit is None else "ok" if difference <= limit else "WRONG"
        agree = agree and verdict != "WRONG"
        lines.append(f"| {width:g} | {dtype} | {step} | {cpu:.9f} | {gpu:.9f} | {difference:.1e} | {verdict} |")
    return lines, agree


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="paper", choices=["paper", "towers", "caffe", "caffenet", "torchvision"])
    parser.add_argument("--batch-size", type=int, default=16, help="images in a step (default 16)")
    parser.add_argument("--steps", type=int, default=5, help="of each network (default 5)")
    add_flags(parser)
    args = parser.parse_args()
    gpu, (batch, widths) = Gpu(args.dry_run), (2, [1 / 32]) if args.dry_run else (args.batch_size, [0.25, 1.0])
    found = [compare(args.recipe, batch, width, dtype, args.steps) for width in widths for dtype in ("float64", "float32")]
    print(f"loss of `{args.recipe}`, batch {batch}, on both backends; {gpu.describe()}\n")
    print("| width | dtype | step | NumPy | CuPy | difference | |\n|---|---|---|---|---|---|---|")
    print("\n".join(line for lines, _ in found for line in lines))
    sys.exit(not all(agree for _, agree in found))


if __name__ == "__main__":
    main()
