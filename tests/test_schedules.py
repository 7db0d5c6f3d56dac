"""StepSchedule and PlateauSchedule: which epochs change the rate, and what a checkpoint must keep."""

import json

import pytest

from minicnn import SGD, Linear, MinicnnError
from minicnn.schedules import PlateauSchedule, StepSchedule


def optimiser(lr=1.0):
    return SGD(Linear(1, 1).parameters(), lr=lr)


def rates(schedule, errors, start=1):
    """The rate after each epoch; epochs are counted as finished ones, from 1."""
    found = []
    for epoch, error in enumerate(errors, start):
        schedule.step(epoch, error)
        found.append(schedule.optimiser.lr)
    return pytest.approx(found, rel=1e-12)


def test_steps_come_after_their_milestones_once_each():
    schedule = StepSchedule(optimiser(0.01), milestones=[2, 5], factor=0.1)
    assert rates(schedule, [0.5] * 7) == [0.01, 1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4]


def test_default_factor_is_a_tenth():
    assert rates(StepSchedule(optimiser(), [1]), [0.5]) == [0.1]
    assert rates(PlateauSchedule(optimiser(), patience=1), [0.5, 0.5]) == [1.0, 0.1]


def test_milestones_in_any_order():
    assert rates(StepSchedule(optimiser(), (3, 1), 0.5), [0] * 4) == [0.5, 0.5, 0.25, 0.25]


def test_rate_set_by_hand_is_kept_and_multiplied():
    opt = optimiser()
    schedule = StepSchedule(opt, [2])
    schedule.step(1, 0.5)
    opt.lr = 0.3
    schedule.step(2, 0.5)
    assert opt.lr == pytest.approx(0.03)


def test_plateau_drops_after_patience_epochs_without_a_new_best():
    schedule = PlateauSchedule(optimiser(), factor=0.5, patience=3)
    errors = [0.9, 0.8, 0.85, 0.8, 0.7, 0.7, 0.71, 0.72, 0.6, 0.5]
    assert rates(schedule, errors) == [1, 1, 1, 1, 1, 1, 1, 0.5, 0.5, 0.5]


def test_plateau_waits_anew_after_a_drop():
    schedule = PlateauSchedule(optimiser(), factor=0.1, patience=2)
    assert rates(schedule, [0.5] * 6) == [1, 1, 0.1, 0.1, 0.01, 0.01]


def test_plateau_drops_three_times_and_no_more():
    """Krizhevsky et al. 2012, section 5: "reduced three times prior to termination"."""
    schedule = PlateauSchedule(optimiser(), factor=0.1, patience=1)
    assert rates(schedule, [0.5] * 8) == [1, 0.1, 0.01, 0.001, 0.001, 0.001, 0.001, 0.001]


def test_number_of_drops_can_be_set():
    assert rates(PlateauSchedule(optimiser(), factor=0.1, patience=1, drops=1), [0.5] * 4) == [1, 0.1, 0.1, 0.1]


def test_error_that_is_not_a_number_is_no_improvement():
    schedule = PlateauSchedule(optimiser(), factor=0.1, patience=2)
    assert rates(schedule, [0.5, float("nan"), float("nan")]) == [1, 1, 0.1]


@pytest.mark.parametrize(
    "make", [lambda opt: StepSchedule(opt, [3, 6], 0.5), lambda opt: PlateauSchedule(opt, 0.5, patience=2)]
)
@pytest.mark.parametrize("cut", range(1, 8))
def test_state_continues_where_it_was_and_is_plain_json(make, cut):
    errors = [0.9, 0.8, 0.8, 0.8, 0.7, 0.7, 0.7, 0.7]
    whole = make(optimiser())
    wanted = rates(whole, errors)
    first = make(optimiser())
    rates(first, errors[:cut])
    state = json.loads(json.dumps(first.state_dict(), allow_nan=True))
    second = make(optimiser(lr=first.optimiser.lr))
    second.load_state_dict(state)
    assert wanted.expected[cut:] == rates(second, errors[cut:], start=cut + 1)


@pytest.mark.parametrize(
    "make", [lambda **o: StepSchedule(optimiser(), [1], **o), lambda **o: PlateauSchedule(optimiser(), **o)]
)
@pytest.mark.parametrize("factor", [0, -0.1, 1.0, 10, "x"])
def test_factor_without_sense_is_refused(make, factor):
    with pytest.raises(MinicnnError):
        make(factor=factor)


@pytest.mark.parametrize("options", [{"patience": 0}, {"patience": -1}, {"drops": 1.5}], ids=str)
def test_settings_without_sense_are_refused(options):
    with pytest.raises(MinicnnError):
        PlateauSchedule(optimiser(), **options)
