"""The aggregates: how bits per byte of several corpora become one number.

Each is a row of `AGGREGATES`, from which the command line, the site and the plots take their names, their
order and what they say of them. There is no single right one, and the order of models can depend on the
choice.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import unknown_name

Array = NDArray[np.float64]


class Aggregate(NamedTuple):
    """A way to put corpora together."""

    name: str
    title: str
    """The heading of its column."""
    words: str
    """Before a list of corpora: "mean over" …"""
    help: str
    """What it is and what counts most in it, in two sentences."""
    function: Callable[[Iterable[tuple[Array, Array]]], Array]
    """Of each corpus's bits ``[N, 1 + R]`` and bytes ``[N, 1 + R]`` (or ``[1, 1 + R]``), measured and
    resampled: bits per byte ``[N, 1 + R]``. Where one has no resamples, the whole has none. One corpus at a
    time is held."""


def _sum(terms: Iterable[Array]) -> tuple[Array, int]:
    """The sum of arrays ``[N, 1 + R]``, and how many there were; of the measured alone where an R is 0."""
    iterator = iter(terms)
    total, count = next(iterator), 1
    for term in iterator:
        end = 1 if term.shape[1] != total.shape[1] else total.shape[1]
        total = total[:, :end] + term[:, :end]
        count += 1
    return total, count


def _macro(corpora: Iterable[tuple[Array, Array]]) -> Array:
    total, count = _sum(bits / num_bytes for bits, num_bytes in corpora)
    return np.asarray(total / count)


def _micro(corpora: Iterable[tuple[Array, Array]]) -> Array:
    # Side by side in one array, for each corpus comes by once; bytes may be one row for all models.
    total, _ = _sum(
        np.stack([bits, np.broadcast_to(num_bytes, bits.shape)], axis=2) for bits, num_bytes in corpora
    )
    return np.asarray(total[..., 0] / total[..., 1])


def _geometric(corpora: Iterable[tuple[Array, Array]]) -> Array:
    total, count = _sum(np.log(bits / num_bytes) for bits, num_bytes in corpora)
    return np.asarray(np.exp(total / count))


_ROWS = (
    Aggregate(
        "macro",
        "macro average",
        "mean over",
        "The plain mean of the corpora's bits per byte. Every corpus counts alike; corpora with high numbers "
        "weigh most in the differences.",
        _macro,
    ),
    Aggregate(
        "micro",
        "micro average",
        "all bits over all bytes of",
        "All bits over all bytes. Large corpora count most.",
        _micro,
    ),
    Aggregate(
        "geometric",
        "geometric mean",
        "geometric mean over",
        "exp of the mean of the logarithms. Equal relative gains count alike, on code at 0.5 as on prose at "
        "1.0.",
        _geometric,
    ),
)
AGGREGATES: Mapping[str, Aggregate] = {aggregate.name: aggregate for aggregate in _ROWS}
"""By name, the headline first."""
HEADLINE = _ROWS[0].name


def check_aggregate(name: str) -> None:
    """Refuse a name that is no aggregate's.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in AGGREGATES:
        raise unknown_name("aggregate", name, AGGREGATES, f"Known: {', '.join(AGGREGATES)}.")
