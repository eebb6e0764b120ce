"""Intervals: known answers, and the share of samples in which they hold the truth."""

import numpy as np
import pytest

from evalkit.stats import (
    MIN_CLUSTERS,
    Interval,
    percentile_interval,
    ratio_interval,
    resampled_ratios,
    row_quantiles,
    tails,
)


def names(count: int) -> list[str]:
    return [f"document {number}" for number in range(count)]


def test_equal_documents_leave_no_doubt() -> None:
    interval = ratio_interval([8.0] * 20, [4] * 20, names(20))
    assert interval == Interval(2.0, 2.0)
    assert interval.half_width == 0.0


def test_too_few_clusters_have_no_interval() -> None:
    assert ratio_interval([1.0], [1], ["a"]) is None
    assert ratio_interval([1.0, 2.0, 3.0] * 9, [1, 1, 1] * 9, ["a", "b", "c"] * 9) is None
    assert ratio_interval([], [], []) is None
    for count in range(1, 10):
        interval = ratio_interval(range(count), [1] * count, names(count))
        assert (interval is not None) == (count >= MIN_CLUSTERS)


def test_from_the_fewest_clusters_on_the_interval_lies_within_the_resamples() -> None:
    for count in range(2, 20):
        # n times the same cluster, one of n^n resamples, is the outermost that there is.
        assert (tails(count)[0] > count**-count) == (count >= MIN_CLUSTERS)


def test_intervals_of_the_fewest_clusters_hold_the_truth() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(1000):
        interval = ratio_interval(rng.normal(2.0, 0.5, MIN_CLUSTERS), [1] * MIN_CLUSTERS, names(MIN_CLUSTERS))
        assert interval is not None
        held += interval.low <= 2.0 <= interval.high
    # The extremes of five draws of a symmetric distribution hold its centre in 1 - 2/32 = 93.8 % of cases,
    # and nothing within them does more often; 1000 draws have a standard error of 0.8 %.
    assert 910 <= held <= 960


def test_the_order_of_documents_and_of_cluster_names_does_not_matter_much() -> None:
    rng = np.random.default_rng(1)
    bits, num_bytes = rng.gamma(4, 100, 200), rng.integers(50, 500, 200)
    first = ratio_interval(bits, num_bytes, names(200))
    again = ratio_interval(bits, num_bytes, names(200))
    assert first == again
    reverse = ratio_interval(bits[::-1], num_bytes[::-1], names(200))
    assert first is not None
    assert reverse is not None
    assert reverse.half_width == pytest.approx(first.half_width, rel=0.1)


def test_the_width_is_that_of_the_linearised_ratio() -> None:
    """Cochran 1977, eq. 6.13: the standard error of a ratio of sums."""
    rng = np.random.default_rng(2)
    num_bytes = rng.integers(500, 5000, 1000).astype(float)
    bits = num_bytes * rng.normal(0.9, 0.2, 1000)
    ratio = bits.sum() / num_bytes.sum()
    error = np.sqrt(np.square(bits - ratio * num_bytes).sum() * 1000 / 999) / num_bytes.sum()
    interval = ratio_interval(bits, num_bytes, names(1000))
    assert interval is not None
    assert interval.half_width == pytest.approx(1.96 * error, rel=0.06)
    assert (interval.low + interval.high) / 2 == pytest.approx(ratio, rel=0.005)


def test_documents_of_one_cluster_widen_the_interval() -> None:
    """Ten copies of each of 30 documents know no more than the 30."""
    rng = np.random.default_rng(3)
    bits = np.repeat(rng.gamma(4, 100, 30), 10)
    num_bytes = np.full(300, 400)
    clustered = ratio_interval(bits, num_bytes, [f"site {i // 10}" for i in range(300)])
    naive = ratio_interval(bits, num_bytes, names(300))
    single = ratio_interval(bits[::10], num_bytes[::10], [f"site {i}" for i in range(30)])
    assert clustered is not None
    assert naive is not None
    assert single is not None
    assert clustered.half_width == pytest.approx(single.half_width, rel=1e-9)
    assert clustered.half_width > 2.5 * naive.half_width


@pytest.mark.slow
def test_about_95_of_100_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(4)
    truth, held = 2.0, 0
    for _ in range(400):
        num_bytes = rng.gamma(3, 1000, 100)
        bits = num_bytes * rng.normal(truth, 0.5, 100)
        interval = ratio_interval(bits, num_bytes, names(100))
        assert interval is not None
        held += interval.low <= truth <= interval.high
    # 400 draws of probability 0.95 have a standard deviation of 4.4; small samples cost a little.
    assert 362 <= held <= 393


def test_streams_are_independent_and_repeatable() -> None:
    rng = np.random.default_rng(5)
    bits, num_bytes = rng.gamma(4, 100, 100), np.full(100, 100)
    samples = [resampled_ratios(bits, num_bytes, names(100), stream=stream) for stream in (0, 0, 1)]
    assert all(sample is not None for sample in samples)
    assert np.array_equal(samples[0], samples[1])  # type: ignore[arg-type]
    assert abs(np.corrcoef(samples[0], samples[2])[0, 1]) < 0.1  # type: ignore[arg-type]


def test_several_numerators_share_the_draws() -> None:
    rng = np.random.default_rng(6)
    bits = rng.gamma(4, 100, (50, 2))
    num_bytes = np.full(50, 100)
    both = resampled_ratios(bits, num_bytes, names(50))
    alone = resampled_ratios(bits[:, 1], num_bytes, names(50))
    assert both is not None
    assert alone is not None
    assert np.allclose(both[:, 1], alone, rtol=1e-12)
    assert percentile_interval(None, 50) is None


def test_few_clusters_have_longer_tails() -> None:
    # Student's quantile at 0.975 with 9 degrees of freedom is 2.262157 (any table); the normal distribution
    # lies below -sqrt(10 / 9) * 2.262157 = -2.384526 in 0.855 % of cases.
    assert tails(10) == pytest.approx((0.00855, 0.99145), abs=1e-5)
    assert tails(100_000) == pytest.approx((0.025, 0.975), abs=1e-5)


@pytest.mark.parametrize("num_samples", [2, 5, 4000])
def test_quantiles_of_rows_are_numpys_to_the_bit(num_samples: int) -> None:
    rng = np.random.default_rng(11)
    rows = np.concatenate([rng.normal(size=(40, num_samples)), rng.integers(0, 3, (20, num_samples)) / 7])
    for num_clusters in (5, 6, 20, 1000):
        expected = np.quantile(rows, tails(num_clusters), axis=1)
        np.testing.assert_array_equal(row_quantiles(rows, tails(num_clusters)), expected)
    ends = row_quantiles(rows, (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(ends, np.quantile(rows, (0.0, 0.5, 1.0), axis=1))
