"""How minicnn's speed depends on the threads and on the batch, and what it costs to import.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --recipe torchvision --batches 16 64 256

Runs of all settings take turns, so that a machine that slows down slows all of them; medians.
"""

import argparse
import statistics
import subprocess
import sys
import time

from contestants import ROOT, Minicnn
from machine import ENVIRONMENT, describe

IMPORT = "import time, numpy; start = time.perf_counter(); import minicnn; print(time.perf_counter() - start)"


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(functions, rounds):
    """{name: median seconds} of {name: function}, after one round to warm up."""
    measured = [{name: seconds(function) for name, function in functions.items()} for _ in range(rounds + 1)][1:]
    return {name: statistics.median(one[name] for one in measured) for name in functions}


def by_threads(recipe, rounds):
    """One step at batch 128 on 1 thread, and on all."""
    import minicnn

    contestant, most = Minicnn(recipe, 128), minicnn.get_num_threads()

    def run(task, threads):
        minicnn.set_num_threads(threads)
        getattr(contestant, task)()

    found = in_turns({(task, threads): lambda task=task, threads=threads: run(task, threads)
                      for task in ("training", "inference") for threads in sorted({1, most})}, rounds)
    minicnn.set_num_threads(most)
    lines = [f"| | 1 thread | {most} threads | speed-up |", "|---|---|---|---|"]
    for task in ("training", "inference"):
        one, all_ = found[task, 1], found[task, most]
        lines.append(f"| {task}, batch 128 | {one:.3f} s | {all_:.3f} s | {one / all_:.2f} |")
    return lines


def by_batch(recipe, batches, rounds):
    """Milliseconds an image at each batch size."""
    contestant = Minicnn(recipe, max(batches))
    images, labels = contestant.images, contestant.labels

    def run(task, batch):
        contestant.images, contestant.labels = images[:batch], labels[:batch]
        getattr(contestant, task)()

    lines = ["| images in a batch | " + " | ".join(map(str, batches)) + " |", "|---" * (len(batches) + 1) + "|"]
    for task in ("training", "inference"):
        found = in_turns({batch: lambda task=task, batch=batch: run(task, batch) for batch in batches}, rounds)
        cells = " | ".join(f"{1e3 * found[batch] / batch:.2f}" for batch in batches)
        lines.append(f"| {task}, ms an image | {cells} |")
    return lines


def importing(rounds):
    """Seconds that `import minicnn` takes after `import numpy`, the median of fresh processes."""
    command = [sys.executable, "-c", IMPORT]
    times = [float(subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout)
             for _ in range(rounds + 1)][1:]
    return f"`import minicnn` beyond `import numpy`: {statistics.median(times):.3f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="paper", choices=["paper", "towers", "caffe", "caffenet", "torchvision"])
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 32, 64, 128, 256, 512], metavar="N")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds, after one to warm up (default 5)")
    args = parser.parse_args()
    print(f"`{args.recipe}`, float32, median of {args.rounds}; {describe()}", "", *by_threads(args.recipe, args.rounds), "",
          *by_batch(args.recipe, args.batches, args.rounds), "", importing(9), sep="\n")


if __name__ == "__main__":
    main()
