"""Cells of tasks and of trained probes on their page: whatever numbers they hold, put side by side.

The results by length or bucket stand side by side: a task's `summary`; of trained networks the accuracy of
all seeds of an experiment in each test, by the names of ``evalkit probe table``. Everything else of a cell is
listed below them as its file has it, without knowing what it means; what its package says of a task stands
above.
"""

import json
import math
import re
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.analysis.configurations import unique
from evalkit.analysis.task_gains import gain_of
from evalkit.analysis.task_notes import TaskNotes, task_notes
from evalkit.analysis.task_pairs import PairedAccuracy, paired_accuracies
from evalkit.cells.probe_schema import ProbeCell, is_length, label_of_test
from evalkit.cells.schema import TaskCell, content_of
from evalkit.fields import to_json
from evalkit.files import slug, strict_json
from evalkit.report.text import signed
from evalkit.tasks import SummaryRow

_PLUMBING = ("kind", "schema_version", "status", "created", "environment", "sha256", "documents", "items")
_MAX_LIST = 12
_SETTING = {"num_layers": "layers", "labels": "labels", "train_length": "T", "num_steps": "steps"}
"""What is said of every training, and what ``evalkit probe table`` calls it."""


class Table(NamedTuple):
    """Records of a cell as text."""

    name: str
    header: list[str]
    rows: list[list[str]]


class Accuracy(NamedTuple):
    """An accuracy in percent, as text; of several seeds the median."""

    value: str
    range: str = ""
    """Its interval; empty where there are several, which say more."""
    beside: tuple[str, ...] = ()
    """What to compare it with, in a line each."""
    is_at_majority: bool = False
    seeds: str = ""
    """Each one's, where they differ."""


class ShownCell(NamedTuple):
    """Everything in a cell."""

    href: str
    title: str
    scalars: list[tuple[str, str]]
    """Name and text."""
    tables: list[Table]


class ShownRow(NamedTuple):
    """A model's line in the table of a task."""

    model: str
    links: list[tuple[str, str]]
    """Of its cells, one for each seed: the text, and where the cell lies."""
    settings: str
    """How the model was asked, or trained."""
    accuracies: dict[str, Accuracy]
    """By test."""
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
    is_trained: bool
    """Whether networks were trained on it; else pretrained models were asked."""
    tests: list[str]
    rows: list[ShownRow]
    cells: list[ShownCell]
    pairs: list[ShownPair]
    notes: TaskNotes | None
    """What its package says of it."""
    language_class: str
    """Of a regular language; empty where it is none, or nobody says it."""


def probe_groups(
    probes: Sequence[TaskCell | ProbeCell], results: Path, warn: Callable[[str], None]
) -> tuple[dict[str, str], list[ProbeGroup]]:
    """The cells by task.

    Args:
        probes: the cells.
        results: the folder under which they lie.
        warn: told of packages that cannot say what they know of a task.

    Returns:
        The files of the cells, by their path in the site; and a group for each task, those of trained
        networks first.

    Raises:
        ScoringError: a cell's rows cannot be read.
    """
    files: dict[str, str] = {}
    hrefs: dict[Path, str] = {}
    trained: dict[str, list[ProbeCell]] = {}
    pretrained: dict[str, list[TaskCell]] = {}
    taken: set[str] = set()
    for cell in probes:
        relative = cell.path.relative_to(results).as_posix()
        href = f"cells/probes/{unique(slug(relative.removesuffix('.json')), taken)}.json"
        files[href] = strict_json(content_of(cell))
        hrefs[cell.path] = href
        if isinstance(cell, ProbeCell):
            trained.setdefault(cell.task.name or cell.kind, []).append(cell)
        else:
            pretrained.setdefault(cell.task.name or cell.kind, []).append(cell)
    pairs = paired_accuracies(cell for cells in pretrained.values() for cell in cells)
    groups = [_trained_group(name, cells, hrefs, warn) for name, cells in sorted(trained.items())]
    for name, asked_cells in sorted(pretrained.items()):
        shown_pairs = [_shown_pair(pair) for pair in pairs if pair.task == name]
        groups.append(_asked_group(name, asked_cells, shown_pairs, hrefs, warn))
    return files, groups


def _trained_group(
    name: str, cells: Sequence[ProbeCell], hrefs: Mapping[Path, str], warn: Callable[[str], None]
) -> ProbeGroup:
    notes = task_notes(name, cells, warn)
    experiments: dict[Hashable, list[ProbeCell]] = {}
    for cell in cells:
        experiments.setdefault(cell.experiment, []).append(cell)
    for seeds in experiments.values():
        seeds.sort(key=lambda cell: cell.spec.seed)
    ordered = sorted(experiments.values(), key=lambda seeds: _place(seeds[0]))
    settings = _settings([seeds[0] for seeds in ordered])
    rows = [
        ShownRow(
            model=seeds[0].model.name or "unnamed model",
            links=[(f"seed {cell.spec.seed}", hrefs[cell.path]) for cell in seeds],
            settings=setting,
            accuracies=_seeds_accuracies(seeds),
            theory=_sufficient_layers(seeds[0], notes),
        )
        for seeds, setting in zip(ordered, settings, strict=True)
    ]
    theories = [cell.task.theory.language_class for cell in cells if cell.task.theory is not None]
    return ProbeGroup(
        name=name,
        is_trained=True,
        tests=_in_order(list(dict.fromkeys(test for row in rows for test in row.accuracies))),
        rows=rows,
        cells=[
            _everything(cell, hrefs[cell.path], f"{cell.model.name}, {setting}; seed {cell.spec.seed}")
            for seeds, setting in zip(ordered, settings, strict=True)
            for cell in seeds
        ],
        pairs=[],
        notes=notes,
        language_class=(notes and notes.language_class) or max(theories, default=""),
    )


def _asked_group(
    name: str,
    cells: Sequence[TaskCell],
    pairs: list[ShownPair],
    hrefs: Mapping[Path, str],
    warn: Callable[[str], None],
) -> ProbeGroup:
    ordered = sorted(cells, key=lambda cell: (cell.model.name or "", cell.task.method))
    rows = [
        ShownRow(
            model=cell.model.name or "unnamed model",
            links=[("the cell", hrefs[cell.path])],
            settings=cell.task.method,
            accuracies={row.bucket: _answered(row) for row in cell.summary},
        )
        for cell in ordered
    ]
    return ProbeGroup(
        name=name,
        is_trained=False,
        tests=_in_order(list(dict.fromkeys(test for row in rows for test in row.accuracies))),
        rows=rows,
        cells=[
            _everything(cell, hrefs[cell.path], f"{cell.model.name}, {cell.task.method}") for cell in ordered
        ],
        pairs=pairs,
        notes=task_notes(name, cells, warn),
        language_class="",
    )


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


def _everything(cell: TaskCell | ProbeCell, href: str, title: str) -> ShownCell:
    # Through JSON: in the order of the file, and lists where the cell has tuples.
    content = json.loads(strict_json(content_of(cell)))
    scalars, tables = _parts({name: value for name, value in content.items() if name not in _PLUMBING})
    return ShownCell(href, title, scalars, tables)


def _sufficient_layers(cell: ProbeCell, notes: TaskNotes | None) -> str:
    if notes is not None and cell.model.name in notes.layers:
        return notes.layers[cell.model.name]
    theory = cell.task.theory
    return (theory and theory.sufficient_layers) or ""


def _answered(row: SummaryRow) -> Accuracy:
    """What a model answered to the questions of a bucket."""
    beside = [f"chance {_percent(row.chance)}"]
    if row.baseline_accuracy is not None:
        beside.append(f"best heuristic {_percent(row.baseline_accuracy)}")
    value, low, high = gain_of(row)
    ends = "" if low is None or high is None else f" ({signed(100 * low, 1)} to {signed(100 * high, 1)})"
    beside.append(f"gain {signed(100 * value, 1)}{ends}")
    interval = f"{_percent(row.low)}–{_percent(row.high)}"
    return Accuracy(_percent(row.accuracy), interval, tuple(beside))


def _seeds_accuracies(seeds: Sequence[ProbeCell]) -> dict[str, Accuracy]:
    """The accuracies of an experiment's seeds, and its L90."""
    accuracies = {}
    for test in seeds[0].tests_by_length():
        headlines = [cell.headline(test) for cell in seeds]
        first = headlines[0]
        accuracies[_column(seeds[0], test)] = Accuracy(
            value=_percent(statistics.median(headline.accuracy for headline in headlines)),
            range="" if len(seeds) > 1 else f"{_percent(first.low)}–{_percent(first.high)}",
            beside=() if first.majority is None else (f"constant {_percent(first.majority)}",),
            is_at_majority=all(headline.is_at_majority for headline in headlines),
            seeds=_different([_percent(headline.accuracy) for headline in headlines]),
        )
    lengths = [cell.l90_text for cell in seeds]
    # Of two the shorter one: a length beyond the longest string (>640) has no mean with another.
    middle = sorted(lengths, key=_length)[(len(lengths) - 1) // 2]
    return accuracies | {_L90: Accuracy(middle, seeds=_different(lengths))}


def _different(texts: Sequence[str]) -> str:
    return " ".join(texts) if len(set(texts)) > 1 else ""


def _length(l90: str) -> float:
    """By which texts of L90 are sorted: none first, those beyond the longest string last."""
    if l90.startswith(">"):
        return math.inf
    return float(l90) if l90.isdecimal() else -1.0


_L90 = "L90"
"""Its column."""


def _column(cell: ProbeCell, test: str) -> str:
    """The column of a test: by how many times its strings are as long as the longest in training."""
    times, remainder = divmod(int(test), cell.spec.train_length) if is_length(test) else (0, 1)
    return label_of_test(test) if remainder else f"{times}x"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _in_order(tests: list[str]) -> list[str]:
    """Multiples of the training length, lengths from short to long, then ranges, a task's own and L90.

    Other names as they came.
    """
    if not all(re.match(r"\d+(-\d+, | |x?$)", test) or test == _L90 for test in tests):
        return tests
    return sorted(
        tests,
        key=lambda test: (
            test == _L90,
            not test.endswith("x"),
            not is_length(test),
            "-" not in test,
            [int(part) for part in re.findall(r"\d+", test)],
            test,
        ),
    )


def _place(cell: ProbeCell) -> tuple[str, int, int, int, str]:
    spec = cell.spec
    return cell.model.name or "", spec.num_layers, spec.train_length, spec.num_steps, cell.path.name


def _settings(cells: Sequence[ProbeCell]) -> list[str]:
    """How each was trained: what is said of all, and what tells it from those that agree in that."""
    specs = [to_json(cell.spec) | {"task version": cell.task.version} for cell in cells]
    settings = []
    for cell, spec in zip(cells, specs, strict=True):
        alike = [
            rival
            for rival_cell, rival in zip(cells, specs, strict=True)
            if rival_cell.model.name == cell.model.name
            and all(rival[name] == spec[name] for name in _SETTING)
        ]
        words = {label: spec[name] for name, label in _SETTING.items()}
        for name in spec.keys() - _SETTING.keys() - {"seed"}:
            if len({_text(rival.get(name)) for rival in alike}) > 1:
                words[name.removeprefix("num_").replace("_", " ")] = spec[name]
        ordered = [*words][: len(_SETTING)], sorted([*words][len(_SETTING) :])
        settings.append(", ".join(f"{name} {_text(words[name])}" for part in ordered for name in part))
    return settings


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
