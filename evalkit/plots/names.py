"""Names as figures show them: of models, corpora and sources, whatever characters they have."""

import unicodedata
from collections.abc import Iterable, Sequence

from evalkit.terminal import printable

MAX_COLUMNS = 44
"""Of a label; a letter takes one, a Chinese, Japanese or Korean sign two, a combining mark none."""
_JOINERS = "\u200c\u200d"
_MAX_MARKS = 2


def short(name: str, mark: str = "", *, max_columns: int = MAX_COLUMNS) -> str:
    """A name with its middle left out where it is too long for a label: paths differ at their ends.

    What would move, hide or turn text is shown as its escape, and letters with marks as one sign where
    Unicode has it.

    Args:
        name: of a model, a corpus or the like.
        mark: put behind it.
        max_columns: of both together; see `MAX_COLUMNS`.
    """
    clusters = _clusters(printable(unicodedata.normalize("NFC", name)))
    room = max_columns - _columns(mark)
    if sum(map(_columns, clusters)) <= room:
        return f"{''.join(clusters)}{mark}"
    end = room - room // 2
    head, tail = _fitting(clusters, room - end - 1), _fitting(clusters[::-1], end)[::-1]
    return f"{''.join(head)}…{''.join(tail)}{mark}"


def clause(words: str, names: Sequence[str]) -> str:
    """For the conditions of a figure: ``; words: names``, each as short as a label; empty without names."""
    return f"; {words}: {', '.join(map(short, names))}" if names else ""


def _clusters(text: str) -> list[str]:
    """Letters with the marks on them, and signs that a joiner makes one.

    A letter has so many marks at most that they do not reach the lines above and below.
    """
    clusters: list[str] = []
    for character in text:
        is_on_last = unicodedata.category(character).startswith("M") or character in _JOINERS
        if clusters and (is_on_last or clusters[-1][-1] == "\u200d"):
            clusters[-1] += character
        else:
            clusters.append(character)
    return [cluster[: 1 + _MAX_MARKS] if "\u200d" not in cluster else cluster for cluster in clusters]


def _columns(text: str) -> int:
    """How many columns a terminal would need: about the width in units of half a letter's height."""
    from rich.cells import cell_len

    return cell_len(text)


def _fitting(clusters: Iterable[str], room: int) -> list[str]:
    """The first that fit into so many columns."""
    fitting = []
    for cluster in clusters:
        room -= _columns(cluster)
        if room < 0:
            break
        fitting.append(cluster)
    return fitting
