"""All there is to say about minicnn on a GPU, in one command: whether it is right, and then how fast.

    pip install -e ".[cupy,test,bench]"     # CuPy with what it needs of CUDA, pytest, and PyTorch to compare with
    python benchmarks/gpu.py                # the results are kept in benchmarks/results/
    python benchmarks/gpu.py --dry-run      # without a GPU: does all of this run? on the CPU that plays one, in small

Each part is a command by itself: the tests with --backend cupy; agreement.py, a narrow and the full AlexNet step by step
beside the CPU; versus.py --gpu, a training step beside PyTorch's; profile_step.py --gpu, where its time goes, by layer and
by kernel; kernels.py, each kernel against the memory's and cuBLAS's best. A part that fails says so in its place, and the
others go on; what is done is kept at once, also if Ctrl-C ends it. Ends with 1 if a part failed.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from contestants import ROOT
from gpu_machine import Gpu, add_flags
from machine import RESULTS

HERE = Path(__file__).parent


def parts(args):
    """(title, command) in order."""
    dry, step = ["--dry-run"] * args.dry_run, ["--recipe", args.recipe, "--batch-size", str(args.batch_size)]
    pytest = ["-m", "pytest", "-q", "--backend", "cupy"]
    if args.dry_run:
        pytest = ["-m", "pytest", "-q", "--backend", "cuda_on_cpu", "tests/test_relu.py"]
    yield "Tests", pytest
    yield "Agreement with the CPU", [HERE / "agreement.py", "--recipe", args.recipe, *dry]
    yield "Beside PyTorch", [HERE / "versus.py", "--gpu", *step, *dry]
    yield "Where the time goes", [HERE / "profile_step.py", "--gpu", *step, *dry]
    yield "Where the time goes, with TF32", [HERE / "profile_step.py", "--gpu", "--tf32", *step, *dry]
    yield "Kernels", [HERE / "kernels.py", "--batch-size", str(args.batch_size), *dry]


def run(title, command, is_tests):
    """(its section of the report, did it end well?)"""
    print(f"--- {title}", file=sys.stderr)
    done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode:
        lines = [*lines[-40:], *done.stderr.strip().splitlines()[-20:], f"FAILED with {done.returncode}"]
    elif is_tests:
        lines = lines[-1:]
    return "\n".join([f"## {title}", "", *lines, ""]), done.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="paper", choices=["paper", "towers", "caffe", "caffenet", "torchvision"])
    parser.add_argument("--batch-size", type=int, default=128, help="images in a step (default 128)")
    add_flags(parser)
    args = parser.parse_args()
    name = Gpu(args.dry_run).describe()
    report, good = [f"# {name}\n"], True
    for title, command in parts(args):
        section, well = run(title, command, title == "Tests")
        print(section, flush=True)
        report.append(section)
        good = good and well
        if not args.dry_run:
            keep(name, report)
    sys.exit(not good)


def keep(name, report):
    slug = re.sub(r"\W+", "-", name.partition(",")[0]).strip("-").lower()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"gpu-{slug}.md").write_text("\n".join(report), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; the parts that were through are kept")
