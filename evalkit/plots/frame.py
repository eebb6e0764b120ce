"""What all plots share: the style, the frame of a figure, labels that keep clear of each other, files.

Figures are made without pyplot, so that nothing of a user's own matplotlib session changes, and the same
cells give the same bytes with the same matplotlib.
"""

import dataclasses
import functools
import io
import itertools
import math
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from evalkit.analysis.rankings import Choice, Leaderboard, View, compute
from evalkit.analysis.results import Entrant, ScoredCorpus, Store, read_store
from evalkit.errors import UsageError, unknown_name
from evalkit.files import atomic_write

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
COLORS = (BLUE, RED, GREEN, YELLOW, CYAN, PURPLE)
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
MARKERS = ("o", "s", "^", "D", "v", "P")
SUFFIXES = (".svg", ".png", ".pdf")
TEXT, FAINT = "#333333", "#666666"
LABEL_SIZE = 8.0
BITS_AXIS = "bits per byte, lower is better"
_POINTS_PER_INCH = 72
_MAX_LABEL = 44
_METADATA: dict[str, dict[str, Any]] = {
    ".svg": {"Date": None},
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None},
}

Warn = Callable[[str], None]
P = ParamSpec("P")


class Plot(Figure):
    """A figure that notebooks show without pyplot."""

    def _repr_png_(self) -> bytes:
        return figure_bytes(self, ".png")


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw under evalkit's style, whatever style is set outside."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(["default", STYLE]):
            return function(*args, **kwargs)

    return wrapped


def check_file(path: Path) -> None:
    """Refuse a file name that says no format that can be written.

    Raises:
        UsageError: another ending than those of `SUFFIXES`.
    """
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
    with matplotlib.style.context(["default", STYLE]):
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
    **options: Any,
) -> tuple[Figure, list[Axes]]:
    """A figure with its subject above it, and its axes, row by row.

    Args:
        title: what the figure is about.
        subtitle: under which conditions: corpora, policy, what an interval is.
        width: inches.
        height: inches, without the heading.
        num_rows: of axes.
        num_columns: of axes.
        options: see `matplotlib.figure.Figure.subplots`.
    """
    lines = _wrapped(subtitle, width)
    heading = 0.36 + 0.16 * len(lines)
    total = height + heading
    figure = Plot(figsize=(width, total), layout="constrained")
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1, 1 - heading / total), w_pad=0.08, h_pad=0.06)
    left = 0.12 / width
    figure.text(
        left, 1 - 0.1 / total, title, ha="left", va="top", fontsize=11.5, fontweight="bold", color=TEXT
    ).set_in_layout(False)
    figure.text(
        left,
        1 - 0.34 / total,
        "\n".join(lines),
        ha="left",
        va="top",
        fontsize=LABEL_SIZE,
        color=FAINT,
        linespacing=1.25,
    ).set_in_layout(False)
    axes = figure.subplots(num_rows, num_columns, squeeze=False, **options)
    return figure, list(axes.flat)


def _wrapped(text: str, width: float) -> list[str]:
    # DejaVu Sans's letters are 0.58 of its size wide, on average.
    return textwrap.wrap(text, int(width * _POINTS_PER_INCH / (0.56 * LABEL_SIZE))) or [""]


def ink(color: str) -> str:
    """A colour dark enough to be read as text on white: contrast 4.5 (WCAG 2.2, success criterion 1.4.3)."""
    rgb = np.array(to_rgb(color))
    while 1.05 / (_luminance(rgb) + 0.05) < 4.5:
        rgb = rgb * 0.95
    return to_hex(tuple(rgb))


def _luminance(rgb: Any) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def line_style(index: int) -> dict[str, Any]:
    """Colour, dashes and marker of the n-th line: different for the first twenty-four."""
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": _DASHES[index // len(COLORS) % len(_DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


class EndLabel(NamedTuple):
    """A line's name, to be written at its right end."""

    y: float
    """Where the line ends."""
    text: str
    color: str
    x: float | None = None
    """Where the line ends; None: at the right edge."""


def short(name: str) -> str:
    """A name with its middle left out where it is too long for a label: paths differ at their ends."""
    return name if len(name) <= _MAX_LABEL else f"{name[: _MAX_LABEL // 2 - 1]}…{name[-_MAX_LABEL // 2 :]}"


def label_ends(axes: Axes, labels: Sequence[EndLabel], *, size: float = LABEL_SIZE) -> None:
    """Names to the right of the axes, as close to their lines' ends as they can be without touching."""
    if not labels:
        return
    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    height = axes.get_window_extent().height / figure.dpi * _POINTS_PER_INCH
    to_axes = axes.transData + axes.transAxes.inverted()
    order = sorted(range(len(labels)), key=lambda index: labels[index].y)
    if axes.yaxis_inverted():
        order.reverse()
    wanted = [float(to_axes.transform((1.0, labels[index].y))[1]) for index in order]
    for index, place in zip(order, _spread(wanted, size * 1.25 / height), strict=True):
        label = labels[index]
        own = to_axes.transform((1.0 if label.x is None else label.x, label.y))
        start = 1.0 if label.x is None else float(own[0])
        axes.plot(
            [start, 1.015, 1.035],
            [float(own[1]), place, place],
            color=label.color,
            linewidth=0.6,
            alpha=0.7,
            linestyle="-",
            marker="",
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(
            1.045,
            place,
            short(label.text),
            color=ink(label.color),
            fontsize=size,
            ha="left",
            va="center",
            transform=axes.transAxes,
        )


def _spread(wanted: Sequence[float], gap: float) -> list[float]:
    """The rising places nearest to the wanted ones, in squares, of which no two are closer than a gap."""
    # With the gaps taken off, that is isotonic regression: pool adjacent violators.
    blocks: list[list[float]] = []  # mean, count
    for index, place in enumerate(wanted):
        blocks.append([place - index * gap, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, count = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + mean * count) / (before[1] + count)
            before[1] += count
    flat = [mean for mean, count in blocks for _ in range(int(count))]
    return [mean + index * gap for index, mean in enumerate(flat)]


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float, str, str]],
    *,
    lines: Sequence[Sequence[tuple[float, float]]] = (),
    size: float = LABEL_SIZE,
) -> None:
    """Names beside points (x, y, name, colour), each where it covers the least of the others and of lines."""
    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]
    scale = figure.dpi / _POINTS_PER_INCH
    places = [axes.transData.transform((x, y)) for x, y, _, _ in points]
    box = axes.get_window_extent()
    taken = [(px - 5 * scale, py - 5 * scale, px + 5 * scale, py + 5 * scale) for px, py in places]
    for line in lines:
        for first, second in itertools.pairwise(axes.transData.transform(one) for one in line):
            for px, py in np.linspace(first, second, 60):
                taken.append((px - 2 * scale, py - 3 * scale, px + 2 * scale, py + 3 * scale))
    offsets = [
        (distance * math.cos(angle), distance * math.sin(angle))
        for distance in (9.0, 14.0, 22.0)
        for angle in np.deg2rad([0, 40, -40, 180, 140, -140, 90, -90])
    ]
    for (x, y, full_name, color), (px, py) in sorted(
        zip(points, places, strict=True), key=lambda one: one[1][0], reverse=True
    ):
        name = short(full_name)
        width, height = 0.62 * size * len(name) * scale, 1.15 * size * scale
        best: tuple[float, tuple[float, float], tuple[float, float, float, float], str] | None = None
        for rank, (dx, dy) in enumerate(offsets):
            align = "left" if dx > 1 else "right" if dx < -1 else "center"
            left = px + dx * scale - {"left": 0.0, "center": width / 2, "right": width}[align]
            low = py + dy * scale - height / 2
            area = (left, low, left + width, low + height)
            cost = sum(_overlap(area, other) for other in taken) + rank
            cost += 3 * (width * height - _overlap(area, (box.x0, box.y0, box.x1, box.y1)))
            if best is None or cost < best[0]:
                best = (cost, (dx, dy), area, align)
        assert best is not None
        taken.append(best[2])
        axes.annotate(
            name,
            (x, y),
            xytext=best[1],
            textcoords="offset points",
            ha=best[3],
            va="center",
            fontsize=size,
            color=ink(color),
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
            if math.hypot(*best[1]) > 10
            else None,
        )


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


class Scores(NamedTuple):
    """The cells that a plot is about, and their numbers."""

    store: Store
    board: Leaderboard
    policy: str

    @property
    def view(self) -> View:
        """All corpora under the policy.

        Raises:
            UsageError: no model was scored on each of the corpora.
        """
        view = self.board.views.get(Choice(self.policy, None, None))
        if view is None or not view.entrants:
            names = ", ".join(corpus.label for corpus in self.store.corpora)
            raise UsageError(
                f"no model has a cell under the policy {self.policy} on each of {names}; "
                "say which with --corpora"
            )
        return view

    @property
    def corpora(self) -> list[ScoredCorpus]:
        """Those of the view."""
        return [self.store.corpora[corpus] for corpus in self.view.corpora]

    def label(self, entrant: int) -> str:
        """The name of a row."""
        return self.store.entrants[entrant].label

    def conditions(self, aggregate: str = "macro") -> str:
        """What the numbers are about, in half a line."""
        corpora = self.corpora
        if len(corpora) == 1:
            what = f"{corpora[0].label}, {len(corpora[0].ids):,} documents"
        else:
            names = ", ".join(corpus.label for corpus in corpora[:4])
            more = f" and {len(corpora) - 4} more" if len(corpora) > 4 else ""
            what = f"{AGGREGATE_WORDS[aggregate]} {len(corpora)} corpora ({names}{more})"
        return f"{what}; policy {self.policy}"


AGGREGATE_WORDS = {
    "macro": "mean over",
    "micro": "all bits over all bytes of",
    "geometric": "geometric mean over",
}


def load_scores(
    results: Path | str,
    *,
    corpora: Sequence[str] = (),
    models: Sequence[str] = (),
    policy: str = "document",
    warn: Warn = lambda _: None,
) -> Scores:
    """The cells under a folder, and everything that the leaderboard makes of them.

    Args:
        results: what ``evalkit run --output`` wrote.
        corpora: names of those to keep; empty: all.
        models: names of those to keep; empty: all.
        policy: of the language models.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is not in the results, or nothing is left to show.
    """
    store = read_store(Path(results), warn=warn)
    if not store.corpora:
        raise UsageError(
            f"{results} holds no cell of a corpus, only probes; score a model with `evalkit run`"
        )
    if policy not in store.policies:
        raise unknown_name(
            "policy", policy, store.policies, f"In {results} there are: {', '.join(store.policies)}."
        )
    store = _only(store, corpora, models, policy, str(results))
    return Scores(store, compute(store, ["all"] * len(store.corpora)), policy)


def _only(store: Store, corpora: Sequence[str], models: Sequence[str], policy: str, where: str) -> Store:
    for kind, wanted, known in (
        ("corpus", corpora, {name for corpus in store.corpora for name in (corpus.name, corpus.label)}),
        ("model", models, {name for one in store.entrants for name in (one.model, one.label)}),
    ):
        for name in wanted:
            if name not in known:
                raise unknown_name(kind, name, known, f"In {where} there are: {', '.join(sorted(known))}.")
    kept = [
        index
        for index, one in enumerate(store.entrants)
        if one.policy in (policy, None) and (not models or one.model in models or one.label in models)
    ]
    place = {index: number for number, index in enumerate(kept)}
    left: list[ScoredCorpus] = []
    for corpus in store.corpora:
        cells = {place[index]: cell for index, cell in corpus.cells.items() if index in place}
        if cells and (not corpora or corpus.name in corpora or corpus.label in corpora):
            left.append(dataclasses.replace(corpus, bits=corpus.bits[:, kept], cells=cells))
    if not left:
        raise UsageError(f"{where}: no cell of these models on these corpora under the policy {policy}")
    entrants: tuple[Entrant, ...] = tuple(store.entrants[index] for index in kept)
    return dataclasses.replace(store, entrants=entrants, corpora=tuple(left))
