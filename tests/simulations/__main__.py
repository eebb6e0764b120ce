"""How often intervals of ranks hold the true rank: ``python -m tests.simulations``, or ``make simulations``.

Runs whose true levels are drawn from a population, on corpora whose documents are drawn anew each time. The
population's spread is told in units of the standard error that a corpus gives to a run's level.
"""

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.estimates import resampled_columns
from evalkit.analysis.rank_intervals import document_deviations, rank_intervals
from evalkit.terminal import show

NUM_DOCUMENTS = 50
NUM_CORPORA = 150
SPREADS = {4: (0.5, 1.0, 2.0, 4.0), 8: (0.5, 1.0, 2.0, 4.0), 16: (1.0, 2.0)}
"""By how many runs there are."""
POPULATIONS = ("normal", "uniform", "heavy tails", "two groups")


def true_levels(population: str, num_runs: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Levels with a standard deviation of about 1."""
    if population == "normal":
        return rng.standard_normal(num_runs)
    if population == "uniform":
        return rng.uniform(-np.sqrt(3), np.sqrt(3), num_runs)
    if population == "heavy tails":
        return np.asarray(rng.standard_t(3, num_runs) / np.sqrt(3))
    return np.where(rng.random(num_runs) < 0.5, -1.0, 1.0) + 0.1 * rng.standard_normal(num_runs)


def coverage(population: str, num_runs: int, spread: float, *, num_corpora: int = NUM_CORPORA) -> float:
    """The share of runs whose true rank is in its interval."""
    rng = np.random.default_rng(0)
    names = [str(place) for place in range(NUM_DOCUMENTS)]
    num_held = 0
    for _ in range(num_corpora):
        truth = spread * true_levels(population, num_runs, rng)
        errors = np.sqrt(NUM_DOCUMENTS) * rng.standard_normal((NUM_DOCUMENTS, num_runs))
        documents = truth + errors + 30 * rng.standard_normal((NUM_DOCUMENTS, 1))
        rows = resampled_columns(documents / NUM_DOCUMENTS, names, stream=0)
        intervals = rank_intervals(rows[:, 0], document_deviations(rows, NUM_DOCUMENTS), NUM_DOCUMENTS)
        ranks = truth.argsort().argsort() + 1
        num_held += sum(low <= rank <= high for (low, high), rank in zip(intervals, ranks, strict=True))
    return num_held / (num_corpora * num_runs)


def main() -> None:
    """Print the table."""
    show(f"| runs, spread | {' | '.join(POPULATIONS)} |")
    show("|---" * (1 + len(POPULATIONS)) + "|")
    for num_runs, spreads in SPREADS.items():
        for spread in spreads:
            shares = [f"{100 * coverage(population, num_runs, spread):.1f}" for population in POPULATIONS]
            show(f"| {num_runs}, {spread:g} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()
