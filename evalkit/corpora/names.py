"""What the names of corpora stand for before anything is read: patterns of paths, and what was meant."""

import glob
import os
import re
from collections.abc import Callable, Iterable

from evalkit.corpora.readers import FILE_SUFFIXES, HUB_PREFIX
from evalkit.errors import UsageError, did_you_mean
from evalkit.near_paths import near_paths
from evalkit.patterns import is_pattern, matching_names

PARTIAL_ENDING = "-partial"
"""Ends the name of a corpus of those documents of another one whose texts could be had."""
_HUB_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/datasets/([^/?#]+/[^/?#]+).*")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def expand_name(name: str, stored_names: Callable[[], Iterable[str]]) -> list[str]:
    """What a name stands for: of a pattern (``wikipedia-*``) the corpora, else, as of ``~``, paths.

    Args:
        name: as a user gives it.
        stored_names: the corpora that have names; asked only about a pattern.

    Raises:
        UsageError: nothing matches a pattern.
    """
    from evalkit.corpora.sets import SET_PREFIX

    expanded = os.path.expanduser(name)  # noqa: PTH111  that of a user who is not here stays
    if name.startswith((HUB_PREFIX, SET_PREFIX)) or not is_pattern(name) or os.path.exists(expanded):  # noqa: PTH110
        return [expanded]
    matches = matching_names([name], stored_names())
    if matches == [name]:
        matches = sorted(glob.glob(expanded))  # noqa: PTH207  of an absolute pattern, too
    if not matches:
        raise UsageError(
            f"corpus {name}: no stored corpus and no file or folder here matches this pattern; "
            "`evalkit corpora list` shows the corpora"
        )
    return matches


def not_a_path(name: str) -> UsageError | None:
    """The error for a name that looks like a path or an address where nothing is; None for any other name."""
    from evalkit.corpora.sets import SET_PREFIX

    if address := _HUB_ADDRESS.fullmatch(name):
        return UsageError(f"corpus {name}: a dataset of the hub is written hub:{address[1]}@COMMIT")
    if re.match(r"https?://", name):
        return UsageError(f"corpus {name}: nothing is fetched from addresses; download it and give the file")
    is_path = "/" in name or name.lower().endswith(FILE_SUFFIXES)
    if not is_path or name.startswith(SET_PREFIX):
        return None
    advice = did_you_mean(near_paths(name))
    if not advice and _REPOSITORY.fullmatch(name):
        advice = f" A dataset of the hub is written hub:{name}@COMMIT."
    return UsageError(f"corpus {name}: no such file or folder{advice and f'.{advice}'}")
