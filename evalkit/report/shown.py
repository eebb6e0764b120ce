"""Numbers as the pages show them: rounded to what their intervals allow, with a sign or a verdict."""

from typing import NamedTuple

from evalkit.analysis.estimates import Estimate
from evalkit.analysis.rankings import PartialLevel, View
from evalkit.cells.schema import COMPRESSION_RATE_PERCENT_PER_BPB
from evalkit.report.text import decimals, number, signed

_HEAT_LIMITS = (0.01, 0.05, 0.15, 0.4)
NUM_HEAT_STEPS = len(_HEAT_LIMITS) + 1
"""The last of which has no tint."""
_VERDICTS = {-1: "better", 0: "tie", 1: "worse"}


class ShownEstimate(NamedTuple):
    """A number and what stands after ±."""

    value: str
    half_width: str | None


class ShownGap(NamedTuple):
    """A paired difference."""

    value: str
    low: str
    high: str
    verdict: str
    """``better``, ``tie``, ``worse``, or ``unknown`` where there is no interval."""


def estimate(level: Estimate, places: int) -> ShownEstimate:
    """An estimate with that many decimals."""
    half_width = None if level.half_width is None else number(level.half_width, places)
    return ShownEstimate(number(level.value, places), half_width)


def difference(gap: Estimate) -> ShownGap:
    """A paired difference with its verdict."""
    places = max(4, decimals([gap.half_width]))
    return ShownGap(
        value=signed(gap.value, places),
        low=signed(gap.low, places),
        high=signed(gap.high, places),
        verdict="unknown" if gap.low is None else _VERDICTS[gap.sign],
    )


def part_text(view: View, aggregate: PartialLevel | None) -> str:
    """Over how many of a view's corpora an aggregate is, ``3 of 7``; empty: over all, or there is none."""
    num_corpora = len(view.corpora)
    if aggregate is None or aggregate.num_corpora == num_corpora:
        return ""
    return f"{aggregate.num_corpora} of {num_corpora}"


def rate(level: Estimate) -> str:
    """The compression rate in percent."""
    return f"{COMPRESSION_RATE_PERCENT_PER_BPB * level.value:.2f}"


def rank_text(ranks: tuple[int, int] | None) -> str:
    """``2`` or ``1–3``; an en dash for a model that cannot be ranked."""
    if ranks is None:
        return "–"
    return str(ranks[0]) if ranks[0] == ranks[1] else f"{ranks[0]}–{ranks[1]}"


def heat(value: float, best: float) -> int:
    """How far above the best, in five steps."""
    return sum(value / best - 1 > limit for limit in _HEAT_LIMITS) if best > 0 else 0


def dates(date_from: str | None, date_to: str | None) -> str:
    """The days of a corpus."""
    if date_from is None:
        return "undated"
    return date_from if date_from == date_to else f"{date_from} to {date_to}"
