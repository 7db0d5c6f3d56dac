"""AlexNet in minicnn beside PyTorch, ONNX Runtime, Chainer and DeZero, where they are installed: seconds, memory, GFLOP/s.

    python benchmarks/versus.py                        # a training step of the single column at batch 128
    python benchmarks/versus.py --recipe torchvision --inference
    python benchmarks/versus.py --best                 # also PyTorch with channels last, compiled, and both
    python benchmarks/versus.py --best --write         # and keep the table in benchmarks/results/

Each contestant runs in a process of its own, so that its peak memory is its own; they take turns, step by step (of short
steps half a second), so that a machine that slows down slows all of them. All do the same arithmetic in float32 on all
cores.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from contestants import CONTESTANTS, can_run
from machine import ENVIRONMENT, describe, sgemm_peak

RESULTS = Path(__file__).parent / "results"
TURN = 0.5  # seconds: short steps are repeated, so that caches and threads are as warm as in a loop of such steps


def serve(contestant, task):
    """A contestant's own process: a turn for every line on standard input, seconds a step and peak memory as an answer."""
    print(json.dumps(contestant.facts), flush=True)
    for _ in sys.stdin:
        seconds = [timed(getattr(contestant, task))]
        while sum(seconds) < TURN:
            seconds.append(timed(getattr(contestant, task)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        print(json.dumps({"seconds": statistics.median(seconds), "peak": peak}), flush=True)


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Child:
    """A contestant in its process."""

    def __init__(self, name, args, task):
        command = [sys.executable, __file__, "--serve", name, "--recipe", args.recipe, "--batch-size", str(args.batch_size)]
        command += ["--inference"] * (task == "inference")
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        self.facts = json.loads(self.process.stdout.readline())
        self.seconds, self.peak = [], 0

    def step(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.seconds.append(answer["seconds"])
        self.peak = answer["peak"]

    @property
    def median(self):
        return statistics.median(self.seconds)


def compare(args, task):
    """Let the contestants take turns; [Child], and the peak of the matrix product."""
    names = [name for name in CONTESTANTS if can_run(name, args.recipe, task) and (args.best or "," not in name)]
    children = [Child(name, args, task) for name in names]
    for number in range(args.rounds + 1):
        for child in children:
            time.sleep(0.3)  # the other's threads stop spinning
            child.step()
        if number == 0:  # the first round warms up, and compiles
            for child in children:
                child.seconds.clear()
        print(f"round {number} of {args.rounds}", end="\r", file=sys.stderr)
    for child in children:
        child.process.communicate()
    probe = [sys.executable, __file__, "--sgemm"]
    return children, float(subprocess.run(probe, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout)


def table(children, peak, args, task):
    """The result as Markdown."""
    flop, eager = children[0].facts[task], next((child.median for child in children if child.name == "PyTorch"), None)
    lines = [f"{task}, `{args.recipe}`, batch {args.batch_size}, float32, {args.rounds} rounds; {describe()}; "
             f"sgemm 4096³ {peak / 1e9:.0f} GFLOP/s", "",
             "| | median (min–max) | ÷ PyTorch | peak memory | GFLOP/s | share of sgemm |", "|---|---|---|---|---|---|"]
    for child in children:
        times = f"{child.median:.3f} s ({min(child.seconds):.3f}–{max(child.seconds):.3f})"
        cells = (f"{child.name} ({child.facts['version']})", times, f"{child.median / eager:.2f}" if eager else "",
                 f"{child.peak / 1e9:.2f} GB", f"{flop / child.median / 1e9:.0f}", f"{flop / child.median / peak:.0%}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="paper", choices=["paper", "towers", "caffe", "caffenet", "torchvision"])
    parser.add_argument("--batch-size", type=int, default=128, help="images in a step (default 128)")
    parser.add_argument("--rounds", type=int, default=5, help="measured steps of each, after one to warm up (default 5)")
    parser.add_argument("--inference", action="store_true", help="the forward pass alone, in evaluation mode")
    parser.add_argument("--best", action="store_true", help="PyTorch's faster ways as well; compiling takes minutes")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    parser.add_argument("--serve", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--sgemm", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    task = "inference" if args.inference else "training"
    if args.sgemm:
        print(sgemm_peak())
    elif args.serve:
        serve(CONTESTANTS[args.serve](args.recipe, args.batch_size), task)
    else:
        text = table(*compare(args, task), args, task)
        print(text)
        if args.write:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{task}-{args.recipe}-{args.batch_size}.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
