"""The table of plots: ours, then those of other packages, under the entry-point group ``evalkit.plots``.

An entry point resolves to a `Plot`::

    [project.entry-points."evalkit.plots"]
    probe-lengths = "evalkit_tasks.plots:probe_lengths_plot"

The command line, its help and the site's page follow from the table. What cannot be loaded is named and takes
no other plot down.
"""

import dataclasses
from collections.abc import Callable, Mapping

from matplotlib.figure import Figure

from evalkit.errors import UsageError, unknown_name
from evalkit.extras import import_problem
from evalkit.plots.context_gain import context_gain
from evalkit.plots.curve import curve
from evalkit.plots.cutoffs import MAX_MODELS, cutoffs
from evalkit.plots.dates import dates
from evalkit.plots.differences import differences
from evalkit.plots.heatmap import heatmap
from evalkit.plots.losses import losses
from evalkit.plots.months import months
from evalkit.plots.parameters import parameters
from evalkit.plots.positions import positions
from evalkit.plots.ranks import ranks
from evalkit.plots.speed import speed
from evalkit.plugins import entry_points

MAX_ROWS = 60
"""As many names as stand below or beside one another."""
MAX_PANELS = 15
"""As many corpora as have a panel each."""
PLOT_GROUP = "evalkit.plots"
"""Entry-point group under which other packages add a `Plot`."""


@dataclasses.dataclass(frozen=True)
class Plot:
    """A plot that can be asked for by name."""

    name: str
    """For ``evalkit plot``, and its file on the site; the same as its entry point's."""
    help: str
    """What it shows, in a line of ``evalkit plot --help``."""
    draw: Callable[..., Figure]
    """Takes results (`evalkit.plots.scores.Source`) and options by name, of those of ``evalkit plot`` what it
    needs, and ``warn``. Raises UsageError where the results do not allow it."""
    max_models: int | None = None
    """How many a site's plot shows at most: those that are best, relative to their corpora; None: all.
    Plots of lines bound them by themselves (`evalkit.plots.lines.choose_lines`), wherever they are shown."""
    max_corpora: int | None = None
    """Likewise, the newest."""


BUILT_IN = (
    Plot("parameters", "Bits per byte against size, with the frontier.", parameters),
    Plot("heatmap", "Models by corpora.", heatmap, MAX_ROWS, MAX_ROWS),
    Plot(
        "positions",
        "Paired differences along documents, of cells of --token-bits.",
        positions,
    ),
    Plot("losses", "Paired differences by kind of text, of cells of --token-bits.", losses),
    Plot(
        "context-gain",
        "What longer contexts gain on the same text, of cells of --context-gain.",
        context_gain,
    ),
    Plot("dates", "Bits per byte along documents' dates, from each model's cutoff.", dates),
    Plot("cutoffs", "Until when models have read: bits beside a panel's, by month.", cutoffs, MAX_MODELS),
    Plot("differences", "Paired differences from a model, with intervals.", differences, MAX_ROWS),
    Plot("ranks", "Ranks from month to month.", ranks),
    Plot("months", "Months chained by anchors: what the texts did, what the models did.", months),
    Plot("curve", "Bits per byte along training runs, with fitted laws.", curve, None, MAX_PANELS),
    Plot("speed", "Speed, of benchmarks and cells.", speed, MAX_ROWS),
)


@dataclasses.dataclass(frozen=True)
class PlotTable:
    """The plots that there are."""

    plots: Mapping[str, Plot]
    """By name, in the order in which they are shown."""
    broken: Mapping[str, str]
    """By name, why a plot of another package cannot be drawn."""


def find_plots() -> PlotTable:
    """Our plots in the order of `BUILT_IN`, then those of installed packages by name."""
    plots = {plot.name: plot for plot in BUILT_IN}
    broken: dict[str, str] = {}
    for point in sorted(entry_points(PLOT_GROUP), key=lambda point: (point.name, point.value)):
        try:
            plot = point.load()
        except Exception as error:  # another package's code: whatever it raises, say whose it is
            broken[point.name] = (
                f"the plot {point.name!r} ({point.value}) cannot be loaded: {import_problem(error)}"
            )
            continue
        if not isinstance(plot, Plot) or plot.name != point.name:
            broken[point.name] = (
                f"the plot {point.name!r} ({point.value}) is not an evalkit.plots.registry.Plot of that name"
            )
        elif plots.setdefault(plot.name, plot) != plot:  # the same one twice is an editable installation's
            broken[point.name] = f"the plot {point.name!r} ({point.value}): there is another of that name"
    return PlotTable(plots, broken)


def find_plot(name: str) -> Plot:
    """A plot by its name.

    Raises:
        UsageError: there is no such plot, or it cannot be loaded.
    """
    table = find_plots()
    if name in table.plots:
        return table.plots[name]
    if name in table.broken:
        raise UsageError(table.broken[name])
    raise unknown_name("plot", name, table.plots, f"Known: {', '.join(table.plots)}.")
