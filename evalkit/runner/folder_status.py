"""What there is in a folder of cells, by names alone: of this machine, or of an object store."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from evalkit.cells.object_store import is_url, open_store, store_problems
from evalkit.runner.journal import RUN_SUFFIX, RunStatus, read_statuses, statuses_of

_DEPTHS = (3, 4)
"""Of a cell's file: below a corpus's and a model's folder, for tasks and probes also below one for these."""


class FolderStatus(NamedTuple):
    """What there is in a folder of cells."""

    num_cells: int
    runs: list[RunStatus]
    """Those that are at work there or were killed, the oldest first."""


def folder_status(output: str | os.PathLike[str]) -> FolderStatus:
    """What there is in a folder; of a store one listing is asked for, and the small files of its runs.

    Raises:
        UsageError: there is no such folder, or the store cannot be read.
        OSError: the folder cannot be read.
    """
    if is_url(output):
        return _store_status(os.fspath(output))
    folder = Path(output)
    runs = read_statuses(folder)
    return FolderStatus(num_cell_files(folder), runs)


def num_cell_files(folder: Path) -> int:
    """How many cells lie in a folder, by their files' names."""
    num_cells = 0
    top = os.fspath(folder)
    for path, folders, names in os.walk(top, followlinks=True):
        place = path[len(top) :].replace(os.sep, "/").lstrip("/")
        if place.count("/") + 2 >= _DEPTHS[-1]:
            folders.clear()  # also where links go round
        num_cells += sum(_is_of_cell(f"{place}/{name}") for name in names)
    return num_cells


def _store_status(url: str) -> FolderStatus:
    with store_problems(url):
        store = open_store(url)
        names = list(store.find())
        contents = []
        for name in names:
            if "/" not in name and name.endswith(RUN_SUFFIX):
                with contextlib.suppress(FileNotFoundError):  # its run has ended meanwhile
                    contents.append(store.files.cat_file(f"{store.root}/{name}"))
    return FolderStatus(sum(map(_is_of_cell, names)), statuses_of(contents))


def _is_of_cell(name: str) -> bool:
    """Whether a path below the folder is that of a cell's JSON file."""
    is_hidden = name.startswith(".") or "/." in name
    return name.endswith(".json") and not is_hidden and name.count("/") + 1 in _DEPTHS
