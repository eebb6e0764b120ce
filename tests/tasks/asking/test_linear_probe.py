"""Linear probes find what is there, nothing where there is nothing, and choose without the test items."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from evalkit_tasks.asking import linear_probe
from evalkit_tasks.asking.linear_probe import Samples, best_layer, majority_accuracy, probe_layers

NUM_STATES, NUM_CHANNELS = 4, 64


def samples(num_samples: int, seed: int, *, strength: float = 2.0) -> Samples:
    """Three layers of noise; the middle one holds the state, too."""
    rng = np.random.default_rng(seed)
    states = rng.integers(NUM_STATES, size=num_samples)
    codes = np.random.default_rng(0).standard_normal((NUM_STATES, NUM_CHANNELS))
    features = rng.standard_normal((3, num_samples, NUM_CHANNELS))
    features[1] += strength * codes[states]
    return Samples((3 + 50 * features).astype(np.float32), states)


def test_a_state_is_read_from_the_layer_that_holds_it() -> None:
    train, test = samples(200, 1), samples(300, 2)
    probes = probe_layers(train, test, NUM_STATES)
    assert best_layer(probes) == 1
    accuracies = [float((probe.predictions == test.states).mean()) for probe in probes]
    assert accuracies[1] == 1
    for layer in (0, 2):  # five standard deviations of 300 fair guesses among four
        assert abs(accuracies[layer] - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 300)
    for probe in probes:
        assert probe.control.shape == (5,)
        assert abs(probe.control.mean() - 0.25) < 0.1
    assert majority_accuracy(train, test) == pytest.approx(0.25, abs=0.1)


def test_more_channels_than_samples_are_no_hindrance() -> None:
    rng = np.random.default_rng(3)
    states = rng.integers(2, size=80)
    features = rng.standard_normal((1, 80, 500)).astype(np.float32)
    features[0, :, 0] += 20 * states
    features[0, :, 1] = 7  # constant: no spread to divide by
    train, test = Samples(features[:, :40], states[:40]), Samples(features[:, 40:], states[40:])
    [probe] = probe_layers(train, test, 2)
    assert (probe.predictions == test.states).mean() > 0.6
    assert np.isfinite(probe.control).all()


def test_the_fit_is_scikit_learn_s_ridge_and_leaving_out_is_refitting() -> None:
    train, test = samples(40, 4, strength=0.4), samples(50, 5, strength=0.4)
    targets = np.eye(NUM_STATES)[train.states]
    kernel, cross = linear_probe._kernels(train.features[1], test.features[1])
    values, vectors = np.linalg.eigh(kernel)
    predictions, left_out, penalty = linear_probe._fit(values.clip(0), vectors, cross, targets)
    mean, spread = train.features[1].mean(0), train.features[1].std(0)
    seen, new = (train.features[1] - mean) / spread, (test.features[1] - mean) / spread
    ridge = Ridge(alpha=penalty).fit(seen, targets)
    assert predictions.tolist() == ridge.predict(new).argmax(1).tolist()
    right = 0
    for i in range(40):
        all_but_i = np.arange(40) != i
        refitted = Ridge(alpha=penalty).fit(seen[all_but_i], targets[all_but_i])
        right += refitted.predict(seen[i : i + 1]).argmax() == train.states[i]
    assert left_out == pytest.approx(right / 40)
