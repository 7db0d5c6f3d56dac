"""The options of train_alexnet.py, and the settings that follow from them."""

import os

from alexnet import RECIPES
from minicnn.training.command import EXIT_CODES, Parser, UsageError, number

# What decides the result, and is kept in every checkpoint. A run on one's own images starts from COMMON and OWN.
COMMON = {"data": None, "recipe": "paper", "init": "he", "seed": 0, "batch_size": 50, "lr": 0.01, "momentum": 0.9,
          "weight_decay": 5e-4, "mirror": True, "lighting": 0.0, "noise": 0.0}
OWN = {"width": 1.0, "epochs": 30}
SHAPES = {"width": 0.25, "dropout": 0.1, "batch_size": 32, "epochs": 8, "train_images": 3000, "val_images": 480}
DROPS = (0.6, 0.85)  # after these shares of the epochs the learning rate is divided by ten

RECIPE_LIST = "\n".join(f"  {recipe.name:<12} {recipe.description}" for recipe in RECIPES.values())
DESCRIPTION = "Train an AlexNet on the images of a folder, or, without any argument, on shapes drawn by the library."
EPILOG = f"""examples:
  python examples/train_alexnet.py                            three minutes, shapes drawn by the library
  python examples/train_alexnet.py --data my_images/          your images, full width
  python examples/train_alexnet.py --data my_images/ --dry-run   see everything, train two batches, keep nothing
  python examples/train_alexnet.py --resume                   go on with the newest run, at the batch where it stopped
  python examples/train_alexnet.py --resume runs/alexnet-2    go on with this one
  python examples/train_alexnet.py --evaluate --resume runs/alexnet --ten-crop

data: DIR/train/<class>/ and DIR/val/<class>/, or DIR/<class>/ of which a fifth is held out, or the files of MNIST,
Fashion-MNIST or CIFAR-10. Broken images are named, left out and counted.

a run's folder holds config.json, metrics.csv (a row an epoch), last.npz, best.npz (highest validation top-1),
curves.png, filters.png and predictions.png.

recipes (--recipe):
{RECIPE_LIST}

{EXIT_CODES}"""


def parse(arguments):
    """The options that the user gave, as a dict; those not given are not in it."""
    parser = Parser(description=DESCRIPTION, epilog=EPILOG)
    add_decisive_options(parser)
    add_other_options(parser)
    return vars(parser.parse_args(arguments))


def add_decisive_options(parser):
    """Those that decide the result."""
    what = parser.add_argument_group("what to train")
    what.add_argument("--data", metavar="DIR", help="folder of images (default: draw shapes)")
    what.add_argument("--recipe", choices=sorted(RECIPES), help="which AlexNet (default: paper)")
    what.add_argument("--width", type=number(float, 0, above=True), metavar="W",
                      help="share of the channels (default: 1; 0.25 for shapes)")
    what.add_argument("--init", choices=["he", "published"],
                      help="he: He-normal weights and pixels of unit variance, which learns on small data sets (default); "
                           "published: the recipe's own weights, pixels, batch size and rates, made for a million images")
    how = parser.add_argument_group("how")
    how.add_argument("--epochs", type=number(int, 1), metavar="N", help="default: 30; 8 for shapes")
    how.add_argument("--batch-size", type=number(int, 1), metavar="N", help="default: 50; 32 for shapes")
    how.add_argument("--lr", type=number(float, 0, above=True), metavar="X",
                     help="learning rate, divided by 10 after 60 %% and 85 %% of the epochs (default: 0.01)")
    how.add_argument("--momentum", type=number(float, 0, below=1), metavar="X", help="default: 0.9")
    how.add_argument("--weight-decay", type=number(float, 0), metavar="X", help="default: 0.0005")
    how.add_argument("--dropout", type=number(float, 0, below=1), metavar="P",
                     help="share of the hidden dense units that a step leaves out (default: the recipe's 0.5, which a thin "
                          "network cannot afford: 0.1 for shapes)")
    how.add_argument("--no-mirror", dest="mirror", action="store_false",
                     help="do not mirror images at random: for digits, and whatever else has a left and a right")
    how.add_argument("--lighting", type=number(float, 0), metavar="STD",
                     help="vary colours along their principal components; the paper uses 0.1 (default: 0)")
    how.add_argument("--noise", type=number(float, 0), metavar="STD", help="add Gaussian noise to the pixels (default: 0)")
    how.add_argument("--seed", type=number(int, 0), metavar="N", help="of everything random (default: 0)")


def add_other_options(parser):
    """Those that do not."""
    where = parser.add_argument_group("where and with what")
    where.add_argument("--backend", choices=["numpy", "cupy"], help="CPU or GPU (default: numpy)")
    where.add_argument("--threads", type=number(int, 1), metavar="N",
                       help="CPU threads; the result does not depend on it (default: all)")
    where.add_argument("--workers", type=number(int, 1), metavar="N", help="threads that decode images (default: 2)")
    where.add_argument("--out", metavar="DIR", help="folder of the run (default: runs/alexnet, runs/alexnet-2, ...)")
    instead = parser.add_argument_group("going on, and other uses")
    instead.add_argument("--resume", nargs="?", const="", metavar="PATH",
                         help="go on with a run: its folder or checkpoint (default: --out, or the newest under runs/)")
    instead.add_argument("--evaluate", action="store_true",
                         help="only measure: the run's best.npz, or the checkpoint given, on the validation images")
    instead.add_argument("--ten-crop", action="store_true",
                         help="average over four corners, the centre, and their mirror images, at the end or to evaluate")
    instead.add_argument("--dry-run", action="store_true", help="train two batches, try a checkpoint, leave nothing behind")


def settings_of(given, checkpoint):
    """The settings that decide the result: those of the checkpoint, or the defaults and what was given."""
    decisive = {key: value for key, value in given.items() if key in COMMON or key in OWN or key == "dropout"}
    if "data" in decisive:
        decisive["data"] = os.path.abspath(decisive["data"])
    if checkpoint is None:
        return fresh_settings(decisive)
    settings = checkpoint.state["config"]
    for key, value in decisive.items():
        if key not in ("data", "epochs") and settings[key] != value:
            raise UsageError(f"--{key.replace('_', '-')} {value} conflicts with {checkpoint.path}, which was made with "
                             f"{settings[key]}: leave the option out, or start a new run")
    return {**settings, **decisive}


def fresh_settings(decisive):
    recipe = RECIPES[decisive.get("recipe", COMMON["recipe"])]
    published = decisive.get("init") == "published"
    settings = {**COMMON, "dropout": recipe.dropout, **(OWN if "data" in decisive else SHAPES)}
    if published or recipe.optimiser == "adam":
        settings |= {key: getattr(recipe, key) for key in ("batch_size", "lr", "momentum", "weight_decay")}
    if published:
        settings["epochs"] = recipe.epochs
    settings |= decisive
    drops = recipe.milestones if published else [round(share * settings["epochs"]) for share in DROPS]
    return {**settings, "milestones": list(drops)}
