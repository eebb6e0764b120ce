"""Documents that are too cheap: planted ones come out, and chance does what its probability says."""

import numpy as np
import pytest

from evalkit.analysis.residuals import adjusted, remainders, tail_of

Array = np.ndarray


def logs_of(rng: np.random.Generator, num_documents: int, num_models: int) -> tuple[Array, Array]:
    """Costs per byte of models that agree but for heavy tails, more so on long documents; and the lengths."""
    num_bytes = np.maximum(100, rng.lognormal(8, 0.7, num_documents)).astype(np.int64)
    hard = 0.25 * rng.standard_normal(num_documents)
    own = 0.03 * rng.standard_t(5, (num_documents, num_models)) * np.sqrt(1 + 3000 / num_bytes)[:, None]
    return hard[:, None] * np.linspace(0.9, 1.1, num_models) + own, num_bytes


def rates_of(logs: Array, num_bytes: Array) -> Array:
    panel = [
        remainders(logs[:, place], np.delete(logs, [0, place], axis=1), num_bytes).deviates
        for place in range(1, logs.shape[1])
    ]
    subject = remainders(logs[:, 0], logs[:, 1:], num_bytes).deviates
    return adjusted(tail_of(np.concatenate(panel)).probabilities(subject))


def test_rates_are_those_of_benjamini_and_hochberg() -> None:
    # Their paper's example, section 3.2: at a rate of 5 % the first four are rejected.
    values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    values += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    rates = adjusted(values)
    assert (rates <= 0.05).sum() == 4
    assert rates[0] == pytest.approx(0.0015) and rates[3] == pytest.approx(0.0095 * 15 / 4)
    assert rates[::-1].tolist() == adjusted(values[::-1]).tolist()


def test_planted_documents_come_out_and_few_others() -> None:
    """Of 600 documents 1 % cost the model a third less: of what is flagged 5 % is false in the mean."""
    num_planted, false_shares = 0, []
    for seed in range(20):
        logs, num_bytes = logs_of(np.random.default_rng(seed), 600, 4)
        logs[:6, 0] += np.log(2 / 3)
        flagged = np.flatnonzero(rates_of(logs, num_bytes) <= 0.05)
        num_planted += int((flagged < 6).sum())
        false_shares.append((flagged >= 6).sum() / max(1, len(flagged)))
    assert num_planted >= 0.6 * 120
    assert np.mean(false_shares) <= 0.05


def test_without_a_leak_hardly_a_draw_has_a_flag() -> None:
    """At a rate of 5 % one draw in twenty; 5 or more of 30 would come up in 2 % of cases."""
    draws = [logs_of(np.random.default_rng(100 + seed), 300, 4) for seed in range(30)]
    assert sum(bool((rates_of(*draw) <= 0.05).any()) for draw in draws) <= 4


def test_probabilities_fall_with_the_deviates() -> None:
    tail = tail_of(np.random.default_rng(1).standard_normal(2000))
    chances = tail.probabilities(np.linspace(-50, 5, 500))
    assert (np.diff(chances) >= -1e-3).all()  # at the threshold counted and fitted ones meet
    assert tail.probabilities(np.array([0.0]))[0] == pytest.approx(0.5, abs=0.03)
    # Of a normal distribution 0.00135; what is not known of a tail is added.
    assert 0.00135 <= tail.probabilities(np.array([-3.0]))[0] <= 0.004
    assert 0 < chances[0] < 1e-5


@pytest.mark.parametrize("constant", [True, False])
def test_equal_numbers_are_no_finding(constant: bool) -> None:
    num_bytes = np.full(40, 500)
    logs = np.zeros((40, 3)) if constant else np.tile(np.linspace(0, 1, 40)[:, None], 3)
    assert (rates_of(logs, num_bytes) > 0.05).all()
