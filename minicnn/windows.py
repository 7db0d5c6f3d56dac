"""The geometry of a sliding window: sizes, padding and overhang, shared by convolution and pooling."""

from dataclasses import dataclass

from minicnn.errors import ShapeError


def pair(value, name, least):
    """(h, w) from an int or a pair of ints, each at least `least`."""
    values = (value, value) if _is_int(value) else value
    if not (isinstance(values, (tuple, list)) and len(values) == 2 and all(_is_int(v) and v >= least for v in values)):
        raise ShapeError(f"{name}: got {value!r}, wanted an int >= {least} or a pair (h, w) of them")
    return tuple(int(v) for v in values)


def padding_sides(padding):
    """((top, bottom), (left, right)) from an int, (h, w) or the four sides themselves."""
    if isinstance(padding, (tuple, list)) and len(padding) == 2 and all(isinstance(p, (tuple, list)) for p in padding):
        return pair(padding[0], "padding (top, bottom)", 0), pair(padding[1], "padding (left, right)", 0)
    h, w = pair(padding, "padding", 0)
    return (h, h), (w, w)


def _is_int(value):
    return hasattr(value, "__index__") and not isinstance(value, bool)


@dataclass(frozen=True)
class Axis:
    """One axis of a sliding window: how it is cut, before the input size is known."""

    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1
    ceil_mode: bool = False

    @property
    def extent(self):
        """Pixels from the first tap to the last, both counted: dilation·(kernel − 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    def output_size(self, size):
        """⌊(size + before + after − extent) / stride⌋ + 1; rounded up in ceil mode.

        In ceil mode a window must begin on the input or on the padding before it, or it is left out.
        """
        room = size + self.before + self.after - self.extent
        if room < 0:
            raise ShapeError(f"a window of {self.extent} pixels does not fit into {size} pixels "
                             f"padded by {self.before} and {self.after}")
        if not self.ceil_mode:
            return room // self.stride + 1
        return min(-(-room // self.stride), (size + self.before - 1) // self.stride) + 1

    def formula(self, size):
        """`output_size` with the numbers filled in.

        Examples
        --------
        >>> from minicnn.windows import Axis
        >>> Axis(11, stride=4).formula(227), Axis(5, before=2, after=2).formula(27)
        ('(227 − 11)/4 + 1 = 55', '27 + 2·2 − 5 + 1 = 27')
        >>> Axis(11, stride=4).formula(224), Axis(11, stride=4, ceil_mode=True).formula(224)
        ('⌊(224 − 11)/4⌋ + 1 = 54', '⌈(224 − 11)/4⌉ + 1 = 55')
        """
        out, room = self.output_size(size), size + self.before + self.after - self.extent
        padding = [f"2·{self.before}"] if self.before == self.after else [str(self.before), str(self.after)]
        extent = [str(self.kernel)] if self.dilation == 1 else [f"{self.dilation}·({self.kernel} − 1)", "1"]
        padded = " + ".join([str(size), *(side for side in padding if side not in ("0", "2·0"))])
        steps = self._steps(" − ".join([padded, *extent]), room, self.ceil_mode)
        if self.ceil_mode and out <= -(-room // self.stride):  # one window less: it would begin behind the image
            last = f"{size} + {self.before} − 1" if self.before else f"{size} − 1"
            steps = f"min({steps}, {self._steps(last, size + self.before - 1)})"
        return f"{steps} + 1 = {out}"

    def _steps(self, room, number, up=False):
        """How many strides fit into `room`, which is `number`, in writing."""
        if self.stride == 1:
            return room
        exact = f"({room})/{self.stride}"
        return exact if number % self.stride == 0 else f"⌈{exact}⌉" if up else f"⌊{exact}⌋"

    def taps(self, size):
        """For every window, the input positions of its taps: a list of ranges, some positions outside [0, size)."""
        starts = range(-self.before, -self.before + self.output_size(size) * self.stride, self.stride)
        return [range(start, start + self.extent, self.dilation) for start in starts]

    def sees_only_padding(self, size):
        """Is there a window none of whose taps lies on the input?"""
        outer = (taps for taps in self.taps(size) if taps[0] < 0 or taps[-1] >= size)
        return any(all(not 0 <= tap < size for tap in taps) for taps in outer)


@dataclass(frozen=True)
class Window:
    """A two-dimensional sliding window: one `Axis` for the rows, one for the columns."""

    rows: Axis
    columns: Axis

    @classmethod
    def make(cls, kernel_size, stride, padding, dilation=1, ceil_mode=False):
        """From the arguments that layers take: ints, (h, w) pairs, or four sides of padding."""
        kernel, stride = pair(kernel_size, "kernel_size", 1), pair(stride, "stride", 1)
        dilation, sides = pair(dilation, "dilation", 1), padding_sides(padding)
        return cls(*(Axis(k, s, *side, d, bool(ceil_mode)) for k, s, side, d in zip(kernel, stride, sides, dilation)))

    @property
    def kernel(self):
        return self.rows.kernel, self.columns.kernel

    @property
    def stride(self):
        return self.rows.stride, self.columns.stride

    @property
    def dilation(self):
        return self.rows.dilation, self.columns.dilation

    def output_size(self, size):
        """(OH, OW) for an input of (H, W)."""
        return self.rows.output_size(size[0]), self.columns.output_size(size[1])

    def formula(self, size):
        """`output_size` with the numbers filled in: once if rows and columns agree, else rows; columns."""
        rows, columns = self.rows.formula(size[0]), self.columns.formula(size[1])
        return rows if rows == columns else f"{rows}; {columns}"

    def settings(self):
        """'k=3, s=2, p=1' for tables and `repr`; what has its default is left out."""
        def short(a, b):
            return f"{a}" if a == b else f"{a}×{b}"
        rows, columns = self.rows, self.columns
        parts = [f"k={short(rows.kernel, columns.kernel)}"]
        if self.stride != (1, 1):
            parts.append(f"s={short(*self.stride)}")
        sides = (rows.before, rows.after), (columns.before, columns.after)
        if sides != ((0, 0), (0, 0)):
            symmetric = rows.before == rows.after and columns.before == columns.after
            parts.append(f"p={short(rows.before, columns.before) if symmetric else sides}")
        if self.dilation != (1, 1):
            parts.append(f"d={short(*self.dilation)}")
        return ", ".join(parts + ["ceil"] * rows.ceil_mode)
