"""The trained probes as tables, and beside what others have published."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, TextIO

from evalkit.cells.probe_schema import ProbeCell, ProbeSpec, is_length, is_range
from evalkit.terminal import print_table, show
from evalkit_tasks.training.experiments import SOLVED_ACCURACY, Experiment, group_experiments
from evalkit_tasks.training.networks.architectures import display_name
from evalkit_tasks.training.plot_data import THRESHOLDS, fewest_layers_records
from evalkit_tasks.training.published import Comparison, compare, published
from evalkit_tasks.training.suites import quick_claims
from evalkit_tasks.training.tasks.other import NEGATIVE_CONTROLS
from evalkit_tasks.training.theory_rows import SOURCES, theory_rows

if TYPE_CHECKING:
    from rich.table import Table

    from evalkit_tasks.training.spec import TrainSpec

_SETTING = ("layers", "labels", "T", "steps")
"""Columns that say how a network was trained; T is the longest string in training."""


def print_cells(cells: Sequence[ProbeCell], stream: TextIO) -> None:
    """Print the sequence accuracy by length, of every seed."""
    if not cells:
        return
    multiples = sorted({multiple for cell in cells for multiple in cell.spec.test_multiples})
    have_own = any(map(_own_tests, cells))
    columns = [*(f"{multiple}x" for multiple in multiples), "L90", "last label, range"]
    table = _table(
        "share of strings with every label right, each seed (T: longest string in training)",
        texts=("task", "model"),
        numbers=(*_SETTING, *columns, *(["labels, other strings"] if have_own else []), "CPU s"),
    )
    for experiment in group_experiments(cells):
        spec = experiment.spec
        row = [spec.task + ("*" if spec.task in NEGATIVE_CONTROLS else ""), experiment.model]
        row += _setting(spec)
        for multiple in multiples:
            is_tested = multiple in spec.test_multiples
            test = str(multiple * spec.train_length)
            row.append(_headlines(experiment, test) if is_tested else "")
        row.append(_l90(experiment))
        if spec.test_range:
            test = "-".join(map(str, spec.test_range))
            row.append(f"{test}: {_headlines(experiment, test)}")
        else:
            row.append("")
        if have_own:
            own_tests = _own_tests(experiment.cells[0])
            row.append("; ".join(f"{test}: {_headlines(experiment, test)}" for test in own_tests))
        seconds = [cell.training.training_cpu_s + cell.training.testing_cpu_s for cell in experiment.cells]
        row.append(f"{sum(seconds):.0f}")
        table.add_row(*row)
    print_table(table, stream)
    if any(test.majority is not None for cell in cells for test in cell.tests.values()):
        show("in brackets: by the best constant answer; ~ cannot be told from it", file=stream)
    if any(cell.task.is_negative_control for cell in cells):
        show("* negative control: not a regular language; right at every length would be a leak", file=stream)
    if any(cell.training.stopped_by == "budget" for cell in cells):
        show("some trainings ended with their CPU budget, before their last step; see the cells", file=stream)


def print_parity(cells: Sequence[ProbeCell], stream: TextIO) -> None:
    """Print the accuracy by position beside that of the permutation's parity, for the cells that have it."""
    measured = [
        cell
        for cell in cells
        if all(test.metric("parity_accuracy") is not None for test in cell.tests.values())
    ]
    if not measured:
        return
    table = _table(
        "share of right labels, and of labels of the right parity, each seed",
        texts=("task", "model"),
        numbers=(*_SETTING, "letters", "label", "parity"),
    )
    for experiment in group_experiments(measured):
        heads = [experiment.spec.task, experiment.model, *_setting(experiment.spec)]
        for test in experiment.tests:
            shares = [_seeds(experiment.values(test, f"{name}_accuracy")) for name in ("token", "parity")]
            table.add_row(*heads, test, *shares)
            heads = [""] * len(heads)  # said once for all of an experiment's rows
    show(file=stream)
    print_table(table, stream)


def print_fewest_layers(cells: Sequence[ProbeCell], stream: TextIO) -> None:
    """Print the fewest layers that suffice, where more than one number of layers was tried."""
    records = fewest_layers_records(cells)
    if not records:
        return
    bounds = [f"{threshold:.2f}" for threshold in THRESHOLDS]
    table = _table(
        "fewest layers at which the median seed reaches a sequence accuracy",
        texts=("task", "model", "length", *(f">= {bound}" for bound in bounds), "tried"),
    )
    for record in records:
        layers = [str(record[f"min_layers_{bound}"] or "none") for bound in bounds]
        table.add_row(
            *(str(record[name]) for name in ("task", "model", "test")), *layers, str(record["layers_tried"])
        )
    show(file=stream)
    print_table(table, stream)


def print_layer_search(fewest: "Mapping[TrainSpec, int | None]", highest: int, stream: TextIO) -> None:
    """Print what a search for the fewest layers found.

    Args:
        fewest: by spec; None where not even the most layers suffice.
        highest: the most that were allowed.
        stream: where to.
    """
    table = _table(None, texts=("task", "model"), numbers=("T", "layers"))
    for spec, layers in fewest.items():
        model = display_name(spec.model, spec.negative_eigenvalues)
        layers_text = f"more than {highest}" if layers is None else str(layers)
        table.add_row(spec.task, model, str(spec.train_length), layers_text)
    show(file=stream)
    bound = f"{SOLVED_ACCURACY} at the training length T"
    show(f"fewest layers at which the median seed reaches {bound}", file=stream)
    print_table(table, stream)


def print_theory(cells: Sequence[ProbeCell], stream: TextIO) -> None:
    """Print the layers that suffice by theory beside those that sufficed in training."""
    rows = theory_rows(group_experiments(cells))
    if not rows:
        return
    table = _table(
        f"layers by theory, for every length; the fewest trained with {SOLVED_ACCURACY:.2f} of strings right",
        texts=("task", "class", "model", "by theory", "tried", "trained, by length"),
    )
    for row in rows:
        fewest = ", ".join(f"{test}: {layers or 'none'}" for test, layers in row.fewest)
        tried = " ".join(map(str, row.layers_tried))
        table.add_row(row.task, row.language_class, row.model, row.by_theory, tried, fewest)
    show(file=stream)
    print_table(table, stream)
    for line in SOURCES:
        show(line, file=stream)


def print_claims(cells: Sequence[ProbeCell], stream: TextIO, *, only_trained: bool = False) -> bool:
    """Print what the quick suite claims, and whether every seed shows it; returns whether all of it holds."""
    table = _table(
        "claims: what every seed has to show", texts=("claim", "expected", "measured", "", "after")
    )
    table.columns[0].no_wrap = False
    all_hold = True
    for claim in quick_claims():
        values = claim.values(cells)
        if only_trained and not values:
            continue
        holds = claim.holds(values)
        all_hold &= holds
        measured = _seeds([values[seed] for seed in sorted(values)]) if values else "-"
        expected = f"{claim.low:.2f} to {claim.high:.2f}"
        table.add_row(claim.text, expected, measured, "holds" if holds else "DOES NOT HOLD", claim.source)
    if table.row_count:
        show(file=stream)
        print_table(table, stream)
    return all_hold


def print_published(cells: Sequence[ProbeCell], stream: TextIO) -> None:
    """Print published accuracies with ours beside them, and where they come from."""
    sources = list(published().sources)
    table = _table(
        "published accuracy in percent, and ours: median of seeds [all of them]",
        texts=("task", "model", "test", "published", "", "ours", "ours was"),
    )
    for column in (table.columns[3], table.columns[5]):
        column.justify = "right"
    for comparison in compare(group_experiments(cells)):
        table.add_row(*_comparison_texts(comparison, sources.index(comparison.source) + 1))
    show(file=stream)
    print_table(table, stream)
    show(
        "the sources train wider networks on the last label alone, tens of thousands of steps long; "
        "ours as the last column says",
        file=stream,
    )
    for number, source in enumerate(published().sources.values(), start=1):
        show(f"[{number}] {source.title}. {source.url}; {source.statistic}", file=stream)


def _comparison_texts(comparison: Comparison, source_number: int) -> list[str]:
    deviation = "" if comparison.deviation is None else f" ± {comparison.deviation:.1f}"
    ours = "-"
    ours_differs = bool(comparison.ours) and not comparison.is_same_protocol
    if comparison.ours:
        seeds = " ".join(f"{value:.1f}" for value in comparison.ours)
        ours = f"{median(comparison.ours):.1f} [{seeds}]"
    return [
        comparison.task,
        comparison.model,
        ("scaled, " if comparison.metric.startswith("scaled") else "") + comparison.test,
        f"{comparison.value:.1f}{deviation}",
        f"[{source_number}]",
        ours,
        comparison.ours_setting + (" (another protocol)" if ours_differs else ""),
    ]


def _own_tests(cell: ProbeCell) -> list[str]:
    """The tests of strings that are drawn otherwise than those in training."""
    return [test for test in cell.tests_by_length() if not is_length(test) and not is_range(test)]


def _setting(spec: ProbeSpec) -> list[str]:
    """The columns of `_SETTING`."""
    return [str(spec.num_layers), spec.labels, str(spec.train_length), str(spec.num_steps)]


def _seeds(values: Sequence[float]) -> str:
    """Every seed's value; a single one where they agree as printed."""
    texts = [f"{value:.2f}" for value in values]
    return texts[0] if len(set(texts)) == 1 else " ".join(texts)


def _headlines(experiment: Experiment, test: str) -> str:
    """Every seed's accuracy in a test, and what a constant answer would have got where that is known."""
    headlines = [cell.headline(test) for cell in experiment.cells]
    text = _seeds([headline.accuracy for headline in headlines])
    mark = "~" if all(headline.is_at_majority for headline in headlines) else ""
    majority = headlines[0].majority
    return text if majority is None else f"{mark}{text} ({majority:.2f})"


def _l90(experiment: Experiment) -> str:
    """Each seed's L90; once where they agree."""
    texts = [cell.l90_text for cell in experiment.cells]
    return texts[0] if len(set(texts)) == 1 else " ".join(texts)


def _table(title: str | None, *, texts: Sequence[str], numbers: Sequence[str] = ()) -> "Table":
    """A table of columns that are not wrapped: texts on the left, numbers on the right."""
    from rich.table import Table

    table = Table(title=title, box=None, header_style="bold", pad_edge=False)
    for name in texts:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right")
    return table
