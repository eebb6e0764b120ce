"""Several names by one pattern, as a shell has them for files."""

import fnmatch
import glob
from collections.abc import Iterable


def matching_names(names: Iterable[str], known_names: Iterable[str]) -> list[str]:
    """Names with the patterns among them replaced by the known names that they match.

    Args:
        names: in their order; with ``*``, ``?`` or ``[…]`` a pattern, unless it is known as it stands.
        known_names: in the order in which a pattern's matches are to come.

    Returns:
        The names. What a pattern matches comes once, and not where a name stands for it anyway. A pattern
        that matches nothing stays as it is: whoever looks names up refuses it as any unknown one.

    >>> matching_names(["xz", "rwkv7-*"], ["rwkv7-1.5b", "rwkv7-2.9b", "xz"])
    ['xz', 'rwkv7-1.5b', 'rwkv7-2.9b']
    """
    names, known_names = list(names), list(known_names)
    taken, replaced = set(names), []
    for name in names:
        matches = fnmatch.filter(known_names, name) if is_pattern(name) and name not in known_names else []
        if not matches:
            replaced.append(name)
        for match in matches:
            if match not in taken:
                taken.add(match)
                replaced.append(match)
    return replaced


def is_pattern(name: str) -> bool:
    """Whether a name has a sign in it that stands for others."""
    return glob.has_magic(name)
