"""A data set that needs no download: figures and patterns, painted by formula at full resolution."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw

from minicnn.data.cache import PixelCache
from minicnn.data.figures import FIGURES, PATTERNS, coverage
from minicnn.data.streams import stream

_GROUND = 48  # side of the canvas on which a background is painted before it is enlarged and so blurred
_LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601
_CONTRAST = 70  # least difference in luma between figure and ground, of 255


class Shapes:
    """Twelve classes that differ in shape or texture, and in nothing that a linear classifier on pixels could use.

    Colours of figure and ground, which of them is brighter, position, size, rotation, background, lighting and noise
    are all random. Image i shows class i mod 12, so that labels are balanced.

    Parameters
    ----------
    count : int
    size : int
        Side in pixels.
    seed : int
        Another seed gives other images: one for training, another for validation.
    cache : PixelCache or None
        Where painted images are kept; a new one by default.

    Examples
    --------
    >>> data = Shapes(24, size=64, seed=1)
    >>> data.image(13).shape, data.classes[data.labels[13]]
    ((64, 64, 3), 'ring')
    """

    classes = tuple(function.__name__ for function in FIGURES + PATTERNS)

    def __init__(self, count, size=256, seed=0, cache=None):
        self.size, self.seed = size, seed
        self.labels = np.arange(count, dtype=np.int64) % len(self.classes)
        self.names = [str(i) for i in range(count)]
        self.skipped = []
        self._cache = PixelCache() if cache is None else cache
        self._y, self._x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size  # 0..1, at the pixels' centres

    def __len__(self):
        return len(self.labels)

    def __repr__(self):
        return f"Shapes({len(self):,} images, {len(self.classes)} classes, size {self.size}, seed {self.seed})"

    def image(self, i):
        """Image i, uint8 (size, size, 3): a function of (seed, i) alone."""
        return self._cache.get(("shapes", self.seed, self.size, i), lambda: self._paint(i))

    def _paint(self, i):
        rng = stream(self.seed, i)
        front, back = _two_colours(rng)
        canvas = _background(rng, back, self.size)  # (3, S, S) float32
        mask = self._mask(rng, int(self.labels[i]))
        for channel, colour in zip(canvas, front, strict=True):
            channel += mask * (colour - channel)
        canvas *= self._light(rng)
        canvas += self._noise(rng)
        return np.ascontiguousarray(np.clip(canvas, 0, 255).astype(np.uint8).transpose(1, 2, 0))

    def _mask(self, rng, label):
        """Where the figure is: (S, S), 0 to 1."""
        if label < len(FIGURES):
            unit = rng.uniform(0.2, 0.34)  # radius, as a share of the side
            centre = rng.uniform(0.34, 0.66, 2)
            function = FIGURES[label]
        else:
            unit = rng.uniform(0.08, 0.18)  # period
            centre = rng.uniform(0, 1, 2)
            function = PATTERNS[label - len(FIGURES)]
        angle = rng.uniform(0, 2 * np.pi)
        cos, sin = np.float32(np.cos(angle) / unit), np.float32(np.sin(angle) / unit)
        x, y = self._x - np.float32(centre[0]), self._y - np.float32(centre[1])
        return coverage(function(cos * x + sin * y, cos * y - sin * x), unit * self.size)

    def _light(self, rng):
        """Light falling from one side: (S, S), around 1."""
        angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5)
        across, down = np.float32(strength * np.cos(angle)), np.float32(strength * np.sin(angle))
        return across * (self._x - np.float32(0.5)) + down * (self._y - np.float32(0.5)) + np.float32(1)

    def _noise(self, rng):
        """Uniform grey noise of random strength: (S, S)."""
        grains = rng.integers(-128, 128, (self.size, self.size), np.int8)
        return grains * np.float32(rng.uniform(0, 0.08))


def _two_colours(rng):
    """Two colours, (3,) of 0-255 each, whose luma differs by `_CONTRAST` at least; either may be the brighter."""
    while True:
        hsv = rng.uniform((0, 0.15, 0.25), (1, 0.9, 1), (2, 3))
        front, back = (255 * np.array(colorsys.hsv_to_rgb(*colour)) for colour in hsv)
        if abs((front - back) @ _LUMA) >= _CONTRAST:
            return front.astype(np.float32), back


def _background(rng, colour, size):
    """Clouds, blots and streaks around a colour, out of focus: (3, S, S) float32."""
    clouds = rng.normal(0, 12, (6, 6, 3)) + colour
    ground = Image.fromarray(np.clip(clouds, 0, 255).astype(np.uint8))
    ground = ground.resize((_GROUND, _GROUND), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(ground)
    for _ in range(rng.integers(0, 9)):
        shade = tuple(np.clip(colour + rng.normal(0, 22, 3), 0, 255).astype(int).tolist())
        x, y, r, dx, dy = (rng.uniform((0, 0, 0.5, -1, -1), (1, 1, 3, 1, 1)) * (_GROUND, _GROUND, 1, 20, 20)).tolist()
        if rng.random() < 0.5:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=shade)
        else:
            draw.line((x, y, x + dx, y + dy), fill=shade, width=1)
    ground = ground.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(ground).transpose(2, 0, 1).astype(np.float32)
