"""What other packages bring under a group of entry points, each name at most once."""

import functools
import importlib.metadata
import os
import sys
from collections.abc import Collection
from importlib.metadata import EntryPoint
from typing import Any

from evalkit.errors import UsageError


def entry_points(group: str) -> tuple[EntryPoint, ...]:
    """What all packages that are installed bring under a group of entry points."""
    return _of_group(group, _import_folders())


def plugin(group: str, name: str, builtin_names: Collection[str] = ()) -> EntryPoint | None:
    """The entry point of a name; None where no package brings it.

    Args:
        group: the group of entry points.
        name: what is looked for.
        builtin_names: what evalkit has itself and no package may put another in place of.

    Raises:
        UsageError: two packages bring something under this name, or one something in place of evalkit's own.
    """
    first = None
    for point in entry_points(group):
        if point.name != name:
            continue
        if name in builtin_names:
            raise UsageError(
                f"{_package(point)} brings {point.value} under the name {name!r} of {group}, which is one of "
                "evalkit's; uninstall it"
            )
        if (
            first is not None and first.value != point.value
        ):  # the same one twice is an editable installation's
            raise UsageError(
                f"two packages bring {name!r} of {group}: {first.value} and {point.value}; uninstall one"
            )
        first = first or point
    return first


def _import_folders() -> tuple[tuple[str, int], ...]:
    """Where packages are imported from, and when something was last installed or removed there."""
    return tuple((folder, _changed_ns(folder or ".")) for folder in sys.path)


def _changed_ns(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116  asked for every model of a plan
    except OSError:
        return 0


@functools.lru_cache(maxsize=16)
def _of_group(group: str, folders: tuple[tuple[str, int], ...]) -> tuple[EntryPoint, ...]:
    return tuple(_all_groups(folders).select(group=group))


@functools.lru_cache(maxsize=1)
def _all_groups(_: tuple[tuple[str, int], ...]) -> Any:
    """All there are, kept while nothing is installed: each look reads what every package says of itself.

    Before Python 3.12 that is another class, which has the method ``select`` as well.
    """
    return importlib.metadata.entry_points()


def _package(point: EntryPoint) -> str:
    return "a package" if point.dist is None else f"the package {point.dist.name}"
