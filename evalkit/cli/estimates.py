"""Intervals for a terminal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evalkit.analysis.estimates import Estimate


def interval_text(estimate: "Estimate", sign: str = "") -> str:
    """The ends of an interval in four decimals; a dash where there is none.

    Args:
        estimate: in bits per byte.
        sign: ``+`` of differences.
    """
    if estimate.low is None or estimate.high is None:
        return "–"
    return f"{estimate.low:{sign}.4f} to {estimate.high:{sign}.4f}"
