"""Train an AlexNet on the images of a folder, or, without any argument, on shapes drawn by the library."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C among the imports needs no traceback; `run` handles later ones
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for a checkout that was never installed

import minicnn
from alexnet import RECIPES, alexnet
from minicnn import PlateauSchedule, StepSchedule, blas, data, plots
from minicnn.training import Checkpoint, Diverged, Interrupted, RunFolder, Trainer, evaluate, progress
from minicnn.training.command import UsageError, counted, run, warn
from minicnn.training.folder import PICTURES, find_checkpoint, refuse_overwriting
from minicnn.training.pictures import COUNTED, draw_pictures, first_filters, sample
from minicnn.training.rehearsal import rehearse
from training_options import parse, settings_of

CHECKED = 8  # images of the start-up check, or as many as a batch has


def open_data(settings, workers):
    """Training and validation images."""
    if settings["data"] is not None:
        with progress.counting("reading images") as count:
            return data.open_dataset(settings["data"], RECIPES[settings["recipe"]].crop_from, settings["seed"], warn=warn,
                                     workers=workers, progress=count)
    size, seed = RECIPES[settings["recipe"]].crop_from, 2 * settings["seed"]
    return data.Shapes(settings["train_images"], size, seed), data.Shapes(settings["val_images"], size, seed + 1)


def is_held_out(train, validation):
    """Were the validation images a part of the training folder? All classes are in both, so their roots tell."""
    if not hasattr(train, "paths"):
        return False
    roots = {os.path.commonpath(set(map(os.path.dirname, part.paths))) for part in (train, validation)}
    return len(roots) == 1


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
        self.train, self.validation = open_data(settings, given.get("workers"))
        self.held_out = " (a held-out fifth)" if is_held_out(self.train, self.validation) else ""
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
        how = {"batch_size": self.settings["batch_size"], **how}
        return data.Batches(dataset, crop=self.recipe.input_size, statistics=self.statistics, pixels=pixels,
                            seed=self.settings["seed"], workers=self.workers, backend=self.net.backend, **how)

    def trainer(self):
        s = self.settings
        normalises = any(isinstance(layer, minicnn.BatchNorm1d) for layer in self.net)
        if normalises and (len(self.train) - 1) % s["batch_size"] == 0:
            raise UsageError(f"{len(self.train):,} images in batches of {s['batch_size']} end with a batch of one, "
                             "which is not enough for batch normalisation: choose another --batch-size")
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
        """Print what is about to be done; return the table of layers."""
        s, size = self.settings, self.recipe.input_size
        optimiser = minicnn.Adam if self.recipe.optimiser == "adam" else minicnn.SGD
        table = minicnn.trace(self.net, (s["batch_size"], 3, size, size), optimiser)
        skipped = len(getattr(self.train, "skipped", ())) + len(getattr(self.validation, "skipped", ()))
        print(f"data      {s['data'] or 'shapes drawn by the library'}: {len(self.train):,} training and "
              f"{len(self.validation):,} validation images{self.held_out}, {len(self.train.classes)} classes, "
              f"{counted(skipped, 'image')} left out")
        print(f"network   AlexNet '{s['recipe']}', width {s['width']:g}, {s['init']} initialisation: "
              f"{table.parameters:,} parameters, {table.macs // s['batch_size']:,} multiply-adds an image of {size}×{size}")
        momentum = "Adam" if self.recipe.optimiser == "adam" else f"momentum {s['momentum']:g}"
        print(f"training  {counted(s['epochs'], 'epoch')}, batch {s['batch_size']}, learning rate {s['lr']:g}{self.drops()}"
              f", {momentum}, weight decay {s['weight_decay']:g}, dropout {s['dropout']:g}, seed {s['seed']}")
        print(f"memory    {table.training}; images kept and made ahead come on top")
        print(f"machine   {self.net.backend}, {minicnn.backends.get(self.net.backend).describe()}")
        print(f"output    {where}", flush=True)
        if blas.advice():
            warn(blas.advice())
        return table

    def check(self):
        """Warn of what speaks against learning, before the first step. Changes nothing, and does not stop the run."""
        few = sample(self.train, max(2, min(CHECKED, self.settings["batch_size"])))
        if len(few) < 2:  # nothing can be said of one image
            return
        with contextlib.closing(self.batches(few, batch_size=len(few)).epoch()) as batches:
            batch = next(batches)
        images = minicnn.backends.get(self.net.backend).asarray(batch.images)
        for finding in minicnn.watch(self.net, images, batch.labels).findings:
            warn(f"start-up check: {finding}" + "; --init he does that" * (self.settings["init"] == "published"))

    def drops(self):
        """When the learning rate falls, in words; a drop after the last epoch is none."""
        if not self.settings["milestones"]:
            return " divided by 10 when validation stalls"
        epochs = [str(epoch) for epoch in self.settings["milestones"] if epoch < self.settings["epochs"]]
        return f" divided by 10 after epoch{'s' * (len(epochs) > 1)} {' and '.join(epochs)}" if epochs else ""

    def measure(self):
        """Print and return the scores on the validation images."""
        found = evaluate(self.net, self.batches(self.validation, views=self.views))
        how = "average of ten crops" if self.views == "ten" else "centre crop"
        print(f"{counted(found.images, 'validation image')}{self.held_out}, {how}: loss {found.loss:.3f}, "
              f"top-1 {found.top1:.1%}, top-5 {found.top5:.1%}")
        return found


def only_evaluate(given):
    checkpoint = Checkpoint(find_checkpoint(given.get("resume"), None, best=True))
    run_ = Run(settings_of(given, checkpoint), given, checkpoint)
    run_.net.load_state_dict(checkpoint.arrays("net"))
    print(f"{checkpoint.path}, epoch {checkpoint.state['epoch']}")
    run_.measure()


def dry_run(given, source, path):
    path = path or Path("runs")
    refuse_overwriting(path, source)
    run_, trainer = prepare(given, source)
    print(run_.describe("a dry run leaves nothing behind"))
    if source is None:
        run_.check()
    trained = rehearse(trainer, path)[-1]
    print(f"two batches trained (loss {trained['train_loss']:.3f}), one validated, a checkpoint read back: all well")


def prepare(given, source, folder=None):
    """The run, and its trainer: fresh, or where the checkpoint `source` left it."""
    checkpoint = Checkpoint(source) if source else None
    run_ = Run(settings_of(given, checkpoint), given, checkpoint)
    trainer = run_.trainer()
    trainer.folder = folder
    if checkpoint is not None:
        trainer.restore(checkpoint)
    return run_, trainer


def train(given, source, path, start):
    """The run itself, in a folder that is locked before anything else is done."""
    with RunFolder(path) if path else RunFolder.numbered("runs", "alexnet") as folder:
        refuse_overwriting(folder.path, source)
        run_, trainer = prepare(given, source, folder)
        run_.describe(folder.path)
        if source is None:
            run_.check()
        else:
            folder.adopt(source.with_name("best.npz"), trainer.history)
        folder.write_config({**run_.settings, "backend": run_.net.backend, "blas": blas.describe()})
        if trainer.epoch >= run_.settings["epochs"]:
            print(f"          {counted(trainer.epoch, 'epoch')} finished already: a larger --epochs goes on")
        try:
            history = trainer.fit(run_.settings["epochs"])
        except (Diverged, Interrupted):
            if trainer.history:
                folder.draw("curves", plots.training_curves, trainer.history)
            raise
        draw_pictures(folder, run_.net, history, run_.batches(sample(run_.validation, COUNTED)), run_.start)
        if "ten_crop" in given:
            run_.measure()
        report(run_, history)
        print(f"finished  in {progress.clock_text(time.monotonic() - start)}; look at {folder.path}: "
              f"{', '.join(f'{name}.png' for name in PICTURES)}")


def report(run_, history):
    best = max(history, key=lambda row: row["val_top1"])
    print(f"best      top-1 {best['val_top1']:.1%} after epoch {best['epoch']}")
    if run_.settings["data"] is None:
        linear = data.linear_baseline(run_.train, run_.validation)
        print(f"          a linear classifier on the same pixels reaches {linear:.1%}")


def main(arguments=None):
    start = time.monotonic()
    given = parse(arguments)
    minicnn.backends.get(given.get("backend", "numpy"))  # the first thing to know, if there is no GPU
    if "threads" in given:
        minicnn.set_num_threads(given["threads"])
    if "evaluate" in given:
        only_evaluate(given)
        return
    source = find_checkpoint(given["resume"], given.get("out")) if "resume" in given else None
    path = Path(given["out"]) if "out" in given else source.parent if source else None  # None: a new one under runs/
    if "dry_run" in given:
        dry_run(given, source, path)
    else:
        train(given, source, path, start)


if __name__ == "__main__":
    sys.exit(run(main))
