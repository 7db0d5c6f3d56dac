"""Pictures of networks, of what goes through them and of how they were trained.

Each function returns a matplotlib Figure, which a notebook shows where it is the last expression of a cell (no pyplot, no
magic), and with `path=` writes it as a PNG, all or nothing. They take arrays, networks and traces, never files; arrays
are NumPy's, whichever backend a network is on. An image is uint8 (H, W, 3) or (H, W) as datasets give it, or floats
(C, H, W) as networks take it.

Colours are Okabe and Ito's, which colour-blind readers can tell apart, and no picture relies on colour alone. matplotlib
is imported where something is drawn, and its global state is left alone.
"""

from minicnn.plots.architecture import architecture
from minicnn.plots.borders import borders
from minicnn.plots.confusion import confusion, confusion_counts
from minicnn.plots.connections import connections
from minicnn.plots.costs import costs
from minicnn.plots.curves import training_curves
from minicnn.plots.distributions import distributions
from minicnn.plots.dropout import dropout, dropout_draws
from minicnn.plots.fields import effective_field, receptive_fields
from minicnn.plots.filmstrip import filmstrip
from minicnn.plots.filters import filters
from minicnn.plots.fourier import fourier
from minicnn.plots.gradcheck import gradcheck
from minicnn.plots.im2col import im2col
from minicnn.plots.images import images
from minicnn.plots.lines import lines
from minicnn.plots.lrn import divisors, lrn
from minicnn.plots.maps import feature_maps, gradient_maps
from minicnn.plots.neighbours import features, nearest, neighbours
from minicnn.plots.occlusion import occlusion, occlusion_map
from minicnn.plots.patches import patches, peaks
from minicnn.plots.pooling import pooling, tied_windows
from minicnn.plots.predictions import predictions
from minicnn.plots.receptive import input_gradient, receptive_box
from minicnn.plots.threads import read_counts, reads, threads, writers
from minicnn.plots.towers import crossings, towers
from minicnn.plots.warps import warp_addresses, warps
from minicnn.plots.windows import window_counts, windows
from minicnn.plots.winograd import winograd

__all__ = [
    "architecture", "borders", "confusion", "confusion_counts", "connections", "costs", "crossings", "distributions",
    "divisors", "dropout", "dropout_draws", "effective_field", "feature_maps", "features", "filmstrip", "filters",
    "fourier", "gradcheck", "gradient_maps", "im2col", "images", "input_gradient", "lines", "lrn", "nearest", "neighbours",
    "occlusion", "occlusion_map", "patches", "peaks", "pooling", "predictions", "read_counts", "reads", "receptive_box",
    "receptive_fields", "threads", "tied_windows", "towers", "training_curves", "warp_addresses", "warps", "window_counts",
    "windows", "winograd", "writers",
]
