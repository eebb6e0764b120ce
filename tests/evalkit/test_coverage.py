"""Do 95 % intervals hold the truth 95 % of the time? Simulated corpora with known differences.

Documents come in clusters that share an effect and have skewed sizes, as sites and repositories do. The
intervals are those of the leaderboard and of ``evalkit compare``.
"""

import functools

import numpy as np
import pytest

from evalkit.analysis.estimates import Estimate, differences, resampled_sums
from evalkit.analysis.results import ScoredCorpus
from evalkit.analysis.scored_rows import ScoredRows
from evalkit.stats import percentile_interval, resampled_ratios

NUM_DRAWS = 1000
NUM_CLUSTERS = 30
DIFFERENCE = 0.02
"""Bits per byte of model 1 minus model 0 over all texts that there could be; model 2 is as good as 0."""


def draw_corpus(seed: int) -> ScoredCorpus:
    rng = np.random.default_rng([2026, seed])
    cluster = np.repeat(np.arange(NUM_CLUSTERS), rng.geometric(0.4, size=NUM_CLUSTERS))
    count = len(cluster)
    num_bytes = np.round(rng.lognormal(8.3, 0.8, size=count)) + 1
    level = 0.9 + rng.normal(0, 0.2, NUM_CLUSTERS)[cluster] + rng.normal(0, 0.1, count)
    gaps = np.array([0.0, DIFFERENCE, 0.0])
    residuals = rng.normal(0, 0.03, (NUM_CLUSTERS, 3))[cluster] + rng.normal(0, 0.02, (count, 3))
    bits = num_bytes[:, None] * (level[:, None] + gaps + residuals)
    names = tuple(str(number) for number in cluster)
    ids = tuple(str(number) for number in range(count))
    return ScoredCorpus(
        key="c",
        label="c",
        facts={},
        cells=dict.fromkeys(range(3)),  # type: ignore[arg-type]
        load_rows=functools.partial(
            ScoredRows,
            ids=ids,
            digests=ids,
            titles=(None,) * count,
            published_at=(None,) * count,
            clusters=names,
            num_bytes=num_bytes.astype(np.int64),
            bits=bits,
        ),
    )


def holds(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None and estimate.high is not None
    return estimate.low <= truth <= estimate.high


@pytest.mark.slow
def test_intervals_of_the_leaderboard_and_of_compare_cover_known_differences() -> None:
    covered, ties, wins, losses = np.zeros(2), 0, 0, 0
    for seed in range(NUM_DRAWS):
        corpus = draw_corpus(seed)
        gaps = differences("micro", [resampled_sums(corpus, stream=0)], [0, 1, 2])
        covered += [holds(gaps[0, 1], -DIFFERENCE), holds(gaps[0, 2], 0.0)]
        ties += gaps[0, 2].sign == 0
        wins += gaps[0, 1].sign == -1
        losses += gaps[0, 1].sign == 1
        if seed < 5:
            bits = corpus.bits[:, 0] - corpus.bits[:, 1]
            interval = percentile_interval(
                resampled_ratios(bits, corpus.num_bytes, corpus.clusters), NUM_CLUSTERS
            )
            assert interval == pytest.approx(gaps[0, 1][1:], abs=1e-6)
    # 1000 draws: the binomial standard error of 95 % is 0.7 %.
    assert 0.93 <= covered[0] / NUM_DRAWS <= 0.97
    assert 0.93 <= covered[1] / NUM_DRAWS <= 0.97
    assert ties == covered[1]  # models that are equal are called a tie whenever the interval holds 0
    # And a difference is found, the right way round.
    assert wins > 0.3 * NUM_DRAWS and losses <= 0.03 * NUM_DRAWS
