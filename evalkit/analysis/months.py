"""Months chained by anchors: levels may drift from corpus to corpus, and this says by how much.

Each month has other texts, harder or easier ones, so that levels of two months cannot be compared. Models
that are scored in both and do not change, the anchors (compressors, old checkpoints), say what the texts did:
the drift from one month to the next is the geometric mean over the anchors of the ratio of their bits per
byte, and drifts are multiplied along the chain, so that an anchor may retire when another has overlapped
it for a month. (A chained Jevons index: Consumer Price Index Manual, Concepts and Methods, IMF et al. 2020,
chapters 8 and 9; "prices" are bits per byte, "goods" the anchors.) A level divided by its month's drift
is what the model would have paid for the first month's texts.

Within a month all levels are divided by the same number, so ranks stay as they are; over months, models that
were never scored together can be put side by side.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evalkit.analysis.aggregates import HEADLINE, Array
from evalkit.analysis.estimates import Estimate, aggregate, corpus_stream, estimates, resampled_sums
from evalkit.analysis.results import Results, read_results
from evalkit.errors import UsageError, unknown_name

UNDATED = "undated"


class Month(NamedTuple):
    """The corpora of a month and what the models paid for them."""

    month: str
    """``YYYY-MM`` of the corpora's first day."""
    corpora: tuple[str, ...]
    anchors: tuple[str, ...]
    """By which it is tied to the month before; empty for the first."""
    drift: Estimate
    """How much harder its texts are than the first month's: 1.02 means two percent more bits."""
    levels: dict[str, Estimate]
    """Bits per byte by model, mean over the month's corpora."""
    chained: dict[str, Estimate]
    """The same divided by the drift."""


def chain_months(results: Results, anchors: Sequence[str] = (), *, policy: str = "document") -> list[Month]:
    """Months in order, each with its drift and its models' levels before and after it is taken out.

    Args:
        results: the cells; undated corpora are left out.
        anchors: models by name or label; empty: every model that two successive months have in common.
        policy: of the language models.

    Raises:
        UsageError: fewer than two months, an unknown policy or anchor, or two months without a common one.
    """
    if policy not in results.policies:
        raise unknown_name(
            "policy", policy, results.policies, f"Here there are: {', '.join(results.policies)}."
        )
    members = [index for index, row in enumerate(results.configurations) if row.policy in (policy, None)]
    possible_anchors = _anchors(results, members, anchors)
    corpora_by_month = _corpora_by_month(results, members)
    samples = {month: _levels(results, corpora, members) for month, corpora in corpora_by_month.items()}
    # The fewest clusters of any corpus of the chain, as for every number over several corpora.
    num_clusters = min(
        len(set(results.corpora[number].clusters))
        for numbers in corpora_by_month.values()
        for number in numbers
    )
    chain: list[Month] = []
    log_drift: Array | None = None
    for month, corpora in corpora_by_month.items():
        common: list[int] = []
        if chain:
            previous = chain[-1].month
            both = samples[previous].keys() & samples[month]
            common = [index for index in possible_anchors if index in both]
            if not common:
                raise UsageError(
                    f"no anchor was scored on every corpus of both {previous} and {month}; "
                    "score one of the older models on the newer corpora"
                )
            step = _log_step(samples[previous], samples[month], common)
            log_drift = step if log_drift is None else np.add(*_same_length([log_drift, step]))
        chain.append(
            _month(results, month, corpora, common, samples[month], log_drift, num_clusters=num_clusters)
        )
    return chain


def _anchors(results: Results, members: Sequence[int], names: Sequence[str]) -> list[int]:
    """The models that may tie months together: those named, by model or label; of no names all."""
    names_of = {
        index: {results.configurations[index].model, results.configurations[index].label} for index in members
    }
    known_names = set().union(*names_of.values())
    for name in names:
        if name not in known_names:
            raise unknown_name("anchor", name, known_names, f"Models here: {', '.join(sorted(known_names))}.")
    return [index for index in members if not names or names_of[index] & set(names)]


def _corpora_by_month(results: Results, members: Sequence[int]) -> dict[str, list[int]]:
    """Indices of the dated corpora that a member was scored on, by month, the first month first."""
    by_month: dict[str, list[int]] = {}
    for number, corpus in enumerate(results.corpora):
        if corpus.month != UNDATED and set(members) & set(corpus.cells):
            by_month.setdefault(corpus.month, []).append(number)
    if len(by_month) < 2:
        raise UsageError(
            f"a chain needs corpora of two months or more; there are {len(by_month)} "
            f"({', '.join(sorted(by_month)) or 'none dated'})"
        )
    return dict(sorted(by_month.items()))


def _levels(results: Results, corpora: Sequence[int], members: Sequence[int]) -> dict[int, Array]:
    """Bits per byte, measured and resampled ``[1 + R]``, of each model with a cell on all these corpora."""
    # Each corpus has draws of its own, also where it is its month's only one: months are independent. All
    # models share them, so that what the texts do to every model alike cancels in ratios.
    sums = [
        resampled_sums(results.corpora[number], stream=corpus_stream(results.corpora[number].sha256))
        for number in corpora
    ]
    levels = {}
    for index in members:
        if all(index in results.corpora[number].cells for number in corpora):
            sets = [corpus.common[index, index] for corpus in sums]
            bits = [corpus.bits[chosen, [index]] for corpus, chosen in zip(sums, sets, strict=True)]
            num_bytes = [corpus.num_bytes[[chosen]] for corpus, chosen in zip(sums, sets, strict=True)]
            levels[index] = aggregate(HEADLINE, bits, num_bytes)[0]
    return levels


def _log_step(before: Mapping[int, Array], after: Mapping[int, Array], anchors: Sequence[int]) -> Array:
    """The logarithm of the drift from one month to the next: the mean over the anchors, ``[1 + R]``."""
    steps = []
    for index in anchors:
        newer, older = _same_length([after[index], before[index]])
        steps.append(np.log(newer / older))
    return np.asarray(np.mean(_same_length(steps), axis=0))


def _same_length(rows: Sequence[Array]) -> list[Array]:
    """Rows of one length: all without resamples where one of them has none."""
    lengths = {len(row) for row in rows}
    return list(rows) if len(lengths) == 1 else [row[:1] for row in rows]


def _month(
    results: Results,
    month: str,
    corpora: Sequence[int],
    anchors: Sequence[int],
    samples: Mapping[int, Array],
    log_drift: Array | None,
    *,
    num_clusters: int,
) -> Month:
    """A month as it is shown; ``log_drift`` is None for the first, which everything is measured by."""
    drift = np.ones(1) if log_drift is None else np.exp(log_drift)
    chained = {
        index: level if log_drift is None else np.divide(*_same_length([level, drift]))
        for index, level in samples.items()
    }

    def shown(rows: Mapping[int, Array]) -> dict[str, Estimate]:
        return {
            results.configurations[index].label: estimates(row[None], num_clusters)[0]
            for index, row in sorted(rows.items())
        }

    return Month(
        month,
        tuple(results.corpora[number].label for number in corpora),
        tuple(sorted(results.configurations[index].label for index in anchors)),
        estimates(drift[None], num_clusters)[0],
        shown(samples),
        shown(chained),
    )


def months_lines(months: Sequence[Month]) -> list[str]:
    """The chain as a table: drift, then chained bits per byte by model, lowest in the last month first."""
    labels = sorted(
        {label for month in months for label in month.chained},
        key=lambda label: next(
            (month.chained[label].value for month in reversed(months) if label in month.chained), math.inf
        ),
    )
    width = max(len(label) for label in [*labels, "drift of the texts"])
    lines = [" " * width + "".join(f"  {month.month:>17}" for month in months)]
    lines.append(
        f"{'drift of the texts':<{width}}" + "".join(f"  {_text(month.drift):>17}" for month in months)
    )
    lines += [
        f"{label:<{width}}" + "".join(f"  {_text(month.chained.get(label)):>17}" for month in months)
        for label in labels
    ]
    ties = sorted({label for month in months for label in month.anchors})
    lines.append(
        f"bits per byte as on the texts of {months[0].month} ± 95 % interval, lower is better; "
        f"chained by {', '.join(ties)}"
    )
    return lines


def _text(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate.value:.4f}" + ("" if estimate.half_width is None else f" ± {estimate.half_width:.4f}")


def months_json(months: Sequence[Month]) -> dict[str, object]:
    """The chain as strict JSON can hold it."""
    return {
        "schema_version": 1,
        "months": [
            {
                "month": month.month,
                "corpora": list(month.corpora),
                "anchors": list(month.anchors),
                "drift": month.drift._asdict(),
                "levels": {label: level._asdict() for label, level in month.levels.items()},
                "chained": {label: level._asdict() for label, level in month.chained.items()},
            }
            for month in months
        ],
    }


def read_months(
    results: Path | str,
    anchors: Sequence[str] = (),
    *,
    policy: str = "document",
    warn: Callable[[str], None] = lambda _: None,
) -> list[Month]:
    """`chain_months` of the cells under a folder."""
    return chain_months(read_results(Path(results), warn=warn), anchors, policy=policy)
