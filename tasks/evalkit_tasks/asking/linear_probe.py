"""Linear probes: can the state be read off the hidden states, whatever the model says?

Ridge regression on one-hot states (a linear classifier in closed form), one per layer. The regularisation
is chosen by leave-one-out on the training samples, for which the hat matrix gives the residuals without
refitting (Allen 1974, "PRESS"); so is the layer that is reported, so that the test items choose nothing.
The control is the same classifier trained on shuffled states.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_PENALTIES = np.logspace(-4, 3, 15)
"""Relative to the mean eigenvalue of the kernel."""
_NUM_SHUFFLES = 5


class Samples(NamedTuple):
    """Positions of texts, with the states there."""

    features: NDArray[np.float32]
    """``[num_layers, num_samples, num_channels]``"""
    states: NDArray[np.int64]
    """``[num_samples]``"""


class LayerProbe(NamedTuple):
    """A probe of one layer, tried on the test samples."""

    predictions: NDArray[np.int64]
    """``[num_test]``"""
    control: NDArray[np.float64]
    """Test accuracies of probes trained on shuffled states, ``[num_shuffles]``."""
    left_out_accuracy: float
    """On the training samples, each left out in turn."""
    penalty: float


def probe_layers(train: Samples, test: Samples, num_states: int, *, seed: int = 0) -> list[LayerProbe]:
    """A probe for each layer.

    Args:
        train: at least two samples.
        test: at least one, of other items.
        num_states: states are below it.
        seed: of the control's shuffles.
    """
    rng = np.random.default_rng(seed)
    shuffles = [rng.permutation(len(train.states)) for _ in range(_NUM_SHUFFLES)]
    targets = np.eye(num_states)[train.states]
    probes = []
    for layer in range(len(train.features)):
        # Everything by inner products of samples: channels are many more than samples, and the eigenvectors
        # of the kernel serve all penalties and all shuffles.
        kernel, cross = _kernels(train.features[layer], test.features[layer])
        values, vectors = np.linalg.eigh(kernel)
        values = values.clip(min=0)
        predictions, accuracy, penalty = _fit(values, vectors, cross, targets)
        control = [
            float((_fit(values, vectors, cross, targets[order])[0] == test.states).mean())
            for order in shuffles
        ]
        probes.append(LayerProbe(predictions, np.array(control), accuracy, penalty))
    return probes


def best_layer(probes: Sequence[LayerProbe]) -> int:
    """The layer from which training samples that were left out are read best; of equals the first."""
    return max(range(len(probes)), key=lambda layer: probes[layer].left_out_accuracy)


def majority_accuracy(train: Samples, test: Samples) -> float:
    """Test accuracy of naming the most frequent training state."""
    return float((test.states == np.bincount(train.states).argmax()).mean())


def _kernels(
    train: NDArray[np.float32], test: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inner products of standardised features, ``[train, train]`` and ``[test, train]``."""
    mean, spread = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    # A channel that does not vary says nothing: it counts as 0 in place of being divided by nearly nothing.
    scale = 1 / np.where(spread > 1e-6 * spread.max(initial=1e-30), spread, np.inf)
    train_scaled, test_scaled = (train - mean) * scale, (test - mean) * scale
    return train_scaled @ train_scaled.T, test_scaled @ train_scaled.T


def _fit(
    values: NDArray[np.float64],
    vectors: NDArray[np.float64],
    cross: NDArray[np.float64],
    targets: NDArray[np.float64],
) -> tuple[NDArray[np.int64], float, float]:
    """Test predictions, left-out training accuracy and penalty of the best ridge regression.

    Args:
        values: eigenvalues of the training kernel.
        vectors: its eigenvectors.
        cross: kernel of test and training samples.
        targets: ``[num_train, num_states]``, one-hot.
    """
    mean = targets.mean(0)
    rotated = vectors.T @ (targets - mean)
    labels = targets.argmax(1)
    best: tuple[float, float, NDArray[np.float64]] | None = None
    for penalty in _PENALTIES * max(values.mean(), 1e-30):
        shrunk = values / (values + penalty)
        fitted = mean + vectors @ (shrunk[:, None] * rotated)
        # What a sample contributes to its own fit, the mean included; without it the residual is that of the
        # whole fit divided by what is not its own (Allen 1974).
        leverage = 1 / len(targets) + (vectors**2 @ shrunk)
        left_out = targets - (targets - fitted) / np.maximum(1 - leverage, 1e-9)[:, None]
        accuracy = float((left_out.argmax(1) == labels).mean())
        if best is None or accuracy >= best[0]:  # of equals the stronger penalty
            best = accuracy, penalty, vectors @ (rotated / (values + penalty)[:, None])
    assert best is not None
    accuracy, penalty, weights = best
    return (mean + cross @ weights).argmax(1), accuracy, float(penalty)
