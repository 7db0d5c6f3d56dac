"""The four algorithms of a convolution side by side: time, memory and rounding against kernel, channels and resolution.

    python benchmarks/convolutions.py                # tables, and examples/pictures/convolutions.png
    python benchmarks/convolutions.py --check        # is what algorithm="auto" picks the fastest? on a grid of shapes
    python benchmarks/convolutions.py --check --json grid.jsonl     # and every time measured, one shape a line

Time is that of forward and backward, the median of some rounds in which the algorithms take turns, so that a machine that
slows down slows all of them. Memory is the most that a process of its own ever had, beside x, w, y and the gradients.
Rounding is ‖e‖/‖exact‖, in float32 against float64, the largest of y, dx and dw. All of it on all cores.
"""

import argparse
import itertools
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

from contestants import ROOT
from machine import ENVIRONMENT, describe

PICTURE = ROOT / "examples" / "pictures" / "convolutions.png"


class Shape(NamedTuple):
    """A convolution with padding kernel // 2."""

    images: int
    channels: int
    side: int
    channels_out: int
    kernel: int
    stride: int = 1
    groups: int = 1

    def __str__(self):
        n, c, side, o, kernel, stride, groups = self
        more = f", stride {stride}" * (stride > 1) + f", groups {groups}" * (groups > 1)
        return f"{n} × {c} × {side}² → {o}, {kernel}×{kernel}{more}"

    @property
    def macs(self):
        """Multiply-adds of forward and the two gradients, by the definition."""
        outputs = self.images * self.channels_out * (-(-self.side // self.stride)) ** 2
        return 3 * outputs * self.kernel**2 * self.channels // self.groups


SWEEPS = {
    "kernel": [Shape(16, 64, 28, 64, kernel) for kernel in (1, 3, 5, 7, 9, 11)],
    "channels": [Shape(16, channels, 28, channels, 3) for channels in (4, 8, 16, 32, 64, 128, 256, 512)],
    "resolution": [Shape(16, 64, side, 64, 3) for side in (7, 14, 28, 56, 112)],
}
AXES = {"kernel": "kernel, k×k  (64 → 64 channels, 28 × 28)", "channels": "channels, in and out  (3×3, 28 × 28)",
        "resolution": "pixels a side  (3×3, 64 → 64 channels)"}
STYLES = {"direct": ("FAINT", "s", "--"), "im2col": ("BLUE", "o", "-"), "winograd": ("ORANGE", "^", "-"),
          "fft": ("AMBER", "D", "-")}  # names in minicnn.plots.style, markers, lines
ALEXNET = {  # name: (channels, side, out, kernel, stride) of the single column
    "conv1": (3, 227, 96, 11, 4), "conv2": (96, 27, 256, 5, 1), "conv3": (256, 13, 384, 3, 1), "conv4": (384, 13, 384, 3, 1),
    "conv5": (384, 13, 256, 3, 1)}
OTHERS = [
    Shape(1, 128, 28, 128, 3, groups=128), Shape(16, 128, 28, 128, 3, groups=128), Shape(16, 512, 14, 512, 3, groups=512),
    Shape(4, 32, 112, 32, 3, groups=32), Shape(16, 64, 56, 64, 5, groups=64), Shape(16, 64, 56, 64, 3, stride=2, groups=64),
    Shape(16, 128, 28, 128, 3, groups=32), Shape(16, 64, 28, 64, 3, groups=2), Shape(16, 64, 56, 128, 3, stride=2),
    Shape(16, 64, 56, 128, 1, stride=2), Shape(32, 256, 28, 64, 1), Shape(32, 64, 28, 256, 1),
    Shape(8, 3, 224, 64, 7, stride=2), Shape(8, 3, 224, 64, 3), Shape(1, 64, 224, 64, 3), Shape(1, 16, 512, 16, 3),
    Shape(8, 3, 112, 64, 7), Shape(2, 64, 112, 3, 9)]


def grid():
    """Shapes on which the choice is checked: AlexNet's layers, the sweeps, what else networks have, and a lattice."""
    alexnet = [Shape(n, c, side, o, kernel, stride) for n in (1, 32) for c, side, o, kernel, stride in ALEXNET.values()]
    lattice = [Shape(n, c, side, c, kernel) for n, side, c, kernel in
               itertools.product((1, 16), (8, 14, 28, 56), (4, 16, 64, 256), (1, 2, 3, 4, 5, 7, 11))]
    shapes = [*alexnet, *itertools.chain(*SWEEPS.values()), *OTHERS, *lattice]
    return [shape for shape in dict.fromkeys(shapes) if shape.macs < 4e10]


class Task:
    """A convolution with its arrays: what to time."""

    def __init__(self, shape, dtype="float32"):
        import numpy as np

        from minicnn.backends.numpy import conv
        from minicnn.windows import Window

        n, c, side, o, kernel, stride, self.groups = shape
        self.conv, self.window = conv, Window.make(kernel, stride, kernel // 2)
        y = n, o, *self.window.output_size((side, side))
        self.x, self.w, self.dy = (
            np.random.default_rng(seed).standard_normal(size, "float32").astype(dtype, copy=False)
            for seed, size in enumerate([(n, c, side, side), (o, c // self.groups, kernel, kernel), y]))
        self.algorithms = [name for name, refusal in conv.conv2d_algorithms(self.window).items() if not refusal]
        self.chosen = conv.conv2d_fastest(self.x.shape, o, self.window, self.groups)

    def run(self, algorithm):
        """y, dx and dw."""
        y = self.conv.conv2d(self.x, self.w, None, self.window, self.groups, algorithm)
        return y, *self.conv.conv2d_backward(self.dy, self.x, self.w, self.window, self.groups, False, True, algorithm)[:2]

    def times(self, rounds, hopeless=math.inf):
        """{algorithm: median seconds}; those that at first take `hopeless` times as long as the best are not run again."""
        seconds = {}
        for algorithm in self.algorithms:
            self.run(algorithm)
            seconds[algorithm] = [self.time(algorithm)]
        limit = hopeless * min(first for first, in seconds.values())
        for _ in range(rounds - 1):
            for values in (values for values in seconds.items() if values[1][0] <= limit):
                values[1].append(self.time(values[0]))
        return {algorithm: statistics.median(values) for algorithm, values in seconds.items()}

    def time(self, algorithm):
        start = time.perf_counter()
        self.run(algorithm)
        return time.perf_counter() - start


def rounding(shape):
    """{algorithm: the largest ‖e‖/‖exact‖ of y, dx and dw}, for two images."""
    import numpy as np

    shape = shape._replace(images=2)
    task, exact = Task(shape), Task(shape, "float64").run("im2col")
    return {name: max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(task.run(name), exact))
            for name in task.algorithms}


def memory(shape, algorithm):
    """Bytes beside x, w, y and the gradients, in a process of its own; None if the algorithm cannot do the shape."""
    command = [sys.executable, __file__, "--memory", json.dumps([*shape, algorithm])]
    return json.loads(subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout)


def extra(shape, algorithm):
    """What the process's peak grows by, less the results; a small convolution has loaded the libraries before."""
    task = Task(shape)
    if algorithm not in task.algorithms:
        return None
    Task(shape._replace(images=1, channels=8, channels_out=8, side=16, groups=1)).run(algorithm)
    before = peak()
    results = task.run(algorithm)
    return max(0, peak() - before - sum(array.nbytes for array in results))


def peak():
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(rounds):
    """{sweep: [(Shape, {algorithm: seconds}, {algorithm: bytes}, {algorithm: error}, chosen)]}"""
    every = itertools.chain(*SWEEPS.values())  # memory first: on Linux a process begins with its parent's peak as its own
    sizes = {shape: {algorithm: memory(shape, algorithm) for algorithm in STYLES} for shape in every}
    found = {}
    for name, shapes in SWEEPS.items():
        found[name] = []
        for shape in shapes:
            print(f"{name}: {shape} …      ", end="\r", file=sys.stderr)
            task = Task(shape)
            found[name].append((shape, task.times(rounds), sizes[shape], rounding(shape), task.chosen))
    return found


def tables(found):
    """The measurements as Markdown."""
    lines = [f"Forward and backward, float32; {describe()}; fastest in **bold**, the choice of `auto` with →", ""]
    for name, rows in found.items():
        lines += [f"| {name} | " + " | ".join(STYLES) + " |", "|---" * (len(STYLES) + 1) + "|"]
        for shape, *measured in rows:
            lines.append(f"| {shape} | " + " | ".join(cell(algorithm, *measured) for algorithm in STYLES) + " |")
        lines.append("")
    return "\n".join(lines)


def cell(algorithm, seconds, sizes, errors, chosen):
    if algorithm not in seconds:
        return "—"
    text = f"{1e3 * seconds[algorithm]:.1f} ms"
    text = f"**{text}**" if seconds[algorithm] == min(seconds.values()) else text
    return "→ " * (algorithm == chosen) + f"{text}, {sizes[algorithm] / 2**20:.0f} MiB, {errors[algorithm]:.0e}"


def draw(found, path):
    """Speed and memory against kernel, channels and resolution; rings mark what `auto` picks."""
    from matplotlib.figure import Figure

    from minicnn.plots import style

    figure = Figure(figsize=(13, 7), dpi=110, layout="constrained", facecolor="white")
    panels = figure.subplots(2, 3, sharex="col", sharey="row")
    for (speed, space), (name, rows) in zip(panels.T, found.items()):
        at = [getattr(shape, "side" if name == "resolution" else name) for shape, *_ in rows]
        for algorithm, (colour, marker, line) in STYLES.items():
            points = [(x, shape.macs / seconds[algorithm] / 1e9, sizes[algorithm] / 2**20)
                      for x, (shape, seconds, sizes, *_) in zip(at, rows) if algorithm in seconds]
            places, *values = zip(*points)
            for axes, heights in zip((speed, space), values):
                axes.plot(places, heights, line, color=getattr(style, colour), marker=marker, linewidth=2, label=algorithm)
        speed.plot(at, [shape.macs / seconds[chosen] / 1e9 for shape, seconds, *_, chosen in rows], "o", markersize=13,
                   markerfacecolor="none", markeredgecolor=style.INK, label="auto picks")
        for axes in (speed, space):
            axes.grid(color="#EEEEEE")
            axes.spines[["top", "right"]].set_visible(False)
        if name != "kernel":
            space.set_xscale("log", base=2)
        space.set_xticks(at, [str(x) for x in at])
        space.minorticks_off()
        space.set_xlabel(AXES[name])
    for axes in panels[:, 0]:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    panels[0, 0].set_ylabel("speed: 10⁹ multiply-adds\nof the definition a second")
    panels[1, 0].set_ylabel("memory beside the arrays, MiB")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    figure.savefig(path)


def check(rounds, json_path):
    """Where another algorithm is faster by more than a tenth than what `auto` picks."""
    shapes, losses, lines = grid(), [], []
    for number, shape in enumerate(shapes):
        print(f"{number} of {len(shapes)}: {shape} …      ", end="\r", file=sys.stderr)
        task = Task(shape)
        seconds = task.times(rounds, hopeless=3)
        best = min(seconds, key=seconds.get)
        losses.append(seconds[task.chosen] / seconds[best])
        if json_path:
            with open(json_path, "a") as file:
                print(json.dumps([shape, seconds]), file=file)
        if losses[-1] > 1.1:
            lines.append(f"{shape}: {task.chosen} {1e3 * seconds[task.chosen]:.2f} ms, {best} {1e3 * seconds[best]:.2f} ms: "
                         f"{losses[-1]:.2f} times as long")
    print("\n".join(lines))
    print(f"{len(lines)} of {len(shapes)} shapes take more than 10 % longer than with the best; "
          f"{statistics.geometric_mean(losses):.3f} times as long on average, {max(losses):.2f} at worst; {describe()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare what auto picks with what is fastest")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement (default 5)")
    parser.add_argument("--json", metavar="FILE", help="with --check: append all times to this file")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        *shape, algorithm = json.loads(args.memory)
        print(json.dumps(extra(Shape(*shape), algorithm)))
    elif args.check:
        check(args.rounds, args.json)
    else:
        found = measure(args.rounds)
        print(tables(found))
        draw(found, PICTURE)


if __name__ == "__main__":
    main()
