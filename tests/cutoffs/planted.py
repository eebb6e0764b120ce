"""Leaks planted among drawn documents: how many are flagged, and how many that were not planted."""

import dataclasses
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.leaks import measure, probabilities_of
from evalkit.analysis.residuals import adjusted

RATE = 0.05


@dataclasses.dataclass(frozen=True)
class Planting:
    """Documents, and how models differ on them."""

    num_documents: int
    num_leaked: int
    noise: str
    """``normal``, or ``t`` (Student's with 5 degrees of freedom)."""
    scatter: float = 0.04
    """Of the logarithm of a model's bits for a long document."""
    saved: float = 0.4
    """Share of its bits that a leaked document costs less."""
    num_panel: int = 3


PLANTED = {
    f"{size:,}, {words}{'' if leaked else ', no leak'}": Planting(size, leaked, noise)
    for noise, words in {
        "normal": "normal",
        "t": "Student's t, 5 degrees",
    }.items()
    for size in (500, 2000)
    for leaked in (0, size // 100)
}


class PlantedOutcome(NamedTuple):
    """Over draws of one planting."""

    name: str
    num_leaked: int
    found_share: float | None
    """Of the planted documents, those flagged; None where none was planted."""
    false_share: float
    """Of the flagged documents those not planted, 0 where none is flagged; the mean over draws."""
    false_share_error: float
    """Standard error of that mean."""
    flagged_draws: float
    """Share of draws in which something is flagged."""


def plant(name: str, num_draws: int) -> PlantedOutcome:
    """Draw documents, plant leaks and flag."""
    planting = PLANTED[name]
    rng = np.random.default_rng(list(PLANTED).index(name))
    found_shares, false_shares, is_flagged = [], [], []
    for _ in range(num_draws):
        flagged = np.flatnonzero(_rates(planting, rng) <= RATE)
        num_true = int((flagged < planting.num_leaked).sum())
        found_shares.append(num_true / max(1, planting.num_leaked))
        false_shares.append((len(flagged) - num_true) / max(1, len(flagged)))
        is_flagged.append(len(flagged) > 0)
    found_share = float(np.mean(found_shares)) if planting.num_leaked else None
    return PlantedOutcome(
        name,
        planting.num_leaked,
        found_share,
        float(np.mean(false_shares)),
        float(np.std(false_shares) / np.sqrt(num_draws)),
        float(np.mean(is_flagged)),
    )


def _rates(planting: Planting, rng: np.random.Generator) -> NDArray[np.float64]:
    """Of all documents, the leaked ones first."""
    size = planting.num_documents, planting.num_panel + 1
    num_bytes = np.maximum(100, rng.lognormal(8, 0.7, size[0])).astype(np.int64)
    hard = 0.25 * rng.standard_normal(size[0])
    scatter = planting.scatter * np.sqrt(1 + 3000 / num_bytes)
    logs = hard[:, None] + scatter[:, None] * _noise(planting.noise, size, rng)
    logs[: planting.num_leaked, 0] += np.log(1 - planting.saved)
    [probabilities] = probabilities_of([measure(logs, num_bytes)])
    return adjusted(probabilities)


def _noise(kind: str, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Of variance 1."""
    if kind == "t":
        return np.asarray(rng.standard_t(5, size) / np.sqrt(5 / 3))
    return rng.standard_normal(size)
