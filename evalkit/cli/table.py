"""``evalkit table``: what was scored, and what others have published."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.estimates import interval_text
from evalkit.cli.parsing import DEFAULT_OUTPUT, JsonOption, PolicyOption, ResultsArgument
from evalkit.scoring.policy import DEFAULT_POLICY
from evalkit.terminal import complain, print_table, show, show_json

if TYPE_CHECKING:
    from evalkit.analysis.estimates import Estimate
    from evalkit.analysis.published import ComparedRow, PublishedTable
    from evalkit.analysis.results import Results


def table_command(
    results: ResultsArgument = str(DEFAULT_OUTPUT),
    published: Annotated[
        bool, typer.Option("--published", help="Tables of others, with ours of the same beside them.")
    ] = False,
    by: Annotated[
        str | None, typer.Option("--by", help="step: training runs, checkpoint by checkpoint.")
    ] = None,
    policy: PolicyOption = DEFAULT_POLICY,
    as_json: JsonOption = False,
) -> None:
    """Print the bits per byte of every cell, or with --published what others have published.

    With --by step of training runs, checkpoint by checkpoint, with the paired change from the one before.
    """
    from evalkit.analysis.results import read_results
    from evalkit.cells.object_store import is_url
    from evalkit.errors import UsageError

    if by not in (None, "step"):
        raise UsageError(f"--by {by}: tables go by step, or without --by by cell")
    if by is not None and published:
        raise UsageError("--by step is about our own runs; leave --published out")
    if by is None and policy != DEFAULT_POLICY:
        raise UsageError("--policy goes with --by step; a table by cell shows every policy")

    # Without results, what is published is still there to be read.
    is_there = is_url(results) or Path(results).is_dir()
    scored = None
    if is_there or not published:
        scored = read_results(results, warn=complain, with_limited=not published)
    if by is not None and scored is not None:
        _print_steps(scored, policy, as_json=as_json)
    elif published:
        _print_published(scored, as_json=as_json)
    elif scored is not None:
        _print_cells(scored, as_json=as_json)


def _print_cells(results: "Results", *, as_json: bool) -> None:
    rows = [
        {
            "corpus": cell.corpus.name if index in corpus.part_cells else corpus.label,
            "model": results.configurations[index].label,
            "policy": cell.policy.name if cell.totals.num_tokens is not None else None,
            "prefix": cell.policy.prefix,
            "bits_per_byte": cell.bits_per_byte,
        }
        for corpus in results.corpora
        for index, cell in sorted(corpus.all_cells.items(), key=lambda item: item[1].bits_per_byte)
    ]
    if as_json:
        show_json({"cells": rows})
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("corpus", "model", "policy", "prefix"):
        table.add_column(heading, no_wrap=True)
    table.add_column("bits per byte", justify="right")
    for row in rows:
        words = [str(row[name] or "–") for name in ("corpus", "model", "policy", "prefix")]
        table.add_row(*words, f"{row['bits_per_byte']:.4f}")
    print_table(table, sys.stdout)


def _print_steps(results: "Results", policy: str, *, as_json: bool) -> None:
    from evalkit.analysis.curves import NO_FIT, CurveOptions, curves

    drawn = curves(results, CurveOptions(policy, fit=NO_FIT), warn=complain)
    if as_json:
        show_json({"policy": policy, "curves": [curve.to_json() for curve in drawn]})
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("corpus", "run"):
        table.add_column(heading, no_wrap=True)
    for heading in ("step", "bits per byte", "95 %", "change", "95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for curve in drawn:
        for point in curve.points:
            words = [curve.subject, curve.run.name, f"{point.checkpoint.step:,}"]
            table.add_row(*words, *_estimate(point.level, ""), *_estimate(point.change, "+"))
    print_table(table, sys.stdout)


def _estimate(estimate: "Estimate | None", sign: str) -> tuple[str, str]:
    """A number and its interval."""
    if estimate is None:
        return "", ""
    return f"{estimate.value:{sign}.4f}", interval_text(estimate, sign)


def _print_published(results: "Results | None", *, as_json: bool) -> None:
    from evalkit.analysis.published import compare, published_tables
    from evalkit.models.catalog import load_catalog

    catalog = load_catalog()
    compared = [(table, compare(table, results, catalog)) for table in published_tables()]
    if as_json:
        show_json({"tables": [_to_json(table, rows) for table, rows in compared]})
        return
    for table, rows in compared:
        _print_table(table, rows)


def _to_json(table: "PublishedTable", rows: "list[ComparedRow]") -> dict[str, object]:
    facts: dict[str, object] = {**table._asdict(), "columns": dict(table.columns)}
    facts["models"] = [
        {**row.published._asdict(), "ours": [ours._asdict() for ours in row.ours]} for row in rows
    ]
    return facts


def _print_table(published: "PublishedTable", rows: "list[ComparedRow]") -> None:
    from rich.table import Table

    from evalkit.analysis.published import DECIMALS

    places = DECIMALS[published.unit]
    show(f"{published.title}: published, {published.unit}, from {published.source}")
    policy = f"the protocol of policy {published.policy}" if published.policy else "a protocol of its own"
    show(f"{policy}. {published.note or ''}".rstrip())
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("model", no_wrap=True)
    for heading in published.columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.published.name, *(_number(value, places) for value in row.published.values))
        for ours in row.ours:
            table.add_row(f"  ours: {ours.label}", *(_number(value, places) for value in ours.values))
            table.add_row("  difference", *(_number(value, places, "+") for value in ours.differences))
    print_table(table, sys.stdout)
    show("")


def _number(value: float | None, places: int, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.{places}f}"
