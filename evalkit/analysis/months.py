"""Months chained by anchors: levels may drift from corpus to corpus, and this says by how much.

Only months of one source are chained (`evalkit.analysis.sources`): French Wikipedia is not a later Python.
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

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evalkit.analysis.aggregates import HEADLINE, Array
from evalkit.analysis.estimates import Estimate, aggregate, corpus_stream, estimates, resampled_sums
from evalkit.analysis.results import Results, read_results
from evalkit.analysis.sources import sources_of
from evalkit.cells.schema import CellCorpus
from evalkit.dates import first_day, last_day
from evalkit.errors import UsageError, unknown_name
from evalkit.patterns import matching_names

UNDATED = "undated"


class Month(NamedTuple):
    """The corpora of a month and what the models paid for them."""

    month: str
    """``YYYY-MM`` of the corpora's first day."""
    day: dt.date
    """The middle of the days on which their documents can have been published."""
    corpora: tuple[str, ...]
    anchors: tuple[str, ...]
    """By which it is tied to the month before; empty for the first."""
    drift: Estimate
    """How much harder its texts are than the first month's: 1.02 means two percent more bits."""
    levels: dict[str, Estimate]
    """Bits per byte by model, mean over the month's corpora."""
    chained: dict[str, Estimate]
    """The same divided by the drift."""


class Chain(NamedTuple):
    """The months of one source, two or more."""

    source: str
    """See `evalkit.analysis.sources.sources_of`."""
    months: tuple[Month, ...]
    """The first month first."""


class Chains(NamedTuple):
    """Months in order, each source by itself."""

    chains: tuple[Chain, ...]
    """By the names of the sources; one or more."""
    left_out: dict[str, str]
    """By source, why its months are not chained."""


def chain_months(results: Results, anchors: Sequence[str] = (), *, policy: str = "document") -> Chains:
    """The months of each source, each with its drift and its models' levels before and after it is taken out.

    Args:
        results: the cells; undated corpora are left out.
        anchors: models by name or label; empty: every model that two successive months have in common.
        policy: of the language models.

    Raises:
        UsageError: an unknown policy or anchor, or there is no source with two months and a common anchor.
    """
    if policy not in results.policies:
        raise unknown_name(
            "policy", policy, results.policies, f"Here there are: {', '.join(results.policies)}."
        )
    members = [index for index, row in enumerate(results.configurations) if row.policy in (policy, None)]
    possible_anchors = _anchors(results, members, anchors)
    chains: list[Chain] = []
    left_out: dict[str, str] = {}
    for source, by_month in sorted(_corpora_by_source(results, members).items()):
        try:
            chains.append(Chain(source, _chain(results, by_month, members, possible_anchors)))
        except UsageError as error:
            left_out[source] = str(error)
    if not chains:
        reasons = "; ".join(f"{source}: {reason}" for source, reason in left_out.items())
        raise UsageError(
            "no chain: it needs dated corpora of one source in two months or more, "
            f"and here there are: {reasons or 'none'}"
        )
    return Chains(tuple(chains), left_out)


def _chain(
    results: Results, by_month: Mapping[str, Sequence[int]], members: Sequence[int], anchors: Sequence[int]
) -> tuple[Month, ...]:
    """The months of a source.

    Raises:
        UsageError: fewer than two months, or two successive ones without a common anchor.
    """
    if len(by_month) < 2:
        raise UsageError(f"one month ({', '.join(by_month)})")
    day_of = {
        month: middle_of([results.corpora[number].facts for number in corpora])
        for month, corpora in by_month.items()
    }
    # A corpus of a year may begin in the month before one of a week.
    by_month = {
        month: by_month[month] for month in sorted(by_month, key=lambda month: (day_of[month], month))
    }
    samples = {month: _levels(results, corpora, members) for month, corpora in by_month.items()}
    # The fewest clusters of any corpus of the chain, as for every number over several corpora.
    num_clusters = min(
        len(set(results.corpora[number].clusters)) for numbers in by_month.values() for number in numbers
    )
    chain: list[Month] = []
    log_drift: Array | None = None
    for month, corpora in by_month.items():
        common: list[int] = []
        if chain:
            previous = chain[-1].month
            both = samples[previous].keys() & samples[month]
            common = [index for index in anchors if index in both]
            if not common:
                raise UsageError(
                    f"no anchor was scored on every corpus of both {previous} and {month}; "
                    "score one of the older models on the newer corpora"
                )
            step = _log_step(samples[previous], samples[month], common)
            log_drift = step if log_drift is None else np.add(*_same_length([log_drift, step]))
        chain.append(
            _month(
                results,
                month,
                corpora,
                common,
                samples[month],
                log_drift,
                day=day_of[month],
                num_clusters=num_clusters,
            )
        )
    return tuple(chain)


def _anchors(results: Results, members: Sequence[int], names: Sequence[str]) -> list[int]:
    """The models that may tie months together: those named, by model or label; of no names all."""
    names_of = {
        index: {results.configurations[index].model, results.configurations[index].label} for index in members
    }
    known_names = set().union(*names_of.values())
    names = matching_names(names, sorted(known_names))
    for name in names:
        if name not in known_names:
            raise unknown_name("anchor", name, known_names, f"Models here: {', '.join(sorted(known_names))}.")
    return [index for index in members if not names or names_of[index] & set(names)]


def _corpora_by_source(results: Results, members: Sequence[int]) -> dict[str, dict[str, list[int]]]:
    """Indices of the dated corpora that a member was scored on, by source and month."""
    by_source: dict[str, dict[str, list[int]]] = {}
    sources = sources_of(results)
    for number in sorted(range(len(results.corpora)), key=lambda number: results.corpora[number].month):
        corpus = results.corpora[number]
        if corpus.month != UNDATED and set(members) & set(corpus.cells):
            by_source.setdefault(sources[number], {}).setdefault(corpus.month, []).append(number)
    return by_source


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
    day: dt.date,
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
        day,
        tuple(results.corpora[number].label for number in corpora),
        tuple(sorted(results.configurations[index].label for index in anchors)),
        estimates(drift[None], num_clusters)[0],
        shown(samples),
        shown(chained),
    )


def middle_of(corpora: Sequence[CellCorpus]) -> dt.date:
    """The middle of the days on which a document of these dated corpora can have been published."""
    first = min(first_day(corpus.date_from) for corpus in corpora if corpus.date_from)
    last = max(last_day(corpus.date_to or corpus.date_from) for corpus in corpora if corpus.date_from)
    return first + (last - first) / 2


def months_lines(chains: Chains) -> list[str]:
    """A table per source: drift, then chained bits per byte by model, lowest in the last month first."""
    lines: list[str] = []
    for chain in chains.chains:
        lines += [*([""] if lines else []), *_chain_lines(chain)]
    return [*lines, *(f"not chained: {source}: {reason}" for source, reason in chains.left_out.items())]


def _chain_lines(chain: Chain) -> list[str]:
    months = chain.months
    labels = sorted(
        {label for month in months for label in month.chained},
        key=lambda label: next(
            (month.chained[label].value for month in reversed(months) if label in month.chained), math.inf
        ),
    )
    width = max(len(label) for label in [*labels, "drift of the texts", chain.source])
    lines = [f"{chain.source:<{width}}" + "".join(f"  {month.month:>17}" for month in months)]
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


def months_json(chains: Chains) -> dict[str, object]:
    """The chains as strict JSON can hold them."""
    return {
        "schema_version": 2,
        "sources": {
            chain.source: [
                {
                    "month": month.month,
                    "day": month.day.isoformat(),
                    "corpora": list(month.corpora),
                    "anchors": list(month.anchors),
                    "drift": month.drift._asdict(),
                    "levels": {label: level._asdict() for label, level in month.levels.items()},
                    "chained": {label: level._asdict() for label, level in month.chained.items()},
                }
                for month in chain.months
            ]
            for chain in chains.chains
        },
        "not_chained": chains.left_out,
    }


def read_months(
    results: Path | str,
    anchors: Sequence[str] = (),
    *,
    policy: str = "document",
    warn: Callable[[str], None] = lambda _: None,
) -> Chains:
    """`chain_months` of the cells under a folder."""
    return chain_months(read_results(results, warn=warn), anchors, policy=policy)
