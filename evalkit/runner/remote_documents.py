"""Finished documents of cells that are not finished, in an object store: other machines take them up there.

They lie where they lie in a folder of a machine, see `evalkit.cells.partial`. Without them a lost machine's
are scored again: what cannot be read or written is told, and nothing fails.
"""

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.cells.partial import PARTIAL_SUFFIX, partial_folder
from evalkit.files import atomic_write

if TYPE_CHECKING:
    from evalkit.runner.remote import RemoteFolder

_COST = (
    "finished documents of a cell cannot be read or written in {url} ({problem}); going on: where this "
    "process is lost they are scored again"
)


class RemoteDocuments:
    """Those of all cells in a folder of an object store."""

    def __init__(self, remote: "RemoteFolder") -> None:
        """Nothing is asked for yet.

        Args:
            remote: the folder.
        """
        self._remote = remote

    @property
    def are_kept(self) -> bool:
        """Whether they go to the store: not where every writing is a commit, of which there may be few."""
        return self._remote.protocol != "hf"

    def fetch(self, cell: Path, *, warn: Callable[[str], None]) -> None:
        """Bring what other machines have finished of a cell.

        Args:
            cell: its JSON file, below `RemoteFolder.folder`.
            warn: told of a failure.
        """
        remote, folder = self._remote, partial_folder(cell)
        with remote.passing(warn, _COST):
            for key in remote.keys(remote.key(folder)) if self.are_kept else ():
                path = folder / key.rpartition("/")[2]
                if not path.exists():
                    with atomic_write(path) as temporary:
                        remote.files.get_file(key, str(temporary))

    def store(self, path: Path, *, warn: Callable[[str], None]) -> None:
        """Store a file of documents that are finished.

        Args:
            path: in the `partial_folder` of the cell.
            warn: told of a failure.
        """
        if self.are_kept:
            with self._remote.passing(warn, _COST):
                self._remote.files.put_file(str(path), self._remote.key(path))

    def remove(self, cell: Path, *, only_first: bool = False, warn: Callable[[str], None]) -> None:
        """Remove those of a cell that is finished itself.

        Args:
            cell: its JSON file, below `RemoteFolder.folder`.
            only_first: where there were some when the plan was made; else nothing is asked for.
            warn: told of a failure.
        """
        key = self._remote.key(partial_folder(cell))
        if self.are_kept and (not only_first or key in self._first_folders):
            with self._remote.passing(warn, _COST):
                for name in self._remote.keys(key):
                    with contextlib.suppress(FileNotFoundError):  # another run was faster
                        self._remote.files.rm_file(name)

    @functools.cached_property
    def _first_folders(self) -> set[str]:
        folders = (key.rpartition("/")[0] for key in self._remote.first_keys)
        return {folder for folder in folders if folder.endswith(PARTIAL_SUFFIX)}
