"""How often intervals of ranks hold the true rank: ``python -m tests.simulations``, or ``make simulations``.

Runs whose true levels are drawn from a population, on corpora whose documents are drawn anew each time. The
population's spread is told in units of the standard error that a corpus gives to a run's level.

Of each corpus intervals are made once, and asked whether they hold the ranks of many true levels that could
have made what was measured, drawn by who knows the population. The mean over corpora is that of one truth for
each, and is known from fewer of them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.estimates import resampled_columns
from evalkit.analysis.rank_intervals import document_deviations, rank_intervals
from evalkit.terminal import show

Array = NDArray[np.float64]

NUM_DOCUMENTS = 50
NUM_CORPORA = 60
NUM_TRUTHS = 2_000
"""Of each corpus."""
SPREADS = {4: (0.5, 1.0, 2.0, 4.0), 8: (0.5, 1.0, 2.0, 4.0), 16: (1.0, 2.0)}
"""By how many runs there are."""
POPULATIONS = ("normal", "uniform", "heavy tails", "two groups")


class Coverage(NamedTuple):
    """The share of runs whose true rank is in its interval."""

    share: float
    standard_error: float
    """Over corpora."""


def true_levels(population: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Levels with a standard deviation of about 1."""
    if population == "normal":
        return rng.standard_normal(shape)
    if population == "uniform":
        return rng.uniform(-np.sqrt(3), np.sqrt(3), shape)
    if population == "heavy tails":
        return np.asarray(rng.standard_t(3, shape) / np.sqrt(3))
    return np.where(rng.random(shape) < 0.5, -1.0, 1.0) + 0.1 * rng.standard_normal(shape)


def coverage(population: str, num_runs: int, spread: float, *, num_corpora: int = NUM_CORPORA) -> Coverage:
    """How often the intervals of so many runs hold, whose true levels have this spread."""
    rng = np.random.default_rng(0)
    names = [str(place) for place in range(NUM_DOCUMENTS)]
    shares = []
    for _ in range(num_corpora):
        truth = spread * true_levels(population, (num_runs,), rng)
        errors = np.sqrt(NUM_DOCUMENTS) * rng.standard_normal((NUM_DOCUMENTS, num_runs))
        documents = truth + errors + 30 * rng.standard_normal((NUM_DOCUMENTS, 1))
        rows = resampled_columns(documents / NUM_DOCUMENTS, names, stream=0)
        intervals = rank_intervals(rows[:, 0], document_deviations(rows, NUM_DOCUMENTS), NUM_DOCUMENTS)
        pool = spread * true_levels(population, (NUM_TRUTHS,), rng)
        truths = _could_have_been(pool, truth + errors.mean(axis=0), rng)
        ranks = truths.argsort(axis=1).argsort(axis=1) + 1
        low, high = np.transpose(intervals)
        shares.append(((low <= ranks) & (ranks <= high)).mean())
    return Coverage(float(np.mean(shares)), float(np.std(shares, ddof=1) / np.sqrt(num_corpora)))


def _could_have_been(pool: Array, measured: Array, rng: np.random.Generator) -> Array:
    """Draws of true levels given measured ones with an error of 1, ``[NUM_TRUTHS, K]``.

    Args:
        pool: draws of true levels of which nothing was measured.
        measured: ``[K]``, without what all have in common.
        rng: random numbers.
    """
    columns = []
    for level in measured:
        weights = np.exp(-0.5 * (pool - level) ** 2)
        columns.append(rng.choice(pool, NUM_TRUTHS, p=weights / weights.sum()))
    return np.stack(columns, axis=1)


def main() -> None:
    """Print the table."""
    show(f"| runs, spread | {' | '.join(POPULATIONS)} |")
    show("|---" * (1 + len(POPULATIONS)) + "|")
    for num_runs, spreads in SPREADS.items():
        for spread in spreads:
            cells = [coverage(population, num_runs, spread) for population in POPULATIONS]
            words = [f"{100 * cell.share:.1f} ± {100 * cell.standard_error:.1f}" for cell in cells]
            show(f"| {num_runs}, {spread:g} | {' | '.join(words)} |")


if __name__ == "__main__":
    main()
