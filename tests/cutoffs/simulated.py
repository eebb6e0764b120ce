"""What comes of simulated models whose cutoff is known: found or not, how far off, covered or not."""

import datetime as dt
from typing import NamedTuple

import numpy as np

from evalkit.analysis.effective_cutoff import effective_cutoff
from tests.support.dated import DAYS_PER_MONTH, World, dated_results, first_day_of

WORLDS = {
    "36 months of 100 documents, then 1 % a month more": World(rise_per_month=0.01),
    "36 months of 100 documents, then 2 % more": World(step=0.02),
    "36 months of 100 documents, then 1 % and 0.3 % a month more": World(step=0.01, rise_per_month=0.003),
    "18 months of 100 documents, then 2 % more": World(num_months=18, step=0.02),
    "36 months of 100 documents, no cutoff": World(),
}
EDGE_MONTHS = 5
"""The cutoff is drawn from the months but these at either end."""


class Outcome(NamedTuple):
    """Over draws of one world."""

    world: str
    num_draws: int
    num_found: int
    median_error_months: float
    """Of those found, as all that follows."""
    within_a_month: float
    coverage: float
    """Share of the intervals that hold the cutoff."""
    median_width_months: float


def simulate(name: str, num_draws: int) -> Outcome:
    """Draw cutoffs, months and documents, and look for the cutoffs."""
    world = WORLDS[name]
    rng = np.random.default_rng(list(WORLDS).index(name))
    first, last = first_day_of(EDGE_MONTHS), first_day_of(world.num_months - EDGE_MONTHS)
    errors, widths, is_covered = [], [], []
    for seed in range(num_draws):
        cutoff = dt.date.fromordinal(int(rng.integers(first.toordinal(), last.toordinal())))
        outcome = effective_cutoff(dated_results(world, cutoff, seed), "subject", catalog={})
        if outcome.day is None or outcome.rise is None:
            continue
        errors.append(abs((outcome.day - cutoff).days) / DAYS_PER_MONTH)
        widths.append((outcome.rise.high - outcome.rise.low) / DAYS_PER_MONTH)
        low, high = outcome.low or dt.date.min, outcome.high or dt.date.max
        is_covered.append(low <= cutoff <= high)
    if not errors:
        return Outcome(name, num_draws, 0, *[float("nan")] * 4)
    return Outcome(
        name,
        num_draws,
        len(errors),
        float(np.median(errors)),
        float(np.mean(np.array(errors) <= 1)),
        float(np.mean(is_covered)),
        float(np.median(widths)),
    )
