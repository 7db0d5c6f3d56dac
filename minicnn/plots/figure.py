"""The figure that all pictures are made of; imported where something is drawn, for it brings matplotlib."""

import io
import warnings

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

LARGE = 150_000  # bytes


class Picture(Figure):
    """A matplotlib Figure that a notebook shows where it is a cell's last expression, with no pyplot and no magic.

    A bare Figure shows only once pyplot was imported. pyplot would also keep every figure, and choose a window system.
    """

    def _repr_png_(self):
        return self._png(limit=0)

    def write(self, file):
        """Write a PNG to a binary file object.

        One with many photographs would be large; see `_png`.
        """
        file.write(self._png(limit=LARGE))

    def _png(self, limit):
        """A PNG. If it has more bytes than `limit`, it gets 256 colours, which are a sixth to a half of it.

        Notebooks always keep that: lines and bars have few colours more, and what they keep is in the history for ever.
        """
        canvas = FigureCanvasAgg(self)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script that the font lacks is drawn as boxes
            canvas.draw()
        image, png = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]), io.BytesIO()
        image.save(png, "png")
        if png.tell() > limit:
            png = io.BytesIO()
            image.quantize(256, Image.Quantize.MEDIANCUT).save(png, "png", optimize=True)
        return png.getvalue()
