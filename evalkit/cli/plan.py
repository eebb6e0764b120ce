"""``evalkit plan``: what a run would take on a device."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import (
    CorporaOption,
    DtypeOption,
    JsonOption,
    LimitOption,
    ModelsOption,
    names_or,
)
from evalkit.terminal import print_table, show, show_json

if TYPE_CHECKING:
    from evalkit.runner.estimate import ModelEstimate
    from evalkit.runner.throughput import Device


def plan_command(
    models: ModelsOption = None,
    corpora: CorporaOption = None,
    device: Annotated[
        str, typer.Option("--device", help="h100, h200, a100, l40s, l4, mi300x or cpu.")
    ] = "h100",
    limit: LimitOption = None,
    dtype: DtypeOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Estimate what a run would take: cells, tokens, hours of a device and memory.

    By recorded speeds, each with its source, and where nobody measured one by the device's peak. Nothing is
    loaded; finished cells count too (`run --dry-run` tells which are).
    """
    from evalkit.runner.corpora import DEFAULT_CORPORA, DEFAULT_MODELS
    from evalkit.runner.estimate import BYTES_PER_TOKEN, estimate
    from evalkit.runner.throughput import find_device

    on = find_device(device)
    estimates = estimate(
        names_or(models, DEFAULT_MODELS), names_or(corpora, DEFAULT_CORPORA), on, dtype=dtype, limit=limit
    )
    if as_json:
        show_json(
            {
                "schema_version": 1,
                "device": on._asdict(),
                "bytes_per_token": BYTES_PER_TOKEN,
                "models": [_content(of, on) for of in estimates],
            }
        )
        return
    _print(estimates, on)
    for of in estimates:
        if of.problem is not None:
            show(f"not estimated: {of.model}: {of.problem}", err=True)
    show(f"tokens: estimated, {BYTES_PER_TOKEN:g} bytes each; windows that are read again are not counted")
    for source in dict.fromkeys(of.speed.source for of in estimates if of.speed):
        show(f"speed: {source}")


def _content(of: "ModelEstimate", device: "Device") -> dict[str, object]:
    speed = of.speed and of.speed._asdict()
    return {**of._asdict(), "speed": speed, "num_devices": of.num_devices(device)}


def _print(estimates: "list[ModelEstimate]", device: "Device") -> None:
    from rich.table import Table

    table = Table(title=f"on {device.name}", box=None, header_style="bold", pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in ("cells", "tokens", "tokens/s", "hours", "memory GB", "devices"):
        table.add_column(name, justify="right", no_wrap=True)
    for of in estimates:
        numbers = ["–"] * 4
        if of.speed is not None and of.hours is not None and of.memory_gb is not None:
            mark = "" if of.speed.is_measured else " c"
            numbers = [f"{of.speed.tokens_per_s:,.0f}{mark}", f"{of.hours:.2f}", f"{of.memory_gb:.1f}"]
            numbers.append(str(of.num_devices(device)))
        table.add_row(of.model, str(of.num_cells), f"{of.num_tokens:,}", *numbers)
    hours = sum(of.hours or 0 for of in estimates)
    cells, tokens = sum(of.num_cells for of in estimates), sum(of.num_tokens for of in estimates)
    table.add_row("all", str(cells), f"{tokens:,}", "", f"{hours:.2f}", "", "")
    print_table(table, sys.stdout)
    show("c: computed, not measured, and too high for small models; hours are those of one device")
