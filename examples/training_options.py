"""The options of train_alexnet.py, and the settings that follow from them."""

import argparse
import os

from alexnet import RECIPES
from minicnn.errors import FileError
from minicnn.training.command import EXIT_CODES, Parser, UsageError, number

# What decides the result, and is kept in every checkpoint. A run on one's own images starts from COMMON and OWN.
COMMON = {"data": None, "recipe": "paper", "init": "he", "seed": 0, "batch_size": 50, "lr": 0.01, "momentum": 0.9,
          "weight_decay": 5e-4, "mirror": True, "lighting": 0.0, "noise": 0.0}
OWN = {"width": 1.0, "epochs": 30}
SHAPES = {"width": 0.25, "dropout": 0.1, "batch_size": 32, "epochs": 8, "train_images": 2700, "val_images": 480}
DROPS = (0.6, 0.85)  # after these shares of the epochs the learning rate is divided by ten

# What each setting may be, as an option and in a checkpoint.
NUMBERS = {
    "width": number(float, 0, most=4, above=True), "epochs": number(int, 1), "batch_size": number(int, 1),
    "lr": number(float, 0, above=True), "momentum": number(float, 0, below=1), "weight_decay": number(float, 0),
    "dropout": number(float, 0, below=1), "lighting": number(float, 0), "noise": number(float, 0), "seed": number(int, 0)}
COUNTS = {"train_images": number(int, 1, most=10**6), "val_images": number(int, 1, most=10**6)}  # of shapes
MILESTONE = number(int, 0)
INITS = ("he", "published")

EVALUATING = {"evaluate", "resume", "data", "backend", "threads", "workers", "ten_crop"}  # what goes together

RECIPE_LIST = "\n".join(f"  {recipe.name:<12} {recipe.description}" for recipe in RECIPES.values())
DESCRIPTION = "Train an AlexNet on the images of a folder, or, without any argument, on shapes drawn by the library."
EPILOG = f"""examples:
  python examples/train_alexnet.py                            three minutes, shapes drawn by the library
  python examples/train_alexnet.py --data my_images/          your images, full width
  python examples/train_alexnet.py --data my_images/ --dry-run   see everything, train two batches, keep nothing
  python examples/train_alexnet.py --resume                   go on with the newest run, at the batch where it stopped
  python examples/train_alexnet.py --resume runs/alexnet-2    go on with this one
  python examples/train_alexnet.py --resume runs/alexnet/best.npz --out runs/branch   go on from here in another folder
  python examples/train_alexnet.py --evaluate --resume runs/alexnet --ten-crop

data: DIR/train/<class>/ and DIR/val/<class>/, or DIR/<class>/ of which a fifth is held out, or the files of MNIST,
Fashion-MNIST or CIFAR-10. Broken images are named, left out and counted.

a run's folder holds config.json, metrics.csv (a row an epoch), last.npz, best.npz (highest validation top-1), and
pictures: curves, filters, predictions, confusion, maps (an image on its way through the network), patches (of images
that excite units of the last convolution most), neighbours (images that the network takes for alike).

recipes (--recipe):
{RECIPE_LIST}

on a GPU (--backend cupy): pip install -e ".[cupy]" brings CuPy and what it needs of CUDA; the driver, for CUDA 12 or
later, has to be there. If something is missing, or a batch is too large, one line says so. It was verified without a
GPU, and has not run on a real one yet: python benchmarks/gpu.py tests and measures all of it there.

{EXIT_CODES}"""


def parse(arguments):
    """The options that the user gave, as a dict; those not given are not in it."""
    parser = Parser(description=DESCRIPTION, epilog=EPILOG)
    add_decisive_options(parser)
    add_other_options(parser)
    given = vars(parser.parse_args(arguments))
    beside = [f"--{key.replace('_', '-')}" for key in given if key not in EVALUATING]
    if "evaluate" in given and beside:
        raise UsageError(f"--evaluate only measures: leave out {', '.join(beside).replace('--mirror', '--no-mirror')}")
    return given


def add_decisive_options(parser):
    """Those that decide the result."""
    what = parser.add_argument_group("what to train")
    what.add_argument("--data", metavar="DIR", help="folder of images (default: draw shapes)")
    what.add_argument("--recipe", choices=sorted(RECIPES), help="which AlexNet (default: paper)")
    what.add_argument("--width", type=NUMBERS["width"], metavar="W",
                      help="factor on the channels, up to 4 (default: 1; 0.25 for shapes)")
    what.add_argument("--init", choices=INITS,
                      help="he: He-normal weights and pixels of unit variance, which learns on small data sets (default); "
                           "published: all as in the recipe: weights, pixels, batch size, 90 epochs, rates and when they "
                           "drop, made for a million images")
    how = parser.add_argument_group("how", "flowers17, and every recipe with --init published, has its own batch size, "
                                           "learning rate, momentum and weight decay")
    how.add_argument("--epochs", type=NUMBERS["epochs"], metavar="N",
                     help="default: 30; 8 for shapes; 90 with --init published. With --resume: go on until N are finished; "
                          "the learning rate drops where it was to drop")
    how.add_argument("--batch-size", type=NUMBERS["batch_size"], metavar="N", help="default: 50; 32 for shapes")
    how.add_argument("--lr", type=NUMBERS["lr"], metavar="X",
                     help="learning rate (default: 0.01), divided by 10 after 60 %% and 85 %% of the epochs; with --init "
                          "published after the recipe's epochs, unless --epochs is given, or, if it names none, when "
                          "validation stalls")
    how.add_argument("--momentum", type=NUMBERS["momentum"], metavar="X",
                     help="default: 0.9; Adam, with which flowers17 is trained, has none")
    how.add_argument("--weight-decay", type=NUMBERS["weight_decay"], metavar="X", help="default: 0.0005")
    how.add_argument("--dropout", type=NUMBERS["dropout"], metavar="P",
                     help="share of the hidden dense units that a step leaves out (default: the recipe's, 0.4 for flowers17 "
                          "and else 0.5, which a thin network cannot afford: 0.1 for shapes)")
    how.add_argument("--no-mirror", dest="mirror", action="store_false",
                     help="do not mirror images at random: for digits, and whatever else has a left and a right")
    how.add_argument("--lighting", type=NUMBERS["lighting"], metavar="STD",
                     help="vary colours along their principal components; the paper uses 0.1 (default: 0)")
    how.add_argument("--noise", type=NUMBERS["noise"], metavar="STD", help="add Gaussian noise to the pixels (default: 0)")
    how.add_argument("--seed", type=NUMBERS["seed"], metavar="N", help="of everything random (default: 0)")


def add_other_options(parser):
    """Those that do not."""
    where = parser.add_argument_group("where and with what")
    where.add_argument("--backend", choices=["numpy", "cupy"], help="CPU or GPU (default: numpy); see below")
    where.add_argument("--threads", type=number(int, 1), metavar="N",
                       help="CPU threads; the result does not depend on it (default: all)")
    where.add_argument("--workers", type=number(int, 1), metavar="N",
                       help="threads that decode images (default: all cores to look at every image first, then 2)")
    where.add_argument("--out", metavar="DIR", help="folder of the run (default: runs/alexnet, runs/alexnet-2, ...)")
    instead = parser.add_argument_group("going on, and other uses")
    instead.add_argument("--resume", nargs="?", const="", metavar="PATH",
                         help="go on with a run: its folder or checkpoint (default: --out, or the newest under runs/); with "
                              "--out, go on in that new folder and leave the run as it is")
    instead.add_argument("--evaluate", action="store_true",
                         help="only measure: the run's best.npz, or the checkpoint given, on the validation images")
    instead.add_argument("--ten-crop", action="store_true",
                         help="average over four corners, the centre, and their mirror images, at the end or to evaluate")
    instead.add_argument("--dry-run", action="store_true",
                         help="train two batches, try a checkpoint where it is to be written, leave nothing behind")


def settings_of(given, checkpoint):
    """The settings that decide the result: those of the checkpoint, or the defaults and what was given.

    Raises
    ------
    UsageError
        Options that conflict with the checkpoint or with each other.
    FileError
        The checkpoint's settings are not this program's.
    """
    decisive = {key: value for key, value in given.items() if key in COMMON or key in NUMBERS}
    if "data" in decisive:
        decisive["data"] = os.path.abspath(decisive["data"])
    settings = fresh_settings(decisive) if checkpoint is None else {**checked_settings(checkpoint), **decisive}
    if "momentum" in given and RECIPES[settings["recipe"]].optimiser == "adam":
        raise UsageError(f"--momentum: {settings['recipe']} is trained with Adam, which has none")
    for key in decisive.keys() - {"data", "epochs"} if checkpoint is not None else ():
        made_with = checkpoint.state["config"][key]
        if made_with != decisive[key]:
            option = "--no-mirror" if key == "mirror" else f"--{key.replace('_', '-')} {decisive[key]}"
            made_with = "mirrored images" if key == "mirror" else made_with
            raise UsageError(f"{option} conflicts with {checkpoint.path}, which was made with {made_with}: leave the option "
                             "out, or start a new run")
    if "epochs" in given and checkpoint is not None and given["epochs"] < checkpoint.state["epoch"]:
        raise UsageError(f"--epochs {given['epochs']}: {checkpoint.path} has finished {checkpoint.state['epoch']} already")
    return settings


def fresh_settings(decisive):
    recipe = RECIPES[decisive.get("recipe", COMMON["recipe"])]
    published = decisive.get("init") == "published"
    settings = {**COMMON, "dropout": recipe.dropout, **(OWN if "data" in decisive else SHAPES)}
    if published or recipe.optimiser == "adam":
        settings |= {key: getattr(recipe, key) for key in ("batch_size", "lr", "momentum", "weight_decay")}
    if published:
        settings["epochs"] = recipe.epochs
    settings |= decisive
    milestones = sorted({round(share * settings["epochs"]) for share in DROPS})
    if published and ("epochs" not in decisive or not recipe.milestones):  # without any: when validation stalls
        milestones = list(recipe.milestones)
    return {**settings, "milestones": milestones}


def checked_settings(checkpoint):
    """The settings in a checkpoint, if they are what this program writes in every name, type and range."""
    settings = checkpoint.state["config"]
    wanted = {**COMMON, **OWN, "dropout": None, "milestones": None, **(COUNTS if settings.get("data") is None else {})}
    for key in sorted(wanted.keys() ^ settings.keys()):
        raise FileError(f"{checkpoint.path} was not made by this program: its settings "
                        f"{'lack' if key in wanted else 'have an unknown'} '{key}'")
    for key, value in settings.items():
        if not _is_valid(key, value):
            raise FileError(f"{checkpoint.path} was not made by this program: its setting '{key}' is {value!r}")
    return settings


def _is_valid(key, value):
    if key == "data":
        return value is None or isinstance(value, str)
    if key == "mirror":
        return isinstance(value, bool)
    if key == "milestones":
        return isinstance(value, list) and all(_passes(MILESTONE, milestone) for milestone in value)
    if key in ("recipe", "init"):
        return isinstance(value, str) and value in (RECIPES if key == "recipe" else INITS)
    return _passes({**NUMBERS, **COUNTS}[key], value)


def _passes(check, value):
    """Would it do as an option? Texts, truth values and lists look otherwise than numbers in `repr`."""
    try:
        check(repr(value))
    except argparse.ArgumentTypeError:
        return False
    return True
