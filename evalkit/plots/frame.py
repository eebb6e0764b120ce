"""What all plots share: the style, the frame of a figure, and its files.

Figures are made without pyplot, so that nothing of a user's own matplotlib session changes, and the same
cells give the same bytes with the same matplotlib.
"""

import contextlib
import functools
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypedDict

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from evalkit.analysis.estimates import Estimate
from evalkit.cells.object_store import check_is_local
from evalkit.errors import UsageError
from evalkit.files import atomic_write
from evalkit.fonts import DEFAULT_FAMILY, characters_of, fallback_families, lacking, warning
from evalkit.plots.settling import broken, settle
from evalkit.terminal import printable

STYLE = str(Path(__file__).with_name("evalkit.mplstyle"))
BLUE, RED, GREEN, YELLOW, CYAN, PURPLE, GREY = (
    "#4477AA",
    "#EE6677",
    "#228833",
    "#CCBB44",
    "#66CCEE",
    "#AA3377",
    "#BBBBBB",
)
"""Paul Tol's bright colours."""
COLORS = (BLUE, RED, GREEN, YELLOW, CYAN, PURPLE, "#222255", "#FFAABB")
"""Of models, with one of his dark and one of his pale colours: any two of these are as far from each other,
for people with any of the common colour-vision deficiencies, as any two of the bright ones."""
_Dashes = str | tuple[int, tuple[float, ...]]
_DASHES: tuple[_Dashes, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "d")
SUFFIXES = (".svg", ".png", ".pdf")
TEXT, FAINT = "#333333", "#666666"
LABEL_SIZE = 8.0
_TITLE_SIZE = 11.5
BITS_AXIS = "bits per byte, lower is better"
POINTS_PER_INCH = 72
_METADATA: dict[str, dict[str, None]] = {
    ".svg": {"Date": None},
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
}

P = ParamSpec("P")


class Mark(NamedTuple):
    """A number that a figure shows, and where: for who reads it by pointer, by keyboard or as a table."""

    series: str
    """Whose number it is: a model, a run, a source."""
    subject: str
    """Which of its numbers: a month, a corpus, a position."""
    x: float
    """Where it stands, as `y`, in the units of its axes."""
    y: float
    number: Estimate
    """The number with its interval, in the units of the axis along which it lies."""
    color: str
    is_joined: bool = True
    """Whether a line leads to it from the one before of the same series."""
    is_sideways: bool = False
    """Whether the number lies along the x axis."""
    per_unit: float = 1.0
    """How many of the number's units are one of the axis's."""


class NotebookFigure(Figure):
    """A figure that notebooks show without pyplot, with the numbers that it shows."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # matplotlib's own arguments
        self.marks: list[tuple[Axes, Mark]] = []
        self.families: tuple[str, ...] = ()
        """Fonts for what the style's own lacks."""
        self.lacking: list[str] = []
        """Characters that no installed font has."""
        self.legend_top = 1.0
        """Where a legend begins, as a share of the height."""

    def _repr_png_(self) -> bytes:
        return figure_bytes(self, ".png")


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw under evalkit's style, whatever style is set outside."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _style():
            figure = function(*args, **kwargs)
        characters = lacking(characters_of(figure))
        if not characters or not isinstance(figure, NotebookFigure):
            return figure
        families, warn = fallback_families(characters), kwargs.get("warn", warnings.warn)
        if "warn" in kwargs:
            kwargs["warn"] = _no_warning
        if families:  # once more, for letters of another font have other widths
            with _style(families):
                figure = function(*args, **kwargs)
        assert isinstance(figure, NotebookFigure)
        figure.families = families
        figure.lacking = lacking(characters, families)
        if figure.lacking:
            assert callable(warn)
            warn(warning(figure.lacking))
        return figure

    return wrapped


def _no_warning(_: str) -> None:
    """What was told at the first drawing."""


@contextlib.contextmanager
def _style(families: Sequence[str] = ()) -> Iterator[None]:
    """Evalkit's style, with fonts for what its own lacks, and without a warning of matplotlib's by letter."""
    fonts = {"font.family": [DEFAULT_FAMILY, *families]}
    logger = logging.getLogger("matplotlib.font_manager")  # which tells of every face that a family lacks
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with matplotlib.style.context(["default", STYLE, fonts]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            yield
    finally:
        logger.setLevel(level)


def record(axes: Axes, *marks: Mark) -> None:
    """Keep what a figure of `frame` shows beside the figure; of others nothing is kept."""
    if isinstance(axes.figure, NotebookFigure):
        axes.figure.marks.extend((axes, mark) for mark in marks)


def check_file(path: Path) -> None:
    """Refuse a file name that says no format that can be written.

    Raises:
        UsageError: another ending than those of `SUFFIXES`, or an address of an object store.
    """
    check_is_local(path, "--output")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: the format is the file's ending; give one of {', '.join(SUFFIXES)}")


def save(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all; the same figure gives the same bytes.

    Raises:
        UsageError: the file's ending names no format, or the file cannot be written.
    """
    check_file(path)
    content = figure_bytes(figure, path.suffix.lower())
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def figure_bytes(figure: Figure, suffix: str) -> bytes:
    """The file of a figure; ``suffix`` is one of `SUFFIXES`."""
    buffer = io.BytesIO()
    with _style(figure.families if isinstance(figure, NotebookFigure) else ()):
        settle(figure)
        figure.savefig(buffer, format=suffix[1:], metadata=_METADATA[suffix])
    return buffer.getvalue()


def frame(
    title: str,
    subtitle: str,
    *,
    width: float = 7.2,
    height: float = 4.4,
    num_rows: int = 1,
    num_columns: int = 1,
    sharex: bool = False,
    height_ratios: Sequence[float] | None = None,
    num_legend_rows: int = 0,
) -> tuple["NotebookFigure", list[Axes]]:
    """A figure with its subject above it, and its axes, row by row.

    Args:
        title: what the figure is about.
        subtitle: under which conditions: corpora, policy, what an interval is.
        width: inches.
        height: inches, without the heading.
        num_rows: of axes.
        num_columns: of axes.
        sharex: whether all axes have the same x axis.
        height_ratios: of the rows; None: all alike.
        num_legend_rows: for which there is room under the heading, at `NotebookFigure.legend_top`.
    """
    max_width = 0.97 * (width - 0.24) * POINTS_PER_INCH  # letters on a screen are a little wider
    lines = broken(printable(subtitle), LABEL_SIZE, max_width)
    title_lines = broken(printable(title), _TITLE_SIZE, max_width, "bold")
    below = 0.34 + 0.2 * (len(title_lines) - 1)
    above_legend = below + 0.02 + 0.16 * len(lines)
    heading = above_legend + 0.18 * num_legend_rows
    total = height + heading
    figure = NotebookFigure(figsize=(width, total), layout="constrained")
    figure.legend_top = 1 - above_legend / total
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1, 1 - heading / total), w_pad=0.08, h_pad=0.06)
    margin = 0.12 / width
    figure.text(
        margin,
        1 - 0.1 / total,
        "\n".join(title_lines),
        ha="left",
        va="top",
        fontsize=_TITLE_SIZE,
        fontweight="bold",
        color=TEXT,
    ).set_in_layout(False)
    figure.text(
        margin,
        1 - below / total,
        "\n".join(lines),
        ha="left",
        va="top",
        fontsize=LABEL_SIZE,
        color=FAINT,
        linespacing=1.25,
    ).set_in_layout(False)
    axes = figure.subplots(num_rows, num_columns, squeeze=False, sharex=sharex, height_ratios=height_ratios)
    return figure, list(axes.flat)


def ink(color: str) -> str:
    """A colour dark enough to be read as text on white: contrast 4.5 (WCAG 2.2, success criterion 1.4.3)."""
    rgb = np.array(to_rgb(color))
    while 1.05 / (_luminance(rgb) + 0.05) < 4.5:
        rgb = rgb * 0.95
    return to_hex(tuple(rgb))


def shade(color: str, place: int, count: int) -> str:
    """The n-th of some shades of a colour, from two thirds of it to half of it and half white."""
    rgb = np.array(to_rgb(color))
    if count < 2:
        return to_hex(tuple(rgb))
    ends = (rgb * 2 / 3, (rgb + 1) / 2)
    return to_hex(tuple(ends[0] + (ends[1] - ends[0]) * place / (count - 1)))


def _luminance(rgb: NDArray[np.float64]) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


MAX_LINES = len(COLORS) * len(_DASHES)
"""As many as have a style of their own; see `line_style`."""


class LineStyle(TypedDict):
    """Keyword arguments of `matplotlib.axes.Axes.plot`."""

    color: str
    linestyle: _Dashes
    marker: str


def line_style(index: int) -> LineStyle:
    """Colour, dashes and marker of the n-th line: different for the first `MAX_LINES`."""
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": _DASHES[index // len(COLORS) % len(_DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def source_style(index: int) -> LineStyle:
    """The same of the n-th source of texts, which has no colour: colours are models'."""
    return line_style(index) | {"color": TEXT, "linestyle": _DASHES[index % len(_DASHES)]}
