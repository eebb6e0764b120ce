"""Where series turn upwards: broken lines whose day is known, and noise that has none."""

import datetime as dt

import numpy as np
import pytest

from evalkit.analysis.bends import Series, candidate_days, find_rise

FIRST = dt.date(2024, 1, 1).toordinal()
MONTH = 30


def series(
    num_months: int,
    day: float,
    per_month: float,
    step: float,
    *,
    slope: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Series:
    """Months of thirty days, each of a document a day, that rise after a day."""
    starts = FIRST + MONTH * np.arange(num_months)
    days = tuple(start + np.arange(MONTH, dtype=float) for start in starts)
    drawn = noise * np.random.default_rng(seed).standard_normal(num_months)
    values = [
        slope * place
        + per_month * np.maximum(0, of_month - day).mean() / (365.25 / 12)
        + step * (of_month > day).mean()
        for place, of_month in enumerate(days)
    ]
    return Series(
        tuple(f"{2024 + place // 12}-{place % 12 + 1:02}" for place in range(num_months)),
        np.array(values) + drawn,
        np.full(num_months, max(noise, 1e-6) ** 2),
        days,
        (np.full(MONTH, 1 / MONTH),) * num_months,
    )


@pytest.mark.parametrize(("per_month", "step"), [(0.01, 0.0), (0.0, 0.05), (0.004, 0.02)])
def test_a_broken_line_without_noise_is_read_off(per_month: float, step: float) -> None:
    day = float(candidate_days([series(24, 0, 0, 0)])[40])
    rise = find_rise([series(24, day, per_month, step, slope=-0.003)])
    assert rise.probability < 0.01
    assert rise.day == day
    assert rise.low <= day <= rise.high
    assert rise.sizes[0] == pytest.approx((per_month, step), abs=1e-5)
    assert rise.fitted[0] == pytest.approx(series(24, day, per_month, step, slope=-0.003).values, abs=1e-7)


@pytest.mark.parametrize(
    "without",
    [
        series(24, FIRST + 300, 0, 0),
        series(24, FIRST + 300, 0, 0, slope=0.01),
        series(24, FIRST + 300, 0, 0, noise=0.01, seed=3),
    ],
    ids=["equal", "a line", "noise"],
)
def test_what_does_not_rise_has_no_day(without: Series) -> None:
    assert find_rise([without]).probability > 0.05


def test_a_fall_is_no_rise() -> None:
    assert find_rise([series(24, FIRST + 300, -0.01, -0.02, slope=0.01, noise=0.002)]).is_outdone
    assert not find_rise([series(24, FIRST + 300, 0.01, 0.02, slope=0.01, noise=0.002)]).is_outdone


def test_sources_share_the_day_and_nothing_else() -> None:
    day = FIRST + 400.0
    noisy = [
        series(24, day, 0.0, 0.012, slope=slope, noise=0.005, seed=seed)
        for seed, slope in ((1, 0), (2, 0.01))
    ]
    alone, together = find_rise(noisy[:1]), find_rise(noisy)
    assert together.low <= day <= together.high
    assert together.high - together.low < alone.high - alone.low
    # A source that does not rise does not hide another's rise.
    beside = find_rise([noisy[0], series(24, day, 0, 0, noise=0.005, seed=9)])
    assert abs(beside.day - day) < 2 * MONTH
    assert beside.sizes[0].step > beside.sizes[1].step


def test_intervals_hold_the_day_about_as_often_as_they_say() -> None:
    """Twenty draws of 95 %: 17 or fewer have a probability of 1.6 %. `make cutoffs` draws two hundred."""
    held = 0
    for seed in range(20):
        day = FIRST + float(np.random.default_rng(seed).uniform(5 * MONTH, 13 * MONTH))
        rise = find_rise([series(18, day, 0.003, 0.01, slope=-0.001, noise=0.003, seed=seed)], num_draws=150)
        held += rise.low <= day <= rise.high
    assert held >= 18
