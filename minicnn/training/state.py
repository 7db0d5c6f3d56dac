"""The state in a checkpoint: what belongs into it, and the checks that a foreign one has to pass."""

import math

FORMAT = "minicnn checkpoint 1"

# The columns of a run's history, and of its metrics.csv.
COLUMNS = ("epoch", "train_loss", "train_top1", "train_top5", "val_loss", "val_top1", "val_top5", "lr", "seconds",
           "images_per_second", "waiting")


def check_state(state):
    """Raise ValueError unless `state` is what a `Trainer` writes: in types and ranges, whatever the run was."""
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"its format is not '{FORMAT}'")
    for key, is_valid in _CHECKS.items():
        if key not in state or not is_valid(state[key]):
            raise ValueError(f"its state has no valid '{key}'")
    if state["position"] > state["batches"] or len(state["history"]) != state["epoch"]:
        raise ValueError(f"it stands at epoch {state['epoch']}, batch {state['position']} of {state['batches']}, with "
                         f"{len(state['history'])} epochs of history")


def alike(there, here):
    """Are two JSON values made alike? Numbers are, whether whole or not, except that a whole one here must be whole."""
    if isinstance(here, dict):
        return isinstance(there, dict) and there.keys() == here.keys() and all(alike(there[k], here[k]) for k in here)
    if isinstance(here, list):
        return isinstance(there, list) and len(there) == len(here) and all(map(alike, there, here))
    return isinstance(there, (int, float) if isinstance(here, float) else type(here)) and not isinstance(there, bool)


def _is_count(value):
    return type(value) is int and 0 <= value < 2**64


def _is_number(value):
    return type(value) in (int, float) and math.isfinite(value)


def _is_row(value):
    return isinstance(value, dict) and value.keys() == set(COLUMNS) and all(map(_is_number, value.values()))


def _is_random(value):
    """[seed, training passes so far]"""
    return isinstance(value, list) and len(value) == 2 and all(map(_is_count, value))


def _is_images(value):
    """The `fingerprint` of both datasets: [number of images, a hash of their names and labels]."""
    return isinstance(value, dict) and value.keys() == {"training", "validation"} and all(
        isinstance(one, list) and len(one) == 2 and _is_count(one[0]) and isinstance(one[1], str) for one in value.values())


def _is_schedule(value):
    """Its learning rate is above 0; the best error of a plateau schedule is infinite at first."""
    return isinstance(value, dict) and ("lr" not in value or (_is_number(value["lr"]) and value["lr"] > 0))


def _list_of(is_valid):
    return lambda value: isinstance(value, list) and all(map(is_valid, value))


def _dict_of(is_valid):
    return lambda value: isinstance(value, dict) and all(map(is_valid, value.values()))


_CHECKS = {
    "config": lambda value: isinstance(value, dict),
    "classes": _list_of(lambda value: isinstance(value, str)),
    "images": _is_images,
    "batches": _is_count,
    "epoch": _is_count,
    "position": _is_count,
    "sums": _dict_of(lambda value: _is_number(value) and value >= 0),
    "history": _list_of(_is_row),
    "random": _dict_of(_is_random),
    "schedule": _is_schedule,
}
