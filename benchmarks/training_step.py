"""One training step of AlexNet, minicnn beside PyTorch: seconds, peak memory, share of the machine's own matrix product.

    python benchmarks/training_step.py                       # the paper's single column at batch 128
    python benchmarks/training_step.py --recipe towers --rounds 7

Each library runs in a process of its own, so that its peak memory is its own; the two take turns, step by step, so that a
machine that slows down slows both. PyTorch runs eagerly, as people run it. Both do the same: forward, loss, backward
without the gradient of the images, SGD with momentum and weight decay, on random images in float32.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]


class Minicnn:
    """The network of examples/alexnet.py, trained by minicnn."""

    def __init__(self, recipe, batch):
        from alexnet import RECIPES, alexnet
        from minicnn import SGD, SoftmaxCrossEntropy, blas, trace

        net = alexnet(recipe, num_classes=1000, init="he")
        size = RECIPES[recipe].input_size
        images, self.labels = data(batch, size)
        self.images, self.net, self.loss = images, net, SoftmaxCrossEntropy()
        self.optimiser = SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
        rows = trace(net, images.shape).rows
        self.facts = {"version": blas.describe(), "flop": 2 * (3 * sum(r.macs for r in rows) - rows[0].macs)}

    def step(self):
        self.optimiser.zero_grad()
        self.loss(self.net(self.images), self.labels)
        self.net.backward(self.loss.backward(), need_dx=False)
        self.optimiser.step()


class PyTorch:
    """The same network, trained by PyTorch as people run it."""

    def __init__(self, recipe, batch):
        import torch

        from alexnet import RECIPES, alexnet

        self.net = torch.nn.Sequential(*(torch_layer(layer) for layer in alexnet(recipe, num_classes=1000, init="he")))
        images, labels = data(batch, RECIPES[recipe].input_size)
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimiser = torch.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        self.facts = {"version": f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"}

    def step(self):
        self.optimiser.zero_grad()
        self.loss(self.net(self.images), self.labels).backward()
        self.optimiser.step()


CONTESTANTS = {"minicnn": Minicnn, "PyTorch": PyTorch}


def torch_layer(layer):
    """PyTorch's layer for one of ours; its LRN divides alpha by the size."""
    from torch import nn

    kind, window = type(layer).__name__, getattr(layer, "window", None)
    if kind == "Conv2d":
        return nn.Conv2d(layer.in_channels, layer.out_channels, window.kernel, window.stride,
                         (window.rows.before, window.columns.before), groups=layer.groups)
    if kind == "MaxPool2d":
        return nn.MaxPool2d(window.kernel, window.stride, ceil_mode=window.rows.ceil_mode)
    if kind == "LRN":
        alpha = layer.alpha * (layer.size if layer.alpha_mode == "sum" else 1)
        return nn.LocalResponseNorm(layer.size, alpha, layer.beta, layer.k)
    if kind == "Linear":
        return nn.Linear(layer.in_features, layer.out_features)
    return {"ReLU": nn.ReLU, "Flatten": nn.Flatten, "Dropout": lambda: nn.Dropout(layer.p)}[kind]()


def data(batch, size):
    """Random images (N, 3, size, size) and labels (N,)."""
    import numpy as np

    random = np.random.default_rng(0)
    return random.standard_normal((batch, 3, size, size), np.float32), random.integers(0, 1000, batch)


def serve(contestant):
    """A contestant's own process: one step for every line on standard input, its seconds and peak memory as an answer."""
    print(json.dumps(contestant.facts), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        contestant.step()
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        print(json.dumps({"seconds": seconds, "peak": peak}), flush=True)


def sgemm_peak(size=4096):
    """FLOP/s of the machine's own float32 matrix product on all threads, the best of five."""
    import numpy as np

    a, b = (np.random.default_rng(i).standard_normal((size, size), np.float32) for i in range(2))
    times = []
    for _ in range(6):
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times)


class Child:
    """A contestant in its process."""

    def __init__(self, name, args):
        command = [sys.executable, __file__, "--serve", name, "--recipe", args.recipe, "--batch-size", str(args.batch_size)]
        # OpenBLAS knows this processor better than a variable left in the environment does
        environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.facts = json.loads(self.process.stdout.readline())
        self.answers = []

    def step(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.answers.append(json.loads(self.process.stdout.readline()))

    def close(self):
        self.process.communicate()


def compare(args):
    """Let the contestants take turns, and print the table."""
    children = {name: Child(name, args) for name in CONTESTANTS}
    for round_number in range(args.rounds + 1):  # the first warms up
        for child in children.values():
            time.sleep(0.5)  # the other's threads stop spinning
            child.step()
        print(f"round {round_number} of {args.rounds}", end="\r", file=sys.stderr)
    for child in children.values():
        child.close()
    probe = "import sys; sys.path.insert(0, sys.argv[1]); import training_step; print(training_step.sgemm_peak())"
    environment = {key: value for key, value in os.environ.items() if key != "OPENBLAS_CORETYPE"}
    peak = float(subprocess.run([sys.executable, "-c", probe, str(Path(__file__).parent)], env=environment, check=True,
                                capture_output=True, text=True).stdout)
    print(table(children, peak, args))


def table(children, peak, args):
    """The result as Markdown."""
    flop = children["minicnn"].facts["flop"]
    base = median(children["PyTorch"])
    lines = [f"`{args.recipe}`, batch {args.batch_size}, float32, {args.rounds} rounds; {machine()}; "
             f"sgemm 4096³ {peak / 1e9:.0f} GFLOP/s", "",
             "| | step, median (min–max) | ÷ PyTorch | peak memory | GFLOP/s | share of sgemm |",
             "|---|---|---|---|---|---|"]
    for name, child in children.items():
        seconds = [answer["seconds"] for answer in child.answers[1:]]
        middle, memory = median(child), child.answers[-1]["peak"] / 1e9
        cells = (f"{name} ({child.facts['version']})", f"{middle:.2f} s ({min(seconds):.2f}–{max(seconds):.2f})",
                 f"{middle / base:.2f}", f"{memory:.2f} GB", f"{flop / middle / 1e9:.0f}", f"{flop / middle / peak:.0%}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def median(child):
    return statistics.median(answer["seconds"] for answer in child.answers[1:])


def machine():
    """The processor's name and the number of usable cores."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        name = next((line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines()
                     if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="paper", choices=["paper", "towers", "caffe", "caffenet", "torchvision"])
    parser.add_argument("--batch-size", type=int, default=128, help="images in a step (default 128)")
    parser.add_argument("--rounds", type=int, default=5, help="measured steps of each, after one to warm up (default 5)")
    parser.add_argument("--serve", choices=CONTESTANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(CONTESTANTS[args.serve](args.recipe, args.batch_size))
    else:
        compare(args)


if __name__ == "__main__":
    main()
