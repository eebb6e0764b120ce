"""A figure as files: what plots hand to whoever shows them."""

from collections.abc import Mapping
from typing import NamedTuple


class SiteFigure(NamedTuple):
    """A figure that is drawn of the same cells; see `evalkit.plots.draw_all`."""

    name: str
    title: str
    conditions: str
    """What it is of: corpora, policy, intervals."""
    files: Mapping[str, bytes]
    """By suffix: ``.svg`` and ``.png``."""
    options: str = ""
    """What ``evalkit plot`` needs to draw it besides its name and the results."""
