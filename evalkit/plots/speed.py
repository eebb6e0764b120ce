"""The plot of speed: operators beside their peers, models beside each other, on the machine they ran on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from evalkit.analysis.results import json_files
from evalkit.cells.reading import read_cell
from evalkit.cells.schema import CorpusCell
from evalkit.errors import EvalkitError, UsageError, unknown_name
from evalkit.plots.frame import BLUE, FAINT, GREY, LABEL_SIZE, RED, TEXT, frame, styled
from evalkit.plots.labels import short
from evalkit.plots.scores import Warn


class Ratio(NamedTuple):
    """A peer's time over ours."""

    operator: str
    peer: str
    ratio: float


class Throughput(NamedTuple):
    """How fast a model read a corpus."""

    model: str
    corpus: str
    bytes_per_s: float
    where: str


def read_speeds(
    results: Path | str, *, warn: Warn = lambda _: None
) -> tuple[list[Ratio], list[Throughput], str]:
    """What the benchmarks' JSON files and the cells under a folder, or one such file, say of speed.

    Args:
        results: a folder, or a file that ``evalkit bench`` or ``bench kernels`` printed with ``--json``.
        warn: told of every file that is left out.

    Returns:
        The ratios, the throughputs, and where the ratios were measured.

    Raises:
        UsageError: there is no such file or folder.
    """
    results = Path(results)
    if not results.exists():
        raise UsageError(
            f"{results}: no such file or folder; give results, or what `evalkit bench --json` printed"
        )
    paths = json_files(results) if results.is_dir() else [results]
    ratios: list[Ratio] = []
    throughputs: list[Throughput] = []
    machines: list[str] = []
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            warn(f"left out: {path} cannot be read as JSON ({type(error).__name__})")
            continue
        if not isinstance(content, dict):
            continue
        if "environment" in content and "status" not in content:
            try:
                measured = _benchmark_ratios(content)
                machine = _machine(content["environment"])
            except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
                warn(f"left out: {path} is not what `evalkit bench --json` prints ({type(error).__name__})")
                continue
            ratios += measured
            machines += [machine] if measured else []
        elif "status" in content:
            try:
                cell = read_cell(path)
            except EvalkitError as error:
                warn(f"left out: {error}")
                continue
            if isinstance(cell, CorpusCell):
                throughputs.append(_throughput(cell))
    return ratios, throughputs, "; ".join(dict.fromkeys(machine for machine in machines if machine))


def _benchmark_ratios(content: dict[str, Any]) -> list[Ratio]:
    if isinstance(content.get("rows"), list):
        return _kernel_ratios(content["rows"])
    if content.get("ratio_median") is not None:
        return [Ratio(f"RWKV-7 as a whole, {content['shape']}", "rwkv", float(content["ratio_median"]))]
    return []


def _kernel_ratios(rows: Sequence[dict[str, Any]]) -> list[Ratio]:
    found = []
    for row in rows:
        operator = f"{row['operator']}, {row['shape']}"
        found += [Ratio(operator, name, float(peer["ratio"])) for name, peer in row["peers"].items()]
        found.append(Ratio(operator, "the machine's limit", float(row["floor_s"]) / float(row["ours_s"])))
    return found


def _throughput(cell: CorpusCell) -> Throughput:
    torch = cell.environment.torch
    machine = (torch.gpu if torch else None) or cell.environment.cpu
    return Throughput(cell.model.name, cell.corpus.name, cell.metrics.bytes_per_s, machine)


def _machine(environment: dict[str, Any]) -> str:
    """The processor in words: a GPU where one was used."""
    return str(environment.get("gpu") or environment.get("cpu") or "")


@styled
def speed(
    results: Path | str,
    *,
    models: Sequence[str] = (),
    warn: Warn = lambda _: None,
) -> Figure:
    """Kernel and throughput ratios from benchmarks' JSON files, and bytes per second from cells.

    Args:
        results: a folder with cells, benchmarks' JSON files or both, or one such file.
        models: names; empty: all.
        warn: told of every file that is left out.

    Raises:
        UsageError: a name is unknown, or nothing under ``results`` says how fast anything was.
    """
    ratios, throughputs, machine = read_speeds(results, warn=warn)
    known = sorted({one.model for one in throughputs})
    for name in models:
        if name not in known:
            raise unknown_name("model", name, known, f"In {results} there are: {', '.join(known) or 'none'}.")
    throughputs = [one for one in throughputs if not models or one.model in models]
    if not ratios and not throughputs:
        raise UsageError(
            f"{results}: nothing here says how fast anything was; keep what `evalkit bench kernels --json` "
            "prints, or give result cells"
        )
    fastest = _fastest(throughputs)
    heights = [0.8 + 0.25 * _num_bars(part) for part in (ratios, fastest) if part]
    figure, axes = frame(
        "How fast: operators beside their peers, models beside each other"
        if ratios and fastest
        else "How fast operators are beside their peers"
        if ratios
        else "How fast models read",
        _subtitle(machine, fastest),
        height=sum(heights),
        num_rows=len(heights),
        height_ratios=heights,
    )
    if ratios:
        _draw_ratios(axes[0], ratios)
    if fastest:
        _draw_throughputs(axes[-1], fastest)
    return figure


def _subtitle(machine: str, fastest: Sequence[Throughput]) -> str:
    where = list(dict.fromkeys(one.where for one in fastest if one.where))
    parts = [f"operators timed in turn on {machine}"] if machine else []
    if fastest:
        places = f" on {where[0]}" if len(where) == 1 else ", on several machines" if where else ""
        parts.append(f"models: the fastest of their cells, without loading{places}")
    return "; ".join(parts)


def _fastest(throughputs: Sequence[Throughput]) -> list[Throughput]:
    """The fastest cell of each model, slowest model first."""
    best: dict[str, Throughput] = {}
    for one in throughputs:
        if one.model not in best or one.bytes_per_s > best[one.model].bytes_per_s:
            best[one.model] = one
    return sorted(best.values(), key=lambda one: (one.bytes_per_s, one.model))


def _num_bars(part: Sequence[Ratio] | Sequence[Throughput]) -> int:
    operators = {one.operator for one in part if isinstance(one, Ratio)}
    return len(part) + len(operators)


def _draw_ratios(axes: Axes, ratios: Sequence[Ratio]) -> None:
    operators = list(dict.fromkeys(one.operator for one in ratios))
    row, ticks, names = 0, [], []
    for operator in operators:
        axes.text(
            0,
            row,
            operator,
            transform=axes.get_yaxis_transform(),
            fontsize=LABEL_SIZE,
            fontweight="bold",
            color=TEXT,
            va="center",
            backgroundcolor="white",
        )
        row += 1
        for one in sorted((one for one in ratios if one.operator == operator), key=lambda one: one.ratio):
            color = GREY if one.peer == "the machine's limit" else BLUE if one.ratio >= 1 else RED
            axes.barh(row, one.ratio - 1, left=1, height=0.62, color=color)
            axes.text(
                1.01,
                row,
                f"{one.ratio:.2f} ×",
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=LABEL_SIZE,
                color=TEXT,
            )
            ticks.append(row)
            names.append(one.peer)
            row += 1
    axes.set_xscale("log", base=2)
    axes.axvline(1, color=FAINT, linewidth=1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} ×"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(ticks, names)
    axes.set_ylim(row - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    low = min(one.ratio for one in ratios)
    high = max(one.ratio for one in ratios)
    axes.set_xlim(min(0.45, low / 1.2), max(2.2, high * 1.2))
    axes.set_xlabel(
        "time over ours; blue, right of 1: ours is faster;\nred: slower; grey: what the machine would allow"
    )


def _draw_throughputs(axes: Axes, throughputs: Sequence[Throughput]) -> None:
    for row, one in enumerate(throughputs):
        axes.plot([one.bytes_per_s], [row], marker="o", color=BLUE)
        axes.text(
            1.01,
            row,
            f"{one.bytes_per_s / 1e3:,.3g} kB/s"
            if one.bytes_per_s < 1e6
            else f"{one.bytes_per_s / 1e6:,.3g} MB/s",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=LABEL_SIZE,
            color=TEXT,
        )
    axes.set_xscale("log")
    axes.set_yticks(range(len(throughputs)), [short(one.model) for one in throughputs])
    axes.set_ylim(-0.6, len(throughputs) - 0.4)
    axes.xaxis.set_major_formatter(
        FuncFormatter(
            lambda value, _: f"{value / 1e3:,.12g} kB/s" if value < 1e6 else f"{value / 1e6:,.12g} MB/s"
        )
    )
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("text scored per second, higher is better")
