"""Train an AlexNet on the images of a folder, or, without any argument, on shapes drawn by the library."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for a checkout that was never installed

import minicnn
from alexnet import RECIPES, alexnet
from minicnn import PlateauSchedule, StepSchedule, blas, data
from minicnn.training import Checkpoint, Diverged, Interrupted, RunFolder, Trainer, evaluate, progress
from minicnn.training.command import UsageError, run
from minicnn.training.folder import find_checkpoint, new_folder
from minicnn.training.pictures import draw_pictures, first_filters, sample
from minicnn.training.rehearsal import rehearse
from training_options import parse, settings_of


def warn(text):
    print(text, file=sys.stderr, flush=True)


def open_data(settings):
    """Training and validation images."""
    if settings["data"] is not None:
        return data.open_dataset(settings["data"], RECIPES[settings["recipe"]].crop_from, settings["seed"], warn=warn)
    size, seed = RECIPES[settings["recipe"]].crop_from, 2 * settings["seed"]
    return data.Shapes(settings["train_images"], size, seed), data.Shapes(settings["val_images"], size, seed + 1)


class Run:
    """Network, images and trainer, as the settings want them.

    Parameters
    ----------
    settings : dict
        What decides the result.
    given : dict
        The options, of which those that do not decide the result are used here.
    checkpoint : Checkpoint or None
        To go on from; its pixel statistics are used.
    """

    def __init__(self, settings, given, checkpoint):
        self.settings, self.recipe = settings, RECIPES[settings["recipe"]]
        self.workers, self.views = given.get("workers", 2), "ten" if "ten_crop" in given else "centre"
        self.train, self.validation = open_data(settings)
        if checkpoint is not None and checkpoint.state["classes"] != list(self.train.classes):
            raise UsageError(f"{checkpoint.path} was trained on the classes {', '.join(checkpoint.state['classes'])}; "
                             f"these images have {', '.join(self.train.classes)}")
        self.net = alexnet(settings["recipe"], len(self.train.classes), settings["width"], settings["init"],
                           settings["seed"])
        for layer in self.net:
            if isinstance(layer, minicnn.Dropout):
                layer.p = settings["dropout"]
        self.net.seed(settings["seed"])
        self.net.to(given.get("backend", "numpy"))
        self.start = first_filters(self.net)
        if checkpoint is None:
            self.statistics = data.PixelStatistics.fit(self.train, workers=self.workers)
        else:
            self.statistics = data.PixelStatistics.from_state_dict(checkpoint.arrays("statistics"))

    def batches(self, dataset, **how):
        """Batches of a dataset with the run's crops and pixels."""
        pixels = "unit" if self.settings["init"] == "he" else self.recipe.pixels
        return data.Batches(dataset, self.settings["batch_size"], self.recipe.input_size, self.statistics, pixels,
                            seed=self.settings["seed"], workers=self.workers, **how)

    def trainer(self):
        s = self.settings
        if len(self.train) % s["batch_size"] == 1 and any(isinstance(layer, minicnn.BatchNorm1d) for layer in self.net):
            raise UsageError(f"{len(self.train):,} images in batches of {s['batch_size']} leave one over, and one is not "
                             "enough for batch normalisation: choose another --batch-size")
        if self.recipe.optimiser == "adam":
            optimiser = minicnn.Adam(self.net.parameters(), s["lr"], weight_decay=s["weight_decay"])
        else:
            optimiser = minicnn.SGD(self.net.parameters(), s["lr"], s["momentum"], s["weight_decay"])
        augmentation = data.Augmentation(mirror=s["mirror"], lighting=s["lighting"], noise=s["noise"])
        return Trainer(self.net, optimiser, self.batches(self.train, augment=augmentation), self.batches(self.validation),
                       self.schedule(optimiser), config=s, progress=progress.for_terminal())

    def schedule(self, optimiser):
        """At the milestones; the paper has none and waits for the validation error to stall."""
        milestones = self.settings["milestones"]
        return StepSchedule(optimiser, milestones) if milestones else PlateauSchedule(optimiser)

    def describe(self, where):
        s, size = self.settings, self.recipe.input_size
        table = minicnn.trace(self.net, (1, 3, size, size))
        skipped = len(getattr(self.train, "skipped", ())) + len(getattr(self.validation, "skipped", ()))
        print(f"data      {s['data'] or 'shapes drawn by the library'}: {len(self.train):,} training and "
              f"{len(self.validation):,} validation images, {len(self.train.classes)} classes, {skipped} images left out")
        print(f"network   AlexNet '{s['recipe']}', width {s['width']:g}, {s['init']} initialisation: "
              f"{table.parameters:,} parameters, {table.macs:,} multiply-adds an image of {size}×{size}")
        drops = f"after epochs {', '.join(map(str, s['milestones']))}" if s["milestones"] else "when validation stalls"
        print(f"training  {s['epochs']} epochs, batch {s['batch_size']}, learning rate {s['lr']:g} divided by 10 {drops}, "
              f"momentum {s['momentum']:g}, weight decay "
              f"{s['weight_decay']:g}, dropout {s['dropout']:g}, seed {s['seed']}")
        print(f"machine   {self.net.backend}, {blas.describe()}, {minicnn.get_num_threads()} threads")
        print(f"output    {where}", flush=True)
        if blas.advice():
            warn(blas.advice())
        return table

    def measure(self):
        """Print and return the scores on the validation images."""
        found = evaluate(self.net, self.batches(self.validation, views=self.views))
        how = "average of ten crops" if self.views == "ten" else "centre crop"
        print(f"{found.images:,} validation images, {how}: loss {found.loss:.3f}, top-1 {found.top1:.1%}, "
              f"top-5 {found.top5:.1%}")
        return found


def train(run_, given, checkpoint, path, start):
    """The run itself, and what is drawn and said at its end."""
    trainer = run_.trainer()
    with RunFolder(path) as folder:
        trainer.folder = folder
        if checkpoint is not None:
            trainer.restore(checkpoint)
        folder.write_config({**run_.settings, "backend": run_.net.backend, "blas": blas.describe()})
        try:
            history = trainer.fit(run_.settings["epochs"])
        except (Diverged, Interrupted):
            if trainer.history:
                folder.draw_curves(trainer.history)
            raise
        draw_pictures(folder, run_.net, history, run_.batches(sample(run_.validation, 18)), run_.start)
        if "ten_crop" in given:
            run_.measure()
        best = max(history, key=lambda row: row["val_top1"])
        print(f"best      top-1 {best['val_top1']:.1%} after epoch {best['epoch']}")
        if run_.settings["data"] is None:
            linear = data.linear_baseline(run_.train, run_.validation)
            print(f"          a linear classifier on the same pixels reaches {linear:.1%}")
        print(f"finished  in {progress.clock_text(time.monotonic() - start)}; look at {path}/curves.png, filters.png and "
              f"predictions.png")


def main(arguments=None):
    start = time.monotonic()
    given = parse(arguments)
    minicnn.backends.get(given.get("backend", "numpy"))  # the first thing to know, if there is no GPU
    if "threads" in given:
        minicnn.set_num_threads(given["threads"])
    checkpoint = None
    if "resume" in given or "evaluate" in given:
        checkpoint = Checkpoint(find_checkpoint(given.get("resume"), given.get("out"), best="evaluate" in given))
    path = checkpoint.path.parent if checkpoint else Path(given["out"]) if "out" in given else new_folder("runs", "alexnet")
    if checkpoint is None and (path / "last.npz").exists() and "dry_run" not in given:
        raise UsageError(f"{path} already holds a run: --resume it, or choose another --out")
    run_ = Run(settings_of(given, checkpoint), given, checkpoint)
    if "evaluate" in given:
        run_.net.load_state_dict(checkpoint.arrays("net"))
        print(f"{checkpoint.path}, epoch {checkpoint.state['epoch']}")
        run_.measure()
    elif "dry_run" in given:
        print(run_.describe("a dry run leaves nothing behind"))
        row, = rehearse(run_.trainer())
        print(f"two batches trained (loss {row['train_loss']:.3f}), one validated, a checkpoint read back: all well")
    else:
        run_.describe(path)
        train(run_, given, checkpoint, path, start)


if __name__ == "__main__":
    sys.exit(run(main))
