"""Signal and noise of training runs, the minimum detectable effect, and ranks with intervals."""

from pathlib import Path

import numpy as np
import pytest

from evalkit.analysis.estimates import estimates, resampled_columns
from evalkit.analysis.rank_intervals import rank_intervals
from evalkit.analysis.results import read_results
from evalkit.analysis.signal_to_noise import SignalOptions, recipe_of, signals
from evalkit.errors import UsageError
from tests.simulations.__main__ import coverage
from tests.support.training_runs import corpus_of_lengths, write_checkpoint

NUM_DOCUMENTS = 60
LENGTH = 500


def write_runs(folder: Path, ends: dict[str, list[float]], spread: float, seed: int = 0) -> None:
    """Runs whose last checkpoints have these levels on average, and documents that differ so much."""
    rng = np.random.default_rng(seed)
    corpus = corpus_of_lengths(np.full(NUM_DOCUMENTS, LENGTH))
    difficulty = rng.uniform(-1, 1, NUM_DOCUMENTS)
    for run, levels in ends.items():
        taste = spread * rng.standard_normal(NUM_DOCUMENTS)
        taste -= taste.mean()
        for place, level in enumerate(levels):
            bits = LENGTH * (level + difficulty - difficulty.mean() + taste)
            write_checkpoint(folder, run, 10 * (place + 1), corpus, bits)


def test_signal_and_noise_by_hand(tmp_path: Path) -> None:
    # Only the first run lies off a straight line, and each run leaves one degree of freedom.
    ends = {
        "mix-a-seed0": [9.0, 5.00, 4.02, 3.00],
        "mix-a-seed1": [9.0, 4.10, 4.10, 4.10],
        "mix-b": [9.0, 6.0, 6.0, 6.0],
    }
    write_runs(tmp_path, ends, spread=0.05)
    results = read_results(tmp_path, warn=lambda line: pytest.fail(line))
    [signal] = signals(results, SignalOptions(last=3))
    residuals = np.array([5.0, 4.02, 3.0]) - np.array([1.0, 0.0, -1.0]) - 12.02 / 3
    assert signal.noise == pytest.approx(np.sqrt((residuals**2).sum() / 3), rel=1e-4)
    levels = [12.02 / 3, 4.10]
    assert signal.seed_noise == pytest.approx(np.std(levels, ddof=1), rel=1e-4)
    assert signal.signal == pytest.approx(6.0 - np.mean(levels), rel=1e-6)
    assert signal.ratio == pytest.approx(signal.signal / signal.seed_noise)
    assert [(row.recipe, row.num_seeds, row.num_checkpoints) for row in signal.recipes] == [
        ("mix-a", 2, 6),
        ("mix-b", 1, 3),
    ]
    assert [tuple(row.ranks) for row in signal.recipes] == [(1, 1), (2, 2)]
    [pair] = signal.pairs
    assert pair.difference.value == pytest.approx(-signal.signal, abs=1e-6)
    assert pair.num_documents_more == 0
    with pytest.raises(UsageError, match="here is only mix-b"):
        signals(results, SignalOptions(runs=["mix-b"]))
    with pytest.raises(UsageError, match="--last 0"):
        signals(results, SignalOptions(last=0))


def test_of_too_few_documents_no_rank_is_certain(tmp_path: Path) -> None:
    corpus = corpus_of_lengths(np.full(3, LENGTH))
    for run, level in (("a", 2.0), ("b", 3.0), ("c", 4.0)):
        for step in (1, 2, 3):
            write_checkpoint(tmp_path, run, step, corpus, np.full(3, LENGTH * level))
    [signal] = signals(read_results(tmp_path, warn=lambda line: pytest.fail(line)))
    assert [(row.recipe, row.level.low, tuple(row.ranks)) for row in signal.recipes] == [
        ("a", None, (1, 3)),
        ("b", None, (1, 3)),
        ("c", None, (1, 3)),
    ]
    assert (signal.detectable, signal.pairs) == (None, ())


@pytest.mark.parametrize(
    ("run", "recipe"),
    [
        ("mix-a-seed0", "mix-a"),
        ("mix_a_seed_12", "mix_a"),
        ("seed=3,lr=1", ",lr=1"),
        ("linseed-3", "linseed-3"),
        ("seed0", "seed0"),
    ],
)
def test_seeds_of_one_recipe(run: str, recipe: str) -> None:
    assert recipe_of(run) == recipe


def test_an_effect_as_large_as_the_stated_one_is_found_in_80_of_100_corpora(tmp_path: Path) -> None:
    write_runs(tmp_path, {"a": [5.0], "b": [5.3]}, spread=0.5)
    results = read_results(tmp_path, warn=lambda line: pytest.fail(line))
    [signal] = signals(results)
    assert (signal.noise, signal.seed_noise) == (None, None)
    effect = signal.detectable_by_documents
    assert effect is not None and signal.detectable == effect
    [pair] = signal.pairs
    assert pair.detectable == effect
    # By hand: the standard error of the mean paired difference, and two quantiles of Student's distribution.
    assert effect == pytest.approx((2.001 + 0.848) * 0.5 * np.sqrt(2 / NUM_DOCUMENTS), rel=0.25)
    rng = np.random.default_rng(0)
    spread = effect / (2.001 + 0.848) * np.sqrt(NUM_DOCUMENTS)
    clusters = [str(place) for place in range(NUM_DOCUMENTS)]

    def share_found(num_documents: int, difference: float) -> float:
        names = (clusters * (1 + num_documents // NUM_DOCUMENTS))[:num_documents]
        unique = [f"{name} {place}" for place, name in enumerate(names)]
        drawn = difference + spread * rng.standard_normal((num_documents, 300))
        rows = resampled_columns(drawn / num_documents, unique, stream=0)
        return float(
            np.mean([estimate.sign == np.sign(difference) for estimate in estimates(rows, num_documents)])
        )

    assert 0.75 <= share_found(NUM_DOCUMENTS, effect) <= 0.85
    assert share_found(NUM_DOCUMENTS, effect / 2) < 0.45
    # A smaller difference takes more documents, as many as are said.
    assert pair.num_documents_more == 0  # 0.3 is more than the effect
    write_runs(tmp_path / "near", {"a": [5.0], "b": [5.15]}, spread=0.5)
    [near] = signals(read_results(tmp_path / "near", warn=lambda line: pytest.fail(line)))
    more = near.pairs[0].num_documents_more
    assert more is not None and more > 0
    assert 0.75 <= share_found(NUM_DOCUMENTS + more, 0.15) <= 0.86


@pytest.mark.parametrize(
    ("population", "num_runs", "spread"),
    [
        ("normal", 8, 0.5),
        ("heavy tails", 8, 0.5),
        ("normal", 8, 1.0),
        ("two groups", 8, 2.0),
        ("two groups", 16, 2.0),
    ],
)
def test_rank_intervals_hold_the_true_rank_in_95_of_100_cases(
    population: str, num_runs: int, spread: float
) -> None:
    """Runs whose true levels differ by so many errors of a corpus of 50 documents."""
    assert 0.93 <= coverage(population, num_runs, spread, num_corpora=20).share <= 0.97


@pytest.mark.parametrize(("population", "num_runs", "spread"), [("normal", 16, 2.0), ("two groups", 8, 4.0)])
def test_rank_intervals_are_not_too_narrow_where_levels_differ_much(
    population: str, num_runs: int, spread: float
) -> None:
    """There they are rather too wide (docs/training-runs.md has by how much)."""
    assert coverage(population, num_runs, spread, num_corpora=20).share >= 0.93


def test_ranks_of_what_is_certain_and_of_what_is_not() -> None:
    rng = np.random.default_rng(0)
    errors = 0.01 * rng.standard_normal((3, 500))
    assert rank_intervals(np.array([3.0, 1.0, 2.0]), errors, 100) == [(3, 3), (1, 1), (2, 2)]
    assert rank_intervals(np.array([1.0, 1.0, 1.0]), errors, 100) == [(1, 3)] * 3
    assert rank_intervals(np.array([1.0]), errors[:1], 100) == [(1, 1)]
    # An outlier leaves two that are not told apart as they are.
    assert rank_intervals(np.array([1.0, 1.005, 99.0]), errors, 100) == [(1, 2), (1, 2), (3, 3)]
    # Without resamples nothing is known of errors, and ranks are as measured.
    assert rank_intervals(np.array([2.0, 1.0]), np.zeros((2, 2)), 3) == [(2, 2), (1, 1)]
