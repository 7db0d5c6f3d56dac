"""Training: the loop, checkpoints that survive a crash, progress, metrics and pictures.

    trainer     the loop                         checkpoint  one file that holds all of a run
    evaluation  loss, top-1, top-5               folder      checkpoints, metrics and pictures of a run
    progress    a bar, or plain lines            stopping    Ctrl-C, SIGTERM and SIGHUP
    pictures    curves, filters, predictions     rehearsal   a dry run
    state       what a checkpoint must say       command     exit codes and options of the commands
"""

from minicnn.training.checkpoint import Checkpoint, NotSaved, write_checkpoint
from minicnn.training.evaluation import Sums, evaluate, predictions
from minicnn.training.folder import RunFolder
from minicnn.training.stopping import Interrupted
from minicnn.training.trainer import Diverged, Trainer

__all__ = ["Checkpoint", "Diverged", "Interrupted", "NotSaved", "RunFolder", "Sums", "Trainer", "evaluate",
           "predictions", "write_checkpoint"]
