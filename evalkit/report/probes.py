"""Probes' cells on their page: whatever numbers they hold, without knowing any probe.

A probe's cell is a JSON object with a ``kind``. What is looked for in it: ``task`` (its ``name`` and
``method``), ``model`` (its ``name``), and the results by length or bucket, which are a list ``summary`` of
records with ``bucket`` and ``accuracy``, or an object ``tests`` of objects with ``sequence_accuracy``. These
are put side by side; everything else of a cell is listed below them. What was trained says how under
``spec``: layers and seed tell cells apart, and whatever else differs between two that agree in these.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.analysis.results import unique
from evalkit.files import slug, strict_json

_PLUMBING = ("kind", "schema_version", "status", "created", "environment", "sha256", "documents", "items")
_MAX_LIST = 12
_TOLD_APART_BY = ("num_layers", "seed")


def probe_groups(
    probes: Sequence[tuple[str, dict[str, Any]]],
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Probes' cells by task.

    Args:
        probes: path and content of each.

    Returns:
        The files to copy into the site (path and text); and per task its name, the names of its tests, and
        its cells: a link, what tells it from others of its model, the accuracy in each test, scalars as
        pairs of name and text, tables.
    """
    files: dict[str, str] = {}
    groups: dict[str, list[dict[str, Any]]] = {}
    taken: set[str] = set()
    for path, content in probes:
        target = f"cells/probes/{unique(slug(path.removesuffix('.json')), taken)}.json"
        files[target] = strict_json(content)
        task = content.get("task")
        method = task.get("method") if isinstance(task, dict) else None
        scalars, tables = _parts({name: value for name, value in content.items() if name not in _PLUMBING})
        groups.setdefault(_name(task) or str(content["kind"]), []).append(
            {
                "href": target,
                "model": _name(content.get("model")) or "unnamed model",
                "method": method if isinstance(method, str) else None,
                "spec": content["spec"] if isinstance(content.get("spec"), dict) else {},
                "accuracies": _accuracies(content),
                "scalars": scalars,
                "tables": tables,
            }
        )
    found = []
    for name, cells in sorted(groups.items()):
        tests = _in_order(list(dict.fromkeys(test for cell in cells for test in cell["accuracies"])))
        _tell_apart(cells)
        cells.sort(key=lambda cell: (cell["model"], cell["method"] or "", *_place(cell["spec"])))
        found.append({"name": name, "tests": tests, "cells": cells})
    return files, found


def _in_order(tests: list[str]) -> list[str]:
    """Lengths from short to long, then ranges of lengths; other names as they came."""
    if not all(re.fullmatch(r"\d+(-\d+)?", test) for test in tests):
        return tests
    return sorted(tests, key=lambda test: ("-" in test, [int(part) for part in test.split("-")]))


def _place(spec: Mapping[str, Any]) -> list[float]:
    return [spec[name] if _is_number(spec.get(name)) else 0 for name in _TOLD_APART_BY]


def _tell_apart(cells: Sequence[dict[str, Any]]) -> None:
    """Gives each cell its ``settings``, in words."""
    alike = defaultdict(list)
    for cell in cells:
        alike[cell["model"], cell["method"], *_place(cell["spec"])].append(cell)
    for members in alike.values():
        names = sorted({name for cell in members for name in cell["spec"]} - set(_TOLD_APART_BY))
        differing = [name for name in names if len({_text(cell["spec"].get(name)) for cell in members}) > 1]
        for cell in members:
            shown = [name for name in (*_TOLD_APART_BY, *differing) if name in cell["spec"]]
            words = [
                f"{name.removeprefix('num_').replace('_', ' ')} {_text(cell['spec'][name])}" for name in shown
            ]
            cell["settings"] = ", ".join(filter(None, [cell["method"], *words]))


def _name(value: Any) -> str | None:
    found = value.get("name") if isinstance(value, dict) else value
    return found if isinstance(found, str) and found else None


def _accuracies(content: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """By test: the accuracy in percent, and its interval where there is one."""
    rows: list[tuple[Any, Any, Any, Any]] = []
    summary, tests = content.get("summary"), content.get("tests")
    if isinstance(summary, list):
        records = [row for row in summary if isinstance(row, dict)]
        rows = [(row.get("bucket"), row.get("accuracy"), row.get("low"), row.get("high")) for row in records]
    elif isinstance(tests, dict):
        keys = ("sequence_accuracy", "sequence_accuracy_low", "sequence_accuracy_high")
        rows = [(name, *map(row.get, keys)) for name, row in tests.items() if isinstance(row, dict)]
    return {
        str(test): {
            "value": f"{100 * value:.1f}",
            "range": f"{100 * low:.1f}–{100 * high:.1f}" if _is_number(low) and _is_number(high) else "",
        }
        for test, value, low, high in rows
        if _is_number(value)
    }


Scalars = list[tuple[str, str]]
Tables = list[dict[str, Any]]


def _parts(value: Mapping[str, Any], prefix: str = "") -> tuple[Scalars, Tables]:
    """What can be told in a line, and what needs a table: records in a list or an object."""
    scalars: Scalars = []
    tables: Tables = []
    for name, item in value.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(item, list) and item and all(isinstance(one, dict) for one in item):
            tables.append(_table(label, item))
        elif isinstance(item, dict) and item and all(isinstance(one, dict) for one in item.values()):
            tables.append(_table(label, [{"": key, **one} for key, one in item.items()]))
        elif isinstance(item, dict):
            inner_scalars, inner_tables = _parts(item, f"{prefix}{name} · ")
            scalars += inner_scalars
            tables += inner_tables
        else:
            scalars.append((label, _text(item)))
    return scalars, tables


def _table(name: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    header = list(dict.fromkeys(key for record in records for key in record))
    return {
        "name": name,
        "header": [key.replace("_", " ") for key in header],
        "rows": [[_text(record.get(key)) for key in header] for record in records],
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
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
