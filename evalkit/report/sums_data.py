"""The resampled sums of a corpus as the board's script reads them.

Of the corpora of every choice that the board precomputes the site has aggregates, differences and ranks. Of
any other set of them (two sources of seven) the script computes these by the rules of
`evalkit.analysis.estimates`, from the very resamples that are used there: ``static/aggregates.js``.
"""

import base64
from collections.abc import Sequence

import numpy as np

from evalkit.analysis.estimates import Sums
from evalkit.stats import tails

_BYTES = -1
"""In place of a model: the sums of bytes."""


def sums_data(sums: Sums, configurations: Sequence[int]) -> dict[str, object]:
    """A corpus's sums, as far as these models need them.

    ``common`` is the matrix of which set of documents two of them share, None where it is one set for all.
    ``rows`` are pairs of a set and a model (-1: bytes); ``measured`` is the sum of each, and ``resamples``
    holds in base64 ``[len(rows), R]`` little-endian float32: by which share of it every resample deviates.
    As a share float32 is exact to ten digits of a sum, far beyond those of `estimates.DECIMALS`.

    Args:
        sums: the corpus's, with the draws that it has among others.
        configurations: those that have a cell on it, in rising order.
    """
    common = sums.common[np.ix_(configurations, configurations)]
    pairs = sorted(
        {(int(number), model) for place, model in enumerate(configurations) for number in common[place]}
        | {(int(number), _BYTES) for number in np.unique(common)}
    )
    bits, num_bytes = sums.bits, sums.num_bytes
    rows = np.array(
        [num_bytes[number] if model == _BYTES else bits[number, model] for number, model in pairs]
    )
    measured = rows[:, :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = np.where(measured == 0, 0.0, rows[:, 1:] / measured - 1)
    return {
        "configurations": list(configurations),
        "common": None if sums.num_sets == 1 else common.tolist(),
        "num_clusters": sums.num_clusters,
        "tails": list(tails(sums.num_clusters)) if deviations.shape[1] else None,
        "rows": pairs,
        "measured": measured[:, 0].tolist(),
        "resamples": base64.b64encode(deviations.astype("<f4").tobytes()).decode("ascii"),
    }
