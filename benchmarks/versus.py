"""AlexNet in minicnn beside PyTorch, ONNX Runtime, Chainer and DeZero, where they are installed: seconds, memory, GFLOP/s.

    python benchmarks/versus.py                        # a training step of the single column at batch 128
    python benchmarks/versus.py --recipe torchvision --inference
    python benchmarks/versus.py --best                 # also PyTorch with channels last, compiled, and both
    python benchmarks/versus.py --best --write         # and keep the table in benchmarks/results/
    python benchmarks/versus.py --gpu                  # minicnn and PyTorch on a GPU, in float32 and in TF32

Each contestant runs in a process of its own, so that its peak memory is its own; they take turns, step by step (of short
steps half a second), so that a machine that slows down slows all of them. All do the same arithmetic in float32 on all
cores. On a GPU they come one after the other, so that each has all of its memory; a step ends when the GPU has done it, and
memory is what the library has taken from the GPU. Ends with 1 if one of them failed.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
import traceback

import contestants_gpu
from contestants import CONTESTANTS, can_run
from gpu_machine import Gpu, add_flags
from machine import ENVIRONMENT, RESULTS, describe, sgemm_peak

TURN = 0.5  # seconds: short steps are repeated, so that caches and threads are as warm as in a loop of such steps


def serve(args, task):
    """A contestant's own process: a turn for every line on standard input, seconds a step and peak memory as an answer.

    An error, such as a GPU that is too small, is an answer too: the others go on.
    """
    try:
        take_turns(make(args), task)
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"}), flush=True)


def take_turns(contestant, task):
    print(json.dumps(contestant.facts), flush=True)
    for _ in sys.stdin:
        seconds = [timed(getattr(contestant, task))]
        while sum(seconds) < TURN:
            seconds.append(timed(getattr(contestant, task)))
        peak = getattr(contestant, "peak", resident)()
        print(json.dumps({"seconds": statistics.median(seconds), "peak": peak}), flush=True)


def resident():
    """The most bytes of memory that this process has ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Child:
    """A contestant in its process."""

    def __init__(self, name, args, task):
        command = [sys.executable, __file__, "--serve", name, "--recipe", args.recipe, "--batch-size", str(args.batch_size)]
        command += ["--inference"] * (task == "inference") + gpu_flags(args)
        self.name, self.error, self.seconds, self.peak = name, "", [], 0
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        self.facts = self._answer()

    def step(self):
        if self.error:
            return
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self._answer()
        if not self.error:
            self.seconds.append(answer["seconds"])
            self.peak = answer["peak"]

    def _answer(self):
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"ended with {self.process.wait()}"}
        self.error = answer.get("error", "")
        return answer

    @property
    def median(self):
        return statistics.median(self.seconds)


def compare(args, task):
    """Let the contestants take turns, or on a GPU, which may hold only one of them, one after the other.

    Returns [Child], and what `probe` says.
    """
    machine = measured_machine(args)
    names = [name for name, racer in racers(args).items()
             if can_run(racer, args.recipe, task) and (args.gpu or args.best or "," not in name)]
    children = [child for group in (zip(names) if args.gpu else [names]) for child in race(group, args, task)]
    return children, machine


def measured_machine(args):
    """What `probe` says, in a process of its own; the end of the program where that fails, as it does without a GPU."""
    command = [sys.executable, __file__, "--probe", *gpu_flags(args)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else sys.exit(done.stderr.strip())


def race(names, args, task):
    """Children of these names, that have taken all their turns."""
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
    return children


def racers(args):
    """{name: contestant}"""
    if not args.gpu:
        return CONTESTANTS
    missing = contestants_gpu.pytorch_is_missing(args.dry_run)
    return {name: racer for name, racer in contestants_gpu.CONTESTANTS.items() if not (missing and racer.package == "torch")}


def gpu_flags(args):
    return ["--gpu"] * args.gpu + ["--dry-run"] * args.dry_run


def make(args):
    """The contestant that this process serves; in a dry run, a thin one."""
    if not args.gpu:
        return CONTESTANTS[args.serve](args.recipe, args.batch_size)
    Gpu(args.dry_run)
    racer = contestants_gpu.CONTESTANTS[args.serve]
    return racer(args.recipe, args.batch_size, **({"width": 1 / 32} if args.dry_run else {}))


def probe(args):
    """(the machine, FLOP/s of its own matrix product)"""
    if args.gpu:
        gpu = Gpu(args.dry_run)
        return gpu.describe(), gpu.sgemm_peak()
    return describe(), sgemm_peak()


def times(child, in_ms):
    """"median (min–max)" of its steps."""
    scale, form, unit = (1e3, ".2f", "ms") if in_ms else (1, ".3f", "s")
    median, least, most = (f"{scale * value:{form}}" for value in (child.median, min(child.seconds), max(child.seconds)))
    return f"{median} {unit} ({least}–{most})"


def table(children, machine, args, task):
    """The result as Markdown."""
    name, peak = machine
    well = [child for child in children if not child.error]
    flop = next((child.facts[task] for child in well if task in child.facts), 0)
    eager = next((child.median for child in well if child.name == "PyTorch"), None)
    lines = [f"{task}, `{args.recipe}`, batch {args.batch_size}, float32, {args.rounds} rounds; {name}; "
             f"sgemm 4096³ {peak / 1e9:.0f} GFLOP/s", "",
             "| | median (min–max) | ÷ PyTorch | peak memory | GFLOP/s | share of sgemm |", "|---|---|---|---|---|---|"]
    for child in well:
        rate = flop / child.median
        cells = (f"{child.name} ({child.facts['version']})", times(child, args.gpu),
                 f"{child.median / eager:.2f}" if eager else "", f"{child.peak / 1e9:.2f} GB", f"{rate / 1e9:.0f}",
                 f"{rate / peak:.0%}")
        lines.append("| " + " | ".join(cells) + " |")
    lines += [f"| {child.name} | failed | | | | |" for child in children if child.error]
    lines += ["", *(f"{child.name} failed: {child.error}" for child in children if child.error)]
    if args.gpu and (missing := contestants_gpu.pytorch_is_missing(args.dry_run)):
        lines.append(f"Without PyTorch: {missing}")
    return "\n".join(lines).rstrip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="paper", choices=["paper", "towers", "caffe", "caffenet", "torchvision"])
    parser.add_argument("--batch-size", type=int, default=128, help="images in a step (default 128)")
    parser.add_argument("--rounds", type=int, default=5, help="measured steps of each, after one to warm up (default 5)")
    parser.add_argument("--inference", action="store_true", help="the forward pass alone, in evaluation mode")
    parser.add_argument("--best", action="store_true", help="PyTorch's faster ways as well; compiling takes minutes")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    parser.add_argument("--gpu", action="store_true", help="on a GPU")
    add_flags(parser)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    task = "inference" if args.inference else "training"
    args.batch_size = 2 if args.dry_run else args.batch_size
    if args.probe:
        print(json.dumps(probe(args)))
    elif args.serve:
        serve(args, task)
    else:
        children, machine = compare(args, task)
        text = table(children, machine, args, task)
        print(text)
        if args.write and not args.dry_run:
            RESULTS.mkdir(exist_ok=True)
            name = f"{'gpu-' * args.gpu}{task}-{args.recipe}-{args.batch_size}.md"
            (RESULTS / name).write_text(text + "\n", encoding="utf-8")
        sys.exit(any(child.error for child in children))


if __name__ == "__main__":
    main()
