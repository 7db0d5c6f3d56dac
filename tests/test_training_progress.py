"""What is shown: plain lines in a file, a bar in a terminal."""

import io
import re

import pytest
from training_helpers import make_trainer

from minicnn.training.progress import Bar, Lines, clock_text, counting, for_terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_have_no_control_codes():
    stream = io.StringIO()
    make_trainer(progress=Lines(stream, every=0)).fit(2)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 * (3 + 1)
    assert all(character == "\n" or character.isprintable() for character in stream.getvalue())
    assert re.fullmatch(r"epoch 1/2  batch 2/3  loss \d\.\d{3}  top-1 +\d+\.\d%  \d+ images/s  waiting \d+%  \d+:\d\d left",
                        lines[1])
    scores = r"loss \d\.\d{3} top-1 +[\d.]+% top-5 +[\d.]+%"
    assert re.fullmatch(rf"epoch 2/2  train {scores}  \|  val {scores}  \|  lr 0.002  [\d.]+ s(  \*)?", lines[7])
    assert lines[3].endswith("*")  # the first epoch is the best so far


def test_lines_come_every_so_often():
    stream = io.StringIO()
    make_trainer(progress=Lines(stream, every=1000)).fit(2)
    assert len(stream.getvalue().splitlines()) == 2


def test_a_bar_goes_to_the_terminal_and_lines_to_the_stream():
    stream, terminal = io.StringIO(), Terminal()
    make_trainer(progress=Bar(stream, terminal)).fit(2)
    assert [line[:9] for line in stream.getvalue().splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert "\r" not in stream.getvalue()
    assert all(part in terminal.getvalue() for part in ("\r", "epoch 2/2", "images/s"))


def test_a_bar_is_closed_when_the_run_stops():
    class Stop(Bar):
        def step(self, position, sums):
            super().step(position, sums)
            raise RuntimeError

    bar = Stop(io.StringIO(), Terminal())
    with pytest.raises(RuntimeError):
        make_trainer(progress=bar).fit(1)
    assert bar._bar is None


@pytest.mark.parametrize("kind, stderr", [(Bar, Terminal()), (Lines, io.StringIO())])
def test_the_choice(monkeypatch, kind, stderr):
    monkeypatch.setattr("sys.stderr", stderr)
    assert type(for_terminal()) is kind


def test_counting_in_a_terminal(monkeypatch):
    """Two passes, the second one over fewer files; nothing stays behind on the screen."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with counting("reading images") as count:
        for total in (3, 2):
            for done in range(total):
                count(done + 1, total)
    assert all(part in terminal.getvalue() for part in ("\r", "reading images", "0/3"))


def test_counting_in_a_file(capsys):
    with counting("reading images", every=1000) as count:
        count(1, 2)
    assert not capsys.readouterr().out


def test_time_left(monkeypatch):
    """3 of 12 batches took 6 seconds, so 9 take 18; what an earlier process did does not count."""
    now = iter([0.0, 6.0, 100.0, 102.0])
    monkeypatch.setattr("minicnn.training.progress.time.monotonic", lambda: next(now))
    progress = Lines.__new__(Lines)
    with progress.over(4, 3, 0, 0):
        progress.begin(1, 0)
        assert progress._time_left(0) == "0:18"
    with progress.over(4, 3, 2, 1):
        progress.begin(2, 1)
        assert progress._time_left(2) == "0:08"
    assert clock_text(3600) == "1:00:00"
