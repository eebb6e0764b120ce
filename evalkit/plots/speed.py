"""The plot of speed: operators beside their peers, models beside each other, on the machine they ran on."""

import os
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import blended_transform_factory

from evalkit.analysis.estimates import Estimate
from evalkit.analysis.results import Results, read_results
from evalkit.analysis.speeds import Benchmarks, Ratio, Throughput, read_benchmarks, throughputs
from evalkit.cells.object_store import copied_folder, is_url
from evalkit.errors import UsageError, unknown_name
from evalkit.patterns import matching_names
from evalkit.plots import edges
from evalkit.plots.frame import BLUE, FAINT, GREY, LABEL_SIZE, RED, TEXT, Mark, frame, record, styled
from evalkit.plots.lines import model_styles
from evalkit.plots.names import short
from evalkit.plots.scores import Source, Warn, name_of, silent

_MOST_LETTERS = 92
"""Of an operator's name above its bars, from the figure's edge on: more would leave the figure."""


@styled
def speed(
    results: Source,
    *,
    benchmarks: Path | None = None,
    models: Sequence[str] = (),
    warn: Warn = silent,
) -> Figure:
    """Kernel and throughput ratios from benchmarks' JSON files, and bytes per second from cells.

    Args:
        results: cells, read or in their folder; or a file that ``evalkit bench`` printed.
        benchmarks: folder of benchmarks' JSON files; None: that of the cells.
        models: names; empty: all.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is unknown, or nothing says how fast anything was.
    """
    measured, speeds, scored = _read(results, benchmarks, warn)
    known_names = sorted({speed.model for speed in speeds})
    models = matching_names(models, known_names)
    for name in models:
        if name not in known_names:
            hint = f"In {name_of(results)} there are: {', '.join(known_names) or 'none'}."
            raise unknown_name("model", name, known_names, hint)
    ratios = measured.ratios
    fastest = _fastest([speed for speed in speeds if not models or speed.model in models])
    if not ratios and not fastest:
        raise UsageError(
            f"{name_of(results)}: nothing here says how fast anything was; keep what `evalkit bench kernels "
            "--json` prints, or give result cells"
        )
    heights = [0.8 + 0.25 * num_bars for num_bars in (_num_bars(ratios), len(fastest)) if num_bars]
    figure, axes = frame(
        "How fast: operators beside their peers, models beside each other"
        if ratios and fastest
        else "How fast operators are beside their peers"
        if ratios
        else "How fast models read",
        _subtitle(measured.machine, fastest) + _beyond(fastest, scored),
        height=sum(heights),
        num_rows=len(heights),
        height_ratios=heights,
    )
    if ratios:
        _draw_ratios(axes[0], ratios)
    if scored is not None and fastest:
        _draw_throughputs(axes[-1], fastest, scored)
    return figure


def _read(
    source: Source, benchmarks: Path | None, warn: Warn
) -> tuple[Benchmarks, list[Throughput], Results | None]:
    """What a source says of speed; of a folder, whether it holds cells, benchmarks or both."""
    if isinstance(source, Results):
        cells = [cell.path for cell in (*source.cells, *source.probes)]
        return read_benchmarks(benchmarks or source.folder, cells, warn=warn), throughputs(source), source
    place = Path(source)
    if is_url(source):
        place = copied_folder(os.fspath(source), tell=warn)
    if not place.is_dir():
        return read_benchmarks(place, warn=warn), [], None
    try:
        results = read_results(place, warn=silent)
    except UsageError:  # no cell at all
        return read_benchmarks(benchmarks or place, warn=warn), [], None
    measured, speeds, _ = _read(results, benchmarks, warn)
    for skipped in results.left_out:
        if place / skipped.path not in measured.files:
            warn(f"left out: {skipped.path} {skipped.reason}")
    return measured, speeds, results


def _limits(fastest: Sequence[Throughput], scored: Results) -> edges.Limits:
    """Of the axis of speeds, which language models set where there are some."""
    compressors = {row.model for row in scored.configurations if row.policy is None}
    speeds = [speed.bytes_per_s for speed in fastest if speed.model not in compressors]
    speeds = speeds or [speed.bytes_per_s for speed in fastest]
    return edges.Limits(min(speeds) / 1.5, max(speeds) * 1.5)


def _beyond(fastest: Sequence[Throughput], scored: Results | None) -> str:
    """What arrows are, if there are some."""
    if scored is None or not fastest:
        return ""
    limits = _limits(fastest, scored)
    return f"; {edges.LEGEND}" if any(limits.side(speed.bytes_per_s) for speed in fastest) else ""


def _subtitle(machine: str, fastest: Sequence[Throughput]) -> str:
    machines = list(dict.fromkeys(speed.machine for speed in fastest if speed.machine))
    parts = [f"operators timed in turn on {machine}"] if machine else []
    if fastest:
        places = f" on {machines[0]}" if len(machines) == 1 else ", on several machines" if machines else ""
        parts.append(f"models: the fastest of their cells, without loading{places}")
    return "; ".join(parts)


def _fastest(speeds: Sequence[Throughput]) -> list[Throughput]:
    """The fastest cell of each model, slowest model first."""
    best: dict[str, Throughput] = {}
    for speed in speeds:
        if speed.model not in best or speed.bytes_per_s > best[speed.model].bytes_per_s:
            best[speed.model] = speed
    return sorted(best.values(), key=lambda speed: (speed.bytes_per_s, speed.model))


def _num_bars(ratios: Sequence[Ratio]) -> int:
    """Rows that ratios take: one for each, and one for each operator's name."""
    return len(ratios) + len({ratio.operator for ratio in ratios})


def _draw_ratios(axes: Axes, ratios: Sequence[Ratio]) -> None:
    row, ticks, names = 0, [], []
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    # From the figure's edge on, since a name may end with the processor, which tells it from another's.
    from_edge = blended_transform_factory(figure.transFigure, axes.transData)
    for operator in dict.fromkeys(ratio.operator for ratio in ratios):
        axes.text(
            0.12 / figure.get_figwidth(),
            row,
            operator if len(operator) <= _MOST_LETTERS else f"{operator[: _MOST_LETTERS - 1]}…",
            transform=from_edge,
            fontsize=LABEL_SIZE,
            fontweight="bold",
            color=TEXT,
            va="center",
            backgroundcolor="white",
        ).set_in_layout(False)
        row += 1
        members = [ratio for ratio in ratios if ratio.operator == operator]
        for ratio in sorted(members, key=lambda ratio: ratio.ratio):
            color = GREY if ratio.is_limit else BLUE if ratio.ratio >= 1 else RED
            axes.barh(row, ratio.ratio - 1, left=1, height=0.62, color=color)
            _write_beside(axes, row, f"{ratio.ratio:.2f} ×")
            ticks.append(row)
            names.append(ratio.peer)
            row += 1
    axes.set_xscale("log", base=2)
    axes.axvline(1, color=FAINT, linewidth=1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} ×"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(ticks, names)
    axes.set_ylim(row - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    values = [ratio.ratio for ratio in ratios]
    axes.set_xlim(min(0.45, min(values) / 1.2), max(2.2, max(values) * 1.2))
    axes.set_xlabel(
        "time over ours; blue, right of 1: ours is faster;\nred: slower; grey: what the machine would allow"
    )


def _draw_throughputs(axes: Axes, speeds: Sequence[Throughput], scored: Results) -> None:
    styles, limits = model_styles(scored), _limits(speeds, scored)
    for row, speed in enumerate(speeds):
        x, side = limits.pinned(speed.bytes_per_s), limits.side(speed.bytes_per_s)
        color = styles[speed.model]["color"]
        marker = edges.SIDEWAYS_MARKERS.get(side, "o")
        axes.plot([x], [row], marker=marker, color=color, clip_on=not side)
        number = Estimate(speed.bytes_per_s, None, None)
        record(axes, Mark(speed.model, speed.corpus, x, row, number, color, False, True))
        _write_beside(axes, row, _rate(speed.bytes_per_s, digits=3))
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    axes.set_yticks(range(len(speeds)), [short(speed.model) for speed in speeds])
    axes.set_ylim(-0.6, len(speeds) - 0.4)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _rate(value, digits=12)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("text scored per second, higher is better")


def _write_beside(axes: Axes, row: int, text: str) -> None:
    """A number to the right of its row."""
    axes.text(
        1.01,
        row,
        text,
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=LABEL_SIZE,
        color=TEXT,
    )


def _rate(bytes_per_s: float, *, digits: int) -> str:
    """``12 kB/s``, ``1.5 MB/s``."""
    if bytes_per_s < 1e6:
        return f"{bytes_per_s / 1e3:,.{digits}g} kB/s"
    return f"{bytes_per_s / 1e6:,.{digits}g} MB/s"
