"""How minicnn's speed depends on the threads and on the batch, and what it costs to import.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --recipe torchvision --batches 16 64 256
    python benchmarks/scaling.py --write               # and keep the tables in benchmarks/results/

Runs of all settings take turns, so that a machine that slows down slows all of them; medians. Cores share memory, caches and
power, so no program is twice as fast on two of them as on one. What a machine has to give is measured beside it: as many
processes as threads, each on one thread and on its share of the batch, at work together or one of them alone.
"""

import argparse
import contextlib
import multiprocessing
import statistics
import subprocess
import sys
import time

from contestants import ROOT, Minicnn
from machine import ENVIRONMENT, RESULTS, describe

BATCH, TASKS = 128, ("training", "inference")
IMPORT = "import time, numpy; start = time.perf_counter(); import minicnn; print(time.perf_counter() - start)"


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(functions, rounds):
    """{name: median seconds} of {name: function}, after one round to warm up."""
    measured = [{name: seconds(function) for name, function in functions.items()} for _ in range(rounds + 1)][1:]
    return {name: statistics.median(one[name] for one in measured) for name in functions}


def serve(recipe, batch, pipe):
    """A process of one thread: runs every task that comes through the pipe, and says when it is done."""
    import minicnn

    minicnn.set_num_threads(1)
    contestant = Minicnn(recipe, batch)
    for task in iter(pipe.recv, None):
        getattr(contestant, task)()
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
            return {"one": lambda: run(task, 1), "all": lambda: run(task, most),
                    "alone": lambda: work(task, pipes[:1]), "together": lambda: work(task, pipes)}

        found = in_turns({(task, way): function for task in TASKS for way, function in ways(task).items()}, rounds)
    minicnn.set_num_threads(most)
    lines = [f"| | 1 thread | {most} threads | speed-up | of {most} processes |", "|---|---|---|---|---|"]
    for task in TASKS:
        one, all_, alone, together = (found[task, way] for way in ("one", "all", "alone", "together"))
        lines.append(f"| {task}, batch {BATCH} | {one:.3f} s | {all_:.3f} s | {one / all_:.2f} "
                     f"| {most * alone / together:.2f} |")
    return lines


def by_batch(recipe, batches, rounds):
    """Milliseconds an image at each batch size."""
    contestant = Minicnn(recipe, max(batches))
    images, labels = contestant.images, contestant.labels

    def run(task, batch):
        contestant.images, contestant.labels = images[:batch], labels[:batch]
        getattr(contestant, task)()

    lines = ["| images in a batch | " + " | ".join(map(str, batches)) + " |", "|---" * (len(batches) + 1) + "|"]
    for task in TASKS:
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
