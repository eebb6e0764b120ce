"""The aggregates: how bits per byte of several corpora become one number.

Each is a row of `AGGREGATES`, from which the command line, the site and the plots take their names, their
order and what they say of them. There is no single right one, and the order of models can depend on the
choice.
"""

from collections.abc import Callable, Mapping, Sequence
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
    function: Callable[[Sequence[Array], Sequence[Array]], Array]
    """Of each corpus's bits ``[N, 1 + R]`` and bytes ``[N, 1 + R]`` (or ``[1, 1 + R]``), measured and
    resampled: bits per byte ``[N, 1 + R]``."""


def _macro(bits: Sequence[Array], num_bytes: Sequence[Array]) -> Array:
    ratios = [top / bottom for top, bottom in zip(bits, num_bytes, strict=True)]
    return np.asarray(sum(ratios) / len(ratios))


def _micro(bits: Sequence[Array], num_bytes: Sequence[Array]) -> Array:
    return np.asarray(sum(bits) / sum(num_bytes))


def _geometric(bits: Sequence[Array], num_bytes: Sequence[Array]) -> Array:
    logs = [np.log(top / bottom) for top, bottom in zip(bits, num_bytes, strict=True)]
    return np.asarray(np.exp(sum(logs) / len(logs)))


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
