"""Cells of tasks and of trained probes on their page: whatever numbers they hold, put side by side.

The results by length or bucket stand side by side: a task's `summary`, a trained probe's sequence accuracy in
each test. Everything else of a cell is listed below them as its file has it, without knowing what it means.
What was trained says how in its `spec`: layers and seed tell cells apart, and whatever else differs between
two that agree in these.
"""

import dataclasses
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.analysis.results import unique
from evalkit.analysis.task_pairs import PairedAccuracy, paired_accuracies
from evalkit.cells.probe_schema import ProbeCell, is_length, label_of_test
from evalkit.cells.schema import TaskCell, content_of
from evalkit.fields import to_json
from evalkit.files import slug, strict_json
from evalkit.report.text import signed

_PLUMBING = ("kind", "schema_version", "status", "created", "environment", "sha256", "documents", "items")
_MAX_LIST = 12
_TOLD_APART_BY = ("num_layers", "seed")


class Table(NamedTuple):
    """Records of a cell as text."""

    name: str
    header: list[str]
    rows: list[list[str]]


class Accuracy(NamedTuple):
    """An accuracy in percent, as text."""

    value: str
    range: str
    """Its interval; empty where there is none."""
    majority: str = ""
    """What the best constant answer would have got; empty where that is not known."""
    is_at_majority: bool = False


@dataclasses.dataclass
class ShownCell:
    """A cell on the page."""

    href: str
    model: str
    method: str | None
    spec: Mapping[str, object]
    accuracies: dict[str, Accuracy]
    """By test."""
    scalars: list[tuple[str, str]]
    """Name and text."""
    tables: list[Table]
    settings: str = ""
    """What tells it from the other cells of its model."""
    theory: str = ""
    """The layers that suffice by theory; empty where it says nothing."""


class ShownPair(NamedTuple):
    """Two models on the same items, as text."""

    model: str
    reference: str
    method: str
    difference: str
    """In points of percent."""
    range: str
    """Its interval."""
    num_items: int


class ProbeGroup(NamedTuple):
    """The cells of one task."""

    name: str
    tests: list[str]
    cells: list[ShownCell]
    pairs: list[ShownPair]
    language_class: str = ""
    """Of a regular language; empty where it is none, or the cells are older than that."""


def probe_groups(
    probes: Sequence[TaskCell | ProbeCell], results: Path
) -> tuple[dict[str, str], list[ProbeGroup]]:
    """The cells by task.

    Args:
        probes: the cells.
        results: the folder under which they lie.

    Returns:
        The files of the cells, by their path in the site; and a group for each task.

    Raises:
        ScoringError: a cell's rows cannot be read.
    """
    files: dict[str, str] = {}
    shown_cells: dict[str, list[ShownCell]] = {}
    taken: set[str] = set()
    for cell in probes:
        relative = cell.path.relative_to(results).as_posix()
        href = f"cells/probes/{unique(slug(relative.removesuffix('.json')), taken)}.json"
        files[href] = strict_json(content_of(cell))
        shown_cells.setdefault(cell.task.name or cell.kind, []).append(_shown(cell, href))
    pairs = paired_accuracies(cell for cell in probes if isinstance(cell, TaskCell))
    groups = []
    for name, cells in sorted(shown_cells.items()):
        tests = _in_order(list(dict.fromkeys(test for cell in cells for test in cell.accuracies)))
        _tell_apart(cells)
        cells.sort(key=lambda cell: (cell.model, cell.method or "", *_place(cell.spec)))
        shown_pairs = [_shown_pair(pair) for pair in pairs if pair.task == name]
        classes = [_language_class(cell) for cell in probes if cell.task.name == name]
        groups.append(ProbeGroup(name, tests, cells, shown_pairs, max(classes, default="")))
    return files, groups


def _shown_pair(pair: PairedAccuracy) -> ShownPair:
    ends = [signed(100 * end, 1) for end in pair.interval or ()]
    return ShownPair(
        model=pair.model,
        reference=pair.reference,
        method=pair.method,
        difference=signed(100 * pair.difference, 1),
        range=" to ".join(ends) or "–",
        num_items=pair.num_items,
    )


def _shown(cell: TaskCell | ProbeCell, href: str) -> ShownCell:
    # Through JSON: in the order of the file, and lists where the cell has tuples.
    content = json.loads(strict_json(content_of(cell)))
    scalars, tables = _parts({name: value for name, value in content.items() if name not in _PLUMBING})
    return ShownCell(
        href=href,
        model=cell.model.name or "unnamed model",
        method=cell.task.method if isinstance(cell, TaskCell) else None,
        spec=to_json(cell.spec) if isinstance(cell, ProbeCell) else {},
        accuracies=_accuracies(cell),
        scalars=scalars,
        tables=tables,
        theory=_sufficient_layers(cell),
    )


def _language_class(cell: TaskCell | ProbeCell) -> str:
    theory = cell.task.theory if isinstance(cell, ProbeCell) else None
    return "" if theory is None else theory.language_class


def _sufficient_layers(cell: TaskCell | ProbeCell) -> str:
    theory = cell.task.theory if isinstance(cell, ProbeCell) else None
    return (theory and theory.sufficient_layers) or ""


def _accuracies(cell: TaskCell | ProbeCell) -> dict[str, Accuracy]:
    if isinstance(cell, TaskCell):
        return {row.bucket: _percent(row.accuracy, row.low, row.high) for row in cell.summary}
    accuracies = {}
    for name in sorted(cell.tests):
        headline = cell.headline(name)
        accuracies[label_of_test(name)] = _percent(headline.accuracy, headline.low, headline.high)._replace(
            majority="" if headline.majority is None else f"{100 * headline.majority:.1f}",
            is_at_majority=headline.is_at_majority,
        )
    return accuracies


def _percent(value: float, low: float, high: float) -> Accuracy:
    return Accuracy(f"{100 * value:.1f}", f"{100 * low:.1f}–{100 * high:.1f}")


def _in_order(tests: list[str]) -> list[str]:
    """Lengths from short to long, then ranges of lengths, then a task's own; other names as they came."""
    if not all(re.match(r"\d+(-\d+, | |$)", test) for test in tests):
        return tests
    return sorted(
        tests,
        key=lambda test: (
            not is_length(test),
            "-" not in test,
            [int(part) for part in re.findall(r"\d+", test)],
            test,
        ),
    )


def _place(spec: Mapping[str, object]) -> list[float]:
    values = [spec.get(name) for name in _TOLD_APART_BY]
    return [value if isinstance(value, int | float) else 0 for value in values]


def _tell_apart(cells: Sequence[ShownCell]) -> None:
    """Gives each cell its settings, in words."""
    alike = defaultdict(list)
    for cell in cells:
        alike[cell.model, cell.method, *_place(cell.spec)].append(cell)
    for members in alike.values():
        names = sorted({name for cell in members for name in cell.spec} - set(_TOLD_APART_BY))
        differing = [name for name in names if len({_text(cell.spec.get(name)) for cell in members}) > 1]
        for cell in members:
            shown = [name for name in (*_TOLD_APART_BY, *differing) if name in cell.spec]
            words = [
                f"{name.removeprefix('num_').replace('_', ' ')} {_text(cell.spec[name])}" for name in shown
            ]
            cell.settings = ", ".join(filter(None, [cell.method, *words]))


def _parts(content: Mapping[str, object], prefix: str = "") -> tuple[list[tuple[str, str]], list[Table]]:
    """What can be told in a line, and what needs a table: records in a list or an object."""
    scalars: list[tuple[str, str]] = []
    tables: list[Table] = []
    for name, value in content.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, list) and value and all(isinstance(record, dict) for record in value):
            tables.append(_table(label, value))
        elif isinstance(value, dict) and value and all(isinstance(part, dict) for part in value.values()):
            tables.append(_table(label, [{"": key, **record} for key, record in value.items()]))
        elif isinstance(value, dict):
            inner_scalars, inner_tables = _parts(value, f"{prefix}{name} · ")
            scalars += inner_scalars
            tables += inner_tables
        else:
            scalars.append((label, _text(value)))
    return scalars, tables


def _table(name: str, records: Sequence[Mapping[str, object]]) -> Table:
    header = list(dict.fromkeys(key for record in records for key in record))
    rows = [[_text(record.get(key)) for key in header] for record in records]
    return Table(name, [key.replace("_", " ") for key in header], rows)


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", "−")
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list) and len(value) > _MAX_LIST:
        return f"{len(value):,} values, in the cell"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
