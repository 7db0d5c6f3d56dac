"""How minicnn's speed depends on the threads and on the batch, and what it costs to import.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --recipe torchvision --batches 16 64 256
    python benchmarks/scaling.py --write               # and keep the tables in benchmarks/results/

Runs of all settings take turns, so that a machine that slows down slows all of them; medians. Cores share memory, caches and
power, so no program is twice as fast on two of them as on one. What a machine has to give is measured beside it: as many
processes as threads, each on one thread and on its share of the batch, at work together or one of them alone; and the same
for a matrix product, which needs little but the cores, and for copying, which needs little but the memory. The smaller the
batch, the more of a step is the passing of all weights through memory; how much is measured too.
"""

import argparse
import contextlib
import multiprocessing
import statistics
import subprocess
import sys
import time

from contestants import ROOT, Minicnn
from machine import ENVIRONMENT, RESULTS, copy_bandwidth, describe

BATCH, TASKS = 128, ("training", "inference")
PROBES = {"product": "a matrix product, 4096³", "copy": "copying 64 MiB"}
PASSES = {"training": 8, "inference": 1}  # of the weights: y = x·Wᵀ; dx = dy·W, dW written, and v, g, w read, v, w written
IMPORT = "import time, numpy; start = time.perf_counter(); import minicnn; print(time.perf_counter() - start)"


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(functions, rounds):
    """{name: median seconds} of {name: function}, after one round to warm up."""
    measured = [{name: seconds(function) for name, function in functions.items()} for _ in range(rounds + 1)][1:]
    return {name: statistics.median(one[name] for one in measured) for name in functions}


class Worker(Minicnn):
    """A contestant that can also do what needs the cores alone, or the memory alone."""

    def __init__(self, recipe, batch):
        import numpy as np

        super().__init__(recipe, batch)
        self.matrix = np.ones((4096, 4096), np.float32)
        self.copied = self.matrix.copy()

    def product(self):
        from minicnn import blas

        with blas.single_threaded:
            self.matrix @ self.matrix

    def copy(self):
        for _ in range(16):
            self.copied[...] = self.matrix


def serve(recipe, batch, pipe):
    """A process of one thread: runs every task that comes through the pipe, and says when it is done."""
    import minicnn

    minicnn.set_num_threads(1)
    worker = Worker(recipe, batch)
    for task in iter(pipe.recv, None):
        getattr(worker, task)()
        pipe.send(task)


@contextlib.contextmanager
def processes(recipe, count):
    """`work(task, pipes)` and pipes to `count` processes of one thread, each with its share of the batch."""
    spawn = multiprocessing.get_context("spawn")
    pipes, far_ends = zip(*(spawn.Pipe() for _ in range(count)))
    for far in far_ends:
        spawn.Process(target=serve, args=(recipe, BATCH // count, far), daemon=True).start()

    def work(task, pipes):
        for pipe in pipes:
            pipe.send(task)
        for pipe in pipes:
            pipe.recv()

    yield work, pipes
    for pipe in pipes:
        pipe.send(None)


def by_threads(recipe, rounds):
    """A step on 1 thread and on all, and what processes that have nothing in common reach."""
    import minicnn

    contestant, most = Minicnn(recipe, BATCH), minicnn.get_num_threads()

    def run(task, threads):
        minicnn.set_num_threads(threads)
        getattr(contestant, task)()

    with processes(recipe, most) as (work, pipes):
        def ways(task):
            threads = {"one": lambda: run(task, 1), "all": lambda: run(task, most)} if task in TASKS else {}
            return threads | {"alone": lambda: work(task, pipes[:1]), "together": lambda: work(task, pipes)}

        all_ways = {(task, way): function for task in (*TASKS, *PROBES) for way, function in ways(task).items()}
        found = in_turns(all_ways, rounds)
    minicnn.set_num_threads(most)
    lines = [f"| | 1 thread | {most} threads | speed-up | of {most} processes |", "|---|---|---|---|---|"]
    gain = {task: most * found[task, "alone"] / found[task, "together"] for task in (*TASKS, *PROBES)}
    for task in TASKS:
        one, all_ = found[task, "one"], found[task, "all"]
        lines.append(f"| {task}, batch {BATCH} | {one:.3f} s | {all_:.3f} s | {one / all_:.2f} | {gain[task]:.2f} |")
    return lines + [f"| {what} | | | | {gain[task]:.2f} |" for task, what in PROBES.items()]


def by_batch(recipe, batches, rounds):
    """Milliseconds an image at each batch size, and how many of them the weights take at the speed of copying."""
    contestant = Minicnn(recipe, max(batches))
    images, labels = contestant.images, contestant.labels
    weights, bandwidth = sum(p.data.nbytes for p in contestant.net.parameters()), copy_bandwidth()

    def run(task, batch):
        contestant.images, contestant.labels = images[:batch], labels[:batch]
        getattr(contestant, task)()

    lines = ["| images in a batch | " + " | ".join(map(str, batches)) + " |", "|---" * (len(batches) + 1) + "|"]
    for task in TASKS:
        found = in_turns({batch: lambda task=task, batch=batch: run(task, batch) for batch in batches}, rounds)
        cells = " | ".join(f"{1e3 * found[batch] / batch:.2f}" for batch in batches)
        lines.append(f"| {task}, ms an image | {cells} |")
        floor = 1e3 * PASSES[task] * weights / bandwidth
        cells = " | ".join(f"{floor / batch:.2f}" for batch in batches)
        lines.append(f"| of it, weights through memory {PASSES[task]}× | {cells} |")
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
    parser.add_argument("--write", action="store_true", help="keep the tables in benchmarks/results/")
    args = parser.parse_args()
    text = "\n".join([f"`{args.recipe}`, float32, median of {args.rounds}; {describe()}", "",
                      *by_threads(args.recipe, args.rounds), "", *by_batch(args.recipe, args.batches, args.rounds), "",
                      importing(9)])
    print(text)
    if args.write:
        (RESULTS / f"scaling-{args.recipe}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
