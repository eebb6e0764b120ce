"""``evalkit status``: how far the runs in a folder are."""

from typing import TYPE_CHECKING

from evalkit.cli.parsing import DEFAULT_OUTPUT, JsonOption, ResultsArgument
from evalkit.terminal import show, show_json

if TYPE_CHECKING:
    from evalkit.runner.journal import CellStatus, RunStatus


def status_command(
    output: ResultsArgument = str(DEFAULT_OUTPUT),
    as_json: JsonOption = False,
) -> None:
    """Show how far the runs are that are at work in a folder, from another terminal or machine."""
    from evalkit.fields import to_json
    from evalkit.runner.folder_status import folder_status

    num_cells, statuses = folder_status(output)
    if as_json:
        runs = [{**to_json(status), "is_alive": status.is_alive} for status in statuses]
        show_json({"schema_version": 1, "num_cells": num_cells, "runs": runs})
        return
    show(f"{num_cells} cells in {output}")
    if not statuses:
        show("no run is at work there")
    for status in statuses:
        for line in _lines(status):
            show(line)


def _lines(status: "RunStatus") -> list[str]:
    state = {True: "at work", False: "killed", None: "last heard of"}[status.is_alive]
    words = (
        f"{status.num_done + status.num_scored} of {status.num_cells} cells done, {status.num_scored} by it"
    )
    host = status.host.partition(" ")[0]
    return [
        f"process {status.pid} on {host}, since {status.started}, {state} {status.updated}: {words}, "
        f"{len(status.failures)} failed, {status.num_left} to go",
        *(f"  {_line(cell)}" for cell in status.current),
        *(f"  FAILED {of.model} on {of.subject}: {of.reason}" for of in status.failures),
    ]


def _line(cell: "CellStatus") -> str:
    from evalkit.runner.progress import duration

    estimate = ""
    if 0 < cell.done < 1:
        estimate = f", {duration(cell.elapsed_s * (1 - cell.done) / cell.done)} left"
    return f"{cell.model} on {cell.subject}: {cell.num_finished}/{cell.num_parts}, {cell.done:.0%}{estimate}"
