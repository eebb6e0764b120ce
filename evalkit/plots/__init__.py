"""Plots of results, for files and for notebooks.

    from evalkit import plots
    plots.parameters("runs")                                # a matplotlib Figure, shown by notebooks
    plots.save(plots.differences("runs", reference="xz"), Path("differences.svg"))

Each function takes the results that it draws, a folder or read already, and options by name; `registry` has
them by the names of ``evalkit plot``. Intervals, aggregates and rank intervals are those of the site.
"""

from evalkit.plots.curve import curve
from evalkit.plots.cutoffs import cutoffs
from evalkit.plots.dates import dates
from evalkit.plots.differences import differences
from evalkit.plots.drawing import draw, draw_all
from evalkit.plots.frame import check_file, figure_bytes, save
from evalkit.plots.heatmap import heatmap
from evalkit.plots.losses import losses
from evalkit.plots.months import months
from evalkit.plots.parameters import parameters
from evalkit.plots.positions import positions
from evalkit.plots.ranks import ranks
from evalkit.plots.registry import Plot, find_plot, find_plots
from evalkit.plots.speed import speed

__all__ = [
    "Plot",
    "check_file",
    "curve",
    "cutoffs",
    "dates",
    "differences",
    "draw",
    "draw_all",
    "figure_bytes",
    "find_plot",
    "find_plots",
    "heatmap",
    "losses",
    "months",
    "parameters",
    "positions",
    "ranks",
    "save",
    "speed",
]
