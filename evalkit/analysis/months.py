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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evalkit.analysis.estimates import Array, Estimate, aggregate, estimates, resampled_sums
from evalkit.analysis.results import Store
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


def chain_months(store: Store, anchors: Sequence[str] = (), *, policy: str = "document") -> list[Month]:
    """Months in order, each with its drift and its models' levels before and after it is taken out.

    Args:
        store: the cells; undated corpora are left out.
        anchors: models by name or label; empty: every model that two successive months have in common.
        policy: of the language models.

    Raises:
        UsageError: fewer than two months, an unknown policy or anchor, or two months without a common one.
    """
    if policy not in store.policies:
        raise unknown_name("policy", policy, store.policies, f"Here there are: {', '.join(store.policies)}.")
    members = [index for index, entrant in enumerate(store.entrants) if entrant.policy in (policy, None)]
    labels = {index: store.entrants[index].label for index in members}
    for name in anchors:
        known = {store.entrants[index].model for index in members} | set(labels.values())
        if name not in known:
            raise unknown_name("anchor", name, known, f"Models here: {', '.join(sorted(known))}.")
    chosen = [
        index
        for index in members
        if not anchors or {labels[index], store.entrants[index].model} & set(anchors)
    ]
    by_month: dict[str, list[int]] = {}
    for number, corpus in enumerate(store.corpora):
        if corpus.month != UNDATED and set(members) & set(corpus.cells):
            by_month.setdefault(corpus.month, []).append(number)
    months = sorted(by_month)
    if len(months) < 2:
        raise UsageError(
            f"a chain needs corpora of two months or more; there are {len(months)} "
            f"({', '.join(months) or 'none dated'})"
        )
    samples = {month: _levels(store, by_month[month], members) for month in months}
    fewest = min(len(set(store.corpora[number].clusters)) for here in by_month.values() for number in here)
    found: list[Month] = []
    log_drift: Any = 0.0
    for place, month in enumerate(months):
        common: list[int] = []
        if place:
            before = samples[months[place - 1]]
            common = [one for one in chosen if one in samples[month] and one in before]
            if not common:
                raise UsageError(
                    f"no anchor was scored on every corpus of both {months[place - 1]} and {month}; "
                    "score one of the older models on the newer corpora"
                )
            steps = [_log_ratio(samples[month][one], before[one]) for one in common]
            log_drift = _sum(log_drift, np.mean(_cut(steps), axis=0))
        drift = np.exp(log_drift) if place else np.ones(1)
        found.append(
            Month(
                month,
                tuple(store.corpora[number].label for number in by_month[month]),
                tuple(sorted(labels[one] for one in common)),
                estimates(drift[None], fewest)[0],
                {
                    labels[one]: estimates(level[None], fewest)[0]
                    for one, level in sorted(samples[month].items())
                },
                {
                    labels[one]: estimates(_ratio(level, drift)[None], fewest)[0]
                    for one, level in sorted(samples[month].items())
                },
            )
        )
    return found


def _levels(store: Store, corpora: Sequence[int], members: Sequence[int]) -> dict[int, Array]:
    """Bits per byte, measured and resampled ``[1 + R]``, of each entrant with a cell on all these corpora."""
    complete = [one for one in members if all(one in store.corpora[number].cells for number in corpora)]
    # Each corpus its own draws, the same for all entrants: what they share cancels in ratios.
    sums = [resampled_sums(store.corpora[number], stream=number) for number in corpora]
    found = {}
    for one in complete:
        own = [each.common[one, one] for each in sums]
        bits = [each.bits[place, [one]] for each, place in zip(sums, own, strict=True)]
        num_bytes = [each.num_bytes[[place]] for each, place in zip(sums, own, strict=True)]
        found[one] = aggregate("macro", bits, num_bytes)[0]
    return found


def _cut(rows: Sequence[Array]) -> list[Array]:
    """Rows of one length: without resamples where one of them has none."""
    end = min(len(row) for row in rows)
    return [row[: end if end == max(len(row) for row in rows) else 1] for row in rows]


def _log_ratio(top: Array, bottom: Array) -> Array:
    first, second = _cut([top, bottom])
    return np.asarray(np.log(first / second))


def _sum(first: Any, second: Array) -> Array:
    if isinstance(first, float):
        return second
    one, other = _cut([first, second])
    return np.asarray(one + other)


def _ratio(level: Array, drift: Array) -> Array:
    if len(drift) == 1 and drift[0] == 1:
        return level
    first, second = _cut([level, drift])
    return np.asarray(first / second)


def months_lines(months: Sequence[Month]) -> list[str]:
    """The chain as a table: drift, then chained bits per byte by model, lowest in the last month first."""
    names = sorted(
        {name for month in months for name in month.chained},
        key=lambda name: next(
            (month.chained[name].value for month in reversed(months) if name in month.chained), math.inf
        ),
    )
    width = max(len(name) for name in [*names, "drift of the texts"])
    lines = [" " * width + "".join(f"  {month.month:>17}" for month in months)]
    lines.append(f"{'drift of the texts':<{width}}" + "".join(f"  {_text(one.drift):>17}" for one in months))
    lines += [
        f"{name:<{width}}"
        + "".join(f"  {_text(one.chained[name]) if name in one.chained else '–':>17}" for one in months)
        for name in names
    ]
    tied = sorted({name for month in months for name in month.anchors})
    lines.append(
        f"bits per byte as on the texts of {months[0].month} ± 95 % interval, lower is better; "
        f"chained by {', '.join(tied)}"
    )
    return lines


def months_json(months: Sequence[Month]) -> dict[str, Any]:
    """The chain as strict JSON can hold it."""
    return {
        "schema_version": 1,
        "months": [
            {
                "month": one.month,
                "corpora": list(one.corpora),
                "anchors": list(one.anchors),
                "drift": one.drift._asdict(),
                "levels": {name: level._asdict() for name, level in one.levels.items()},
                "chained": {name: level._asdict() for name, level in one.chained.items()},
            }
            for one in months
        ],
    }


def read_months(
    results: Path | str,
    anchors: Sequence[str] = (),
    *,
    policy: str = "document",
    warn: Any = lambda _: None,
) -> list[Month]:
    """`chain_months` of the cells under a folder."""
    from evalkit.analysis.results import read_store

    return chain_months(read_store(Path(results), warn=warn), anchors, policy=policy)


def _text(one: Estimate) -> str:
    return f"{one.value:.4f}" + ("" if one.half_width is None else f" ± {one.half_width:.4f}")
