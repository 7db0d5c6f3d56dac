"""What a run shows while it works: a bar where a terminal is, plain lines where a file or a pipe is."""

import contextlib
import sys
import time

from tqdm import tqdm


class Silent:
    """Shows nothing; the base of the others."""

    @contextlib.contextmanager
    def over(self, epochs, batches, epoch, position):
        """Frame a run of `epochs` epochs of `batches` batches that starts, or goes on, at (epoch, position)."""
        self.epochs, self.batches = epochs, batches
        self._first, self._start = epoch * batches + position, time.monotonic()
        try:
            yield self
        finally:
            self.close()

    def begin(self, epoch, position):
        """An epoch begins, or goes on at batch `position`."""
        self.epoch = epoch

    def step(self, position, sums):
        """`position` batches of the epoch are done; `sums` are the epoch's running sums."""

    def finish(self, row, improved):
        """An epoch is over; `row` is its line of the history."""

    def close(self):
        """The run is over."""

    def _text(self, position, sums):
        return [f"loss {sums.loss:.3f}", f"top-1 {sums.top1:.1%}", f"{sums.images_per_second:.0f} images/s",
                f"waiting {sums.waiting:.0%}", f"{self._time_left(position)} left"]

    def _time_left(self, position):
        """From the pace since this process began, validation and saving included."""
        done = self.epoch * self.batches + position
        pace = (time.monotonic() - self._start) / max(done - self._first, 1)
        return clock_text(pace * (self.epochs * self.batches - done))


class Lines(Silent):
    """A line every `every` seconds and a line an epoch, without any control codes."""

    def __init__(self, stream=None, every=10.0):
        self.stream, self.every = stream or sys.stdout, every
        self._last = time.monotonic()

    def step(self, position, sums):
        if time.monotonic() - self._last >= self.every:
            self._last = time.monotonic()
            place = f"epoch {self.epoch + 1}/{self.epochs}  batch {position}/{self.batches}"
            print(place, *self._text(position, sums), sep="  ", file=self.stream, flush=True)

    def finish(self, row, improved):
        print(epoch_line(row, self.epochs, improved), file=self.stream, flush=True)
        self._last = time.monotonic()


class Bar(Lines):
    """A tqdm bar for the epoch that is running, and a line on `stream` for each that is finished."""

    def __init__(self, stream=None, terminal=None):
        super().__init__(stream)
        self.terminal = terminal or sys.stderr
        self._bar = None

    def begin(self, epoch, position):
        super().begin(epoch, position)
        self._bar = tqdm(total=self.batches, initial=position, desc=f"epoch {epoch + 1}/{self.epochs}", leave=False,
                         file=self.terminal, dynamic_ncols=True, bar_format="{desc} {bar} {n_fmt}/{total_fmt}{postfix}")

    def step(self, position, sums):
        self._bar.set_postfix_str(" ".join(self._text(position, sums)), refresh=False)
        self._bar.update()
        if position == self.batches:
            self._bar.set_description_str(f"epoch {self.epoch + 1}/{self.epochs} validating")

    def finish(self, row, improved):
        self.close()
        super().finish(row, improved)

    def close(self):
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def for_terminal(stream=None):
    """A `Bar` if stderr is a terminal, else `Lines` on `stream` (stdout)."""
    return Bar(stream) if _has_terminal() else Lines(stream)


@contextlib.contextmanager
def counting(what, every=10.0):
    """A callable(done, total): a bar on stderr if that is a terminal, else a line on stdout every `every` seconds.

    Examples
    --------
    >>> with counting("reading images", every=0) as count:
    ...     count(1, 2)
    reading images  1/2
    """
    if not _has_terminal():
        yield _counting_lines(what, every)
        return
    with tqdm(desc=what, leave=False, dynamic_ncols=True, bar_format="{desc} {bar} {n_fmt}/{total_fmt}") as bar:
        def count(done, total):
            if done == 1:
                bar.reset(total)
            bar.update()
        yield count


def _counting_lines(what, every):
    last = time.monotonic()

    def count(done, total):
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            print(f"{what}  {done:,}/{total:,}", flush=True)
    return count


def _has_terminal():
    return sys.stderr is not None and sys.stderr.isatty()


def epoch_line(row, epochs, improved):
    """One line for a row of the history; a star marks the best validation top-1 so far."""
    return (f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"
            f"  train loss {row['train_loss']:.3f} top-1 {row['train_top1']:5.1%} top-5 {row['train_top5']:5.1%}"
            f"  |  val loss {row['val_loss']:.3f} top-1 {row['val_top1']:5.1%} top-5 {row['val_top5']:5.1%}"
            f"  |  lr {row['lr']:.2g}  {row['seconds']:.1f} s{'  *' if improved else ''}")


def clock_text(seconds):
    """
    >>> clock_text(59.6), clock_text(3725)
    ('1:00', '1:02:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
