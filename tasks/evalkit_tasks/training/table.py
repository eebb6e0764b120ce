"""The trained probes as tables, as plot data, and beside what others have published."""

import csv
import dataclasses
import functools
import tomllib
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TextIO

from evalkit.cells import fields
from evalkit.cells.probe_schema import ProbeCell, ProbeSpec
from evalkit.files import atomic_write
from evalkit_tasks.metrics import min_layers
from evalkit_tasks.training.catalog import task_names
from evalkit_tasks.training.networks import ARCHITECTURES, display_name
from evalkit_tasks.training.other_tasks import NEGATIVE_CONTROLS
from evalkit_tasks.training.suites import quick_claims

THRESHOLDS = (0.90, 0.95, 0.99)


class Group(NamedTuple):
    """The seeds of one and the same experiment."""

    spec: ProbeSpec
    """Of the first seed."""
    cells: list[ProbeCell]

    @property
    def model(self) -> str:
        """The network as tables name it."""
        return self.cells[0].model.name

    def values(self, test: str, metric: str) -> list[float]:
        """A metric of each seed that has it."""
        values = [cell.tests[test].metric(metric) for cell in self.cells]
        return [value for value in values if value is not None]


def groups(cells: Sequence[ProbeCell]) -> list[Group]:
    """Cells that differ in nothing but the seed, in the order of tasks, networks and layers."""
    seeds: dict[ProbeSpec, list[ProbeCell]] = {}
    for cell in cells:
        seeds.setdefault(dataclasses.replace(cell.spec, seed=0), []).append(cell)
    in_order = [
        Group(members[0].spec, sorted(members, key=lambda cell: cell.spec.seed)) for members in seeds.values()
    ]
    return sorted(in_order, key=_order)


def _order(group: Group) -> tuple[Any, ...]:
    spec, names, models = group.spec, task_names(), list(ARCHITECTURES)
    return (
        names.index(spec.task) if spec.task in names else len(names),
        spec.task,
        models.index(spec.model),
        group.model,
        spec.num_layers,
        spec.labels,
        spec.train_length,
        spec.num_steps,
    )


def print_cells(cells: Sequence[ProbeCell], stream: TextIO) -> None:
    """Sequence accuracy by length, every seed, a table for each set of test lengths."""
    if not cells:
        return
    from rich.table import Table

    table = Table(
        title="share of strings with every label right, each seed (T: longest string in training)",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    for name in ("task", "model"):
        table.add_column(name, no_wrap=True)
    for name in ("layers", "labels", "T", "steps"):
        table.add_column(name, justify="right")
    multiples = sorted({multiple for cell in cells for multiple in cell.spec.test_multiples})
    for multiple in multiples:
        table.add_column(f"{multiple}x", justify="right")
    for name in ("L90", "last label, range", "CPU s"):
        table.add_column(name, justify="right")
    for group in groups(cells):
        spec = group.spec
        row = [spec.task + ("*" if spec.task in NEGATIVE_CONTROLS else ""), group.model]
        row += [str(spec.num_layers), spec.labels, str(spec.train_length), str(spec.num_steps)]
        for multiple in multiples:
            test = str(multiple * spec.train_length)
            is_tested = multiple in spec.test_multiples
            row.append(_seeds(group.values(test, "sequence_accuracy")) if is_tested else "")
        row.append(_l90(group))
        if spec.test_range:
            test = "-".join(map(str, spec.test_range))
            row.append(f"{test}: {_seeds(group.values(test, 'last_position_accuracy'))}")
        else:
            row.append("")
        row.append(f"{sum(_cpu_s(cell) for cell in group.cells):.0f}")
        table.add_row(*row)
    _print(table, stream)
    if any(cell.task.is_negative_control for cell in cells):
        print(
            "* negative control: not a regular language; right at every length would be a leak", file=stream
        )
    if any(cell.training.stopped_by == "budget" for cell in cells):
        print(
            "some trainings ended with their CPU budget, before their last step; see the cells", file=stream
        )


def print_parity(cells: Sequence[ProbeCell], stream: TextIO) -> None:
    """Accuracy by position beside that of the permutation's parity, for the cells that have it."""
    measured = [
        cell
        for cell in cells
        if all(test.metric("parity_accuracy") is not None for test in cell.tests.values())
    ]
    if not measured:
        return
    from rich.table import Table

    table = Table(
        title="share of right labels, and of labels of the right parity, each seed",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    for name in ("task", "model"):
        table.add_column(name, no_wrap=True)
    for name in ("layers", "labels", "T", "steps"):
        table.add_column(name, justify="right")
    for name in ("letters", "label", "parity"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in groups(measured):
        spec = group.spec
        heads = [spec.task, group.model]
        heads += [str(spec.num_layers), spec.labels, str(spec.train_length), str(spec.num_steps)]
        for test in group.cells[0].tests_by_length():
            shares = [_seeds(group.values(test, f"{name}_accuracy")) for name in ("token", "parity")]
            table.add_row(*heads, test, *shares)
            heads = [""] * len(heads)
    print(file=stream)
    _print(table, stream)


def print_min_layers(cells: Sequence[ProbeCell], stream: TextIO) -> None:
    """The fewest layers that suffice, where more than one number of layers was tried."""
    rows = [row for row in min_layers_rows(cells) if len(row["layers_tried"].split()) > 1]
    if not rows:
        return
    from rich.table import Table

    table = Table(
        title="fewest layers at which the median seed reaches a sequence accuracy", box=None, pad_edge=False
    )
    for name in ("task", "model", "length", *(f">= {bound:.2f}" for bound in THRESHOLDS), "tried"):
        table.add_column(name, no_wrap=True)
    for row in rows:
        bounds = [str(row[f"min_layers_{bound:.2f}"] or "none") for bound in THRESHOLDS]
        table.add_row(row["task"], row["model"], row["test"], *bounds, row["layers_tried"])
    print(file=stream)
    _print(table, stream)


def print_claims(cells: Sequence[ProbeCell], stream: TextIO, *, only_trained: bool = False) -> bool:
    """What the quick suite claims, and whether every seed shows it; returns whether all claims hold."""
    from rich.table import Table

    table = Table(title="claims: what every seed has to show", box=None, header_style="bold", pad_edge=False)
    for name in ("claim", "expected", "measured", "", "after"):
        table.add_column(name, no_wrap=name != "claim")
    all_hold, num_rows = True, 0
    for claim in quick_claims():
        values = claim.values(cells)
        if only_trained and not values:
            continue
        holds = claim.holds(values)
        all_hold &= holds
        num_rows += 1
        measured = _seeds([values[seed] for seed in sorted(values)]) if values else "-"
        expected = f"{claim.low:.2f} to {claim.high:.2f}"
        table.add_row(claim.text, expected, measured, "holds" if holds else "DOES NOT HOLD", claim.source)
    if num_rows:
        print(file=stream)
        _print(table, stream)
    return all_hold


def print_published(cells: Sequence[ProbeCell], stream: TextIO) -> None:
    """Published accuracies with ours beside them, and where they come from."""
    from rich.table import Table

    sources = list(published()["sources"])
    table = Table(
        title="published accuracy in percent, and ours: median of seeds [all of them]",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    for name in ("task", "model", "test", "published", "", "ours", "ours was"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("published", "ours") else "left")
    for row in comparison_rows(cells):
        number = f"{row['value']:.1f}" + (
            f" ± {row['deviation']:.1f}" if row["deviation"] is not None else ""
        )
        scaled = "scaled, " if row["metric"].startswith("scaled") else ""
        mark = f"[{sources.index(row['source']) + 1}]"
        ours = (
            "-"
            if not row["ours"]
            else f"{median(row['ours']):.1f} [{' '.join(f'{v:.1f}' for v in row['ours'])}]"
        )
        table.add_row(
            row["task"], row["model"], scaled + row["test"], number, mark, ours, row["ours_setting"]
        )
    print(file=stream)
    _print(table, stream)
    print(
        "the sources train wider networks on the last label alone, tens of thousands of steps long; "
        "ours as the last column says",
        file=stream,
    )
    for place, name in enumerate(sources, start=1):
        source = published()["sources"][name]
        print(f"[{place}] {source['title']}. {source['url']}; {source['statistic']}", file=stream)


@functools.cache
def published() -> dict[str, Any]:
    """`published.toml`."""
    return tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))


def comparison_rows(cells: Sequence[ProbeCell]) -> list[dict[str, Any]]:
    """A row for each published number and each experiment of ours on the same task, network and lengths."""
    rows = []
    measured = groups(cells)
    for entry in published()["rows"]:
        source = published()["sources"][entry["source"]]
        eigenvalues = entry.get("eigenvalues", "off")
        known = entry["model"] in ARCHITECTURES
        name = display_name(entry["model"], eigenvalues) if known else entry["model"]
        for task, (value, *deviation) in entry["results"].items():
            row = {
                "task": task,
                "model": name + (f" ({entry['as']})" if "as" in entry else ""),
                "test": source["test"],
                "metric": source["metric"],
                "value": value,
                "deviation": deviation[0] if deviation else None,
                "source": entry["source"],
                "url": source["url"],
                "ours": [],
                "ours_setting": "",
            }
            fitting = [
                group
                for group in measured
                if known
                and group.spec.task == task
                and (group.spec.model, group.spec.negative_eigenvalues) == (entry["model"], eigenvalues)
                and source["test"] in group.cells[0].tests
            ]
            for group in fitting:
                spec = group.spec
                ours = [100 * v for v in group.values(source["test"], f"{source['metric']}_accuracy")]
                setting = f"{spec.num_layers} layers, {spec.labels} label, {spec.num_steps} steps"
                rows.append({**row, "ours": ours, "ours_setting": setting})
            if not fitting:
                rows.append(row)
    order = task_names()
    return sorted(rows, key=lambda row: order.index(row["task"]))


def curve_rows(cells: Sequence[ProbeCell]) -> list[dict[str, Any]]:
    """Plot data of the length curves: a row for each test of each cell."""
    return [
        {
            "task": cell.spec.task,
            "model": cell.model.name,
            "layers": cell.spec.num_layers,
            "labels": cell.spec.labels,
            "train_length": cell.spec.train_length,
            "steps": cell.spec.num_steps,
            "seed": cell.spec.seed,
            "test": name,
            **dict(sorted(fields.to_json(test).items())),
        }
        for group in groups(cells)
        for cell in group.cells
        for name, test in cell.tests_by_length().items()
    ]


def min_layers_rows(cells: Sequence[ProbeCell]) -> list[dict[str, Any]]:
    """Plot data of the min-layers charts: a row for each experiment, but for its layers, and each length."""
    sweeps: dict[ProbeSpec, list[Group]] = {}
    for group in groups(cells):
        sweeps.setdefault(dataclasses.replace(group.spec, seed=0, num_layers=1), []).append(group)
    rows = []
    for sweep in sweeps.values():
        for test in sweep[0].cells[0].tests_by_length():
            by_layers = {
                group.spec.num_layers: median(group.values(test, "sequence_accuracy")) for group in sweep
            }
            row: dict[str, Any] = {
                "task": sweep[0].spec.task,
                "model": sweep[0].model,
                "labels": sweep[0].spec.labels,
                "train_length": sweep[0].spec.train_length,
                "test": test,
                "layers_tried": " ".join(map(str, sorted(by_layers))),
            }
            for bound in THRESHOLDS:
                row[f"min_layers_{bound:.2f}"] = min_layers(by_layers, bound)
            rows.append(row)
    return rows


def to_json(cells: Sequence[ProbeCell]) -> dict[str, Any]:
    """All of the above as JSON."""
    return {
        "curves": curve_rows(cells),
        "min_layers": min_layers_rows(cells),
        "claims": [
            {
                "claim": claim.text,
                "metric": claim.metric,
                "test": claim.test,
                "low": claim.low,
                "high": claim.high,
                "values": list(values.values()),
                "holds": claim.holds(values),
                "source": claim.source,
            }
            for claim, values in ((claim, claim.values(cells)) for claim in quick_claims())
        ],
        "published": comparison_rows(cells),
    }


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A CSV file with a header; empty fields for what is not known."""
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        # Cells of different ages may have different metrics.
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def _seeds(values: list[float]) -> str:
    """Every seed's value; one where they agree as printed."""
    texts = [f"{value:.2f}" for value in values]
    return texts[0] if len(set(texts)) == 1 else " ".join(texts)


def _l90(group: Group) -> str:
    texts = [
        f">{cell.l90.test.rpartition('-')[2]}" if cell.l90.length is None else str(cell.l90.length)
        for cell in group.cells
    ]
    return texts[0] if len(set(texts)) == 1 else " ".join(texts)


def _cpu_s(cell: ProbeCell) -> float:
    return cell.training.training_cpu_s + cell.training.testing_cpu_s


def _print(table: Any, stream: TextIO) -> None:
    from rich.console import Console

    # Into a pipe or a file goes one line per row, however long.
    width = None if stream.isatty() else 10_000
    Console(file=stream, width=width, highlight=False, markup=False, soft_wrap=True).print(
        table, soft_wrap=False
    )
