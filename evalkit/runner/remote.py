"""Cells in a folder of an object store (``s3://…``, ``hf://…``): whole files come from there and go there.

A run works in a folder of this machine. What the store has of the models and corpora of a plan is fetched
before the plan is made; a cell that is finished is stored at once, its JSON last and only where there is
none, so that there too a cell is whole or absent and never overwritten. What was stored or fetched before and
is not in the store anymore was removed there, and is removed here.

Where the store can create a file only if there is none, other runs are kept from the same cells by claims, as
in `evalkit.runner.claims`. All of this happens in the process that has made the plan, which has no threads of
the store's at work while it forks; with Ray, also where a cell was scored.
"""

import contextlib
import datetime as dt
import functools
import hashlib
import json
import math
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from evalkit.cells import files as cell_files
from evalkit.cells.object_store import OpenStore, open_store, store_problems
from evalkit.errors import ScoringError, first_line
from evalkit.files import atomic_write, cache_dir
from evalkit.runner.claims import HEARTBEAT_S, STALE_S, claim_path, process_of, runs_here
from evalkit.runner.remote_documents import RemoteDocuments

_WITH_CLAIMS = ("s3", "s3a", "memory")
"""Stores that create a file only where there is none, by fsspec's ``mode="create"``."""
_SYNCED = ".evalkit.synced"
"""The file in each folder with the names that are, or were, in the store as well."""
_COST_OF_CLAIMS = (
    "a claim in {url} cannot be touched or removed ({problem}); going on: other runs wait up to "
    f"{STALE_S / 60:.0f} minutes for its cell, or score it too"
)
_UNTOLD = "how far this run is cannot be written to {url} ({problem}); going on"
_REFUSED_S = 15.0
"""How long a cell that another run has claimed is not asked for again."""


@functools.cache
def remote_folder(url: str) -> "RemoteFolder":
    """The folder of this name, one object in all of the process."""
    return RemoteFolder(url)


class RemoteFolder:
    """A folder of an object store, and the folder of this machine in its place."""

    def __init__(self, url: str) -> None:
        """Take an address as fsspec has it; nothing is asked for yet."""
        self.url = url.rstrip("/")
        self.folder = cache_dir() / "remote" / hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self._claims: dict[str, str] = {}
        self._refused_s: dict[str, float] = {}
        self._beaten_s = time.monotonic()
        self._published_s = -math.inf
        self._has_warned = False
        self.documents = RemoteDocuments(self)

    def fetch(self, cell: Path, *, again: bool = False) -> None:
        """Bring what the store has of a cell's model and corpus.

        Args:
            cell: its JSON file, below `folder`.
            again: look at what came since the plan was made.

        Raises:
            UsageError: the store cannot be read.
        """
        with store_problems(self.url):
            names = self._names(cell.parent) if again else self._listing.get(self.key(cell.parent), set())
            synced = self._synced(cell.parent)
            for name in synced - names:
                (cell.parent / name).unlink(missing_ok=True)
            missing = {name for name in names if not (cell.parent / name).exists()}
            for name in sorted(missing, key=_json_last):
                with atomic_write(cell.parent / name) as temporary:
                    self.files.get_file(self.key(cell.parent / name), str(temporary))
            self._write_synced(cell.parent, synced, names)

    def store(self, cell: Path) -> None:
        """Store a cell that was scored now; where another run has stored it meanwhile, that one stays.

        Args:
            cell: its JSON file, below `folder`.

        Raises:
            ScoringError: the store cannot be written; the cell stays in `folder`.
        """
        with self._failures():
            names = self._names(cell.parent)
            if cell.name not in names or not self._is_whole(cell):
                self._store(cell)
            names |= {cell.name, cell.with_suffix(".parquet").name}
            self._write_synced(cell.parent, self._synced(cell.parent), names)

    def store_rest(self, cell: Path) -> None:
        """Store what is finished of a cell's model and corpus, and what earlier runs could not store.

        Args:
            cell: its JSON file, below `folder`, which was fetched.

        Raises:
            ScoringError: the store cannot be written; what is finished stays in `folder`.
        """
        synced = self._synced(cell.parent)
        finished = [path for path in cell.parent.glob("*.json") if _is_of_cell(path.name)]
        unsynced = [path for path in finished if path.name not in synced]
        if unsynced:
            with self._failures():
                for path in sorted(unsynced):
                    self._store(path)
                names = {name for path in unsynced for name in (path.name, path.with_suffix(".parquet").name)}
                self._write_synced(cell.parent, synced, synced | names)

    def _store(self, path: Path) -> None:
        parquet, content = path.with_suffix(".parquet"), path.read_bytes()
        self.files.put_file(str(parquet), self.key(parquet))
        # Where another run has finished it since we looked, that one stays, unless our rows came over its.
        if not self._create(self.key(path), content) and not self._is_whole(path):
            self.files.pipe_file(self.key(path), content)

    def _create(self, key: str, content: bytes) -> bool:
        """Write a file where there is none; False where there is one."""
        try:
            self.files.pipe_file(key, content, mode="create")
        except FileExistsError:
            return False
        except OSError as error:  # S3's own name for it
            if "PreconditionFailed" in str(error) or "pre-conditions" in str(error):
                return False
            raise
        return True

    def _is_whole(self, path: Path) -> bool:
        """Whether the cell in the store is what was written."""
        try:
            content, rows = (self.files.cat_file(self.key(of)) for of in (path, path.with_suffix(".parquet")))
        except FileNotFoundError:
            return False
        return cell_files.is_whole(content, rows)

    # --- claims ---

    def claim(self, cell: Path) -> bool:
        """Keep other runs from a cell; whether none of them has it.

        Raises:
            UsageError: the store cannot be written.
        """
        key = self.key(claim_path(cell))
        if key in self._claims or self.protocol not in _WITH_CLAIMS:
            return True
        text = json.dumps({**process_of(os.getpid()), "token": uuid.uuid4().hex})
        with store_problems(self.url):
            for _ in range(2):
                if self._create(key, text.encode()):
                    self._claims[key] = text
                    return True
                if not self._is_stale(key):
                    break
                with contextlib.suppress(FileNotFoundError):
                    self.files.rm_file(key)
        self._refused_s[key] = time.monotonic()
        return False

    def is_refused(self, cell: Path) -> bool:
        """Whether another run had claimed a cell a moment ago."""
        refused_s = self._refused_s.get(self.key(claim_path(cell)))
        return refused_s is not None and time.monotonic() - refused_s < _REFUSED_S

    def release(self, cell: Path, *, warn: Callable[[str], None]) -> None:
        """Let go of a cell; a claim that cannot be removed becomes stale, and ``warn`` is told once."""
        self._release(self.key(claim_path(cell)), warn)

    def release_all(self, *, warn: Callable[[str], None]) -> None:
        """Let go of all cells; see `release`."""
        for key in list(self._claims):
            self._release(key, warn)

    def _release(self, key: str, warn: Callable[[str], None]) -> None:
        if self._claims.pop(key, None) is not None:
            with self.passing(warn):
                self.files.rm_file(key)

    def beat(self, *, warn: Callable[[str], None]) -> None:
        """Touch the claims, where it is time to; ``warn`` is told of the first that cannot be."""
        if time.monotonic() - self._beaten_s >= HEARTBEAT_S:
            self._beaten_s = time.monotonic()
            for key, text in self._claims.items():
                with self.passing(warn):
                    self.files.pipe_file(key, text.encode())

    def _is_stale(self, key: str) -> bool:
        """Whether a claim's process has gone, or it was not touched for minutes by the store's clock."""
        try:
            claim = json.loads(self.files.cat_file(key))
            is_alive = runs_here({name: claim[name] for name in ("host", "pid", "started")})
            if is_alive is not None:
                return not is_alive
        except FileNotFoundError:
            return True
        except (ValueError, KeyError, TypeError):
            pass  # by its age alone
        return self._age_s(key) > STALE_S

    def _age_s(self, key: str) -> float:
        """Seconds since a file was written, by the store's clock; infinite where it is gone."""
        probe = f"{self._root}/.evalkit.clock"
        self.files.pipe_file(probe, b"")
        try:
            age: dt.timedelta = self.files.modified(probe) - self.files.modified(key)
        except FileNotFoundError:
            return math.inf
        return age.total_seconds()

    # --- how far runs are ---

    def publish(self, name: str, content: str, *, warn: Callable[[str], None]) -> None:
        """Write a file that says how far a run is, where it is time to; ``warn`` is told once of a failure.

        Nothing is written to stores where every writing is a commit.
        """
        if self.protocol in _WITH_CLAIMS and time.monotonic() - self._published_s >= HEARTBEAT_S:
            self._published_s = time.monotonic()
            with self.passing(warn, _UNTOLD):
                self.files.pipe_file(f"{self._root}/{name}", content.encode())

    def withdraw(self, name: str, *, warn: Callable[[str], None]) -> None:
        """Remove the file that says how far a run is; it has ended."""
        if math.isfinite(self._published_s):
            self._published_s = -math.inf
            with self.passing(warn, _UNTOLD), contextlib.suppress(FileNotFoundError):
                self.files.rm_file(f"{self._root}/{name}")

    def withdraw_dead(
        self, suffix: str, is_alive: Callable[[bytes], bool | None], *, warn: Callable[[str], None]
    ) -> None:
        """Remove the files of runs that are gone, or on another machine and unheard of for `STALE_S`.

        Args:
            suffix: how their names end.
            is_alive: says of a file's content whether its run is at work; None: that cannot be known here.
            warn: told once of a failure.
        """
        if self.protocol not in _WITH_CLAIMS:
            return
        with self.passing(warn, _UNTOLD), contextlib.suppress(FileNotFoundError):
            for key in self.files.ls(self._root, detail=False):
                if key.endswith(suffix):
                    alive = is_alive(self.files.cat_file(key))
                    if alive is False or (alive is None and self._age_s(key) > STALE_S):
                        self.files.rm_file(key)

    # --- the store ---

    @functools.cached_property
    def _store_folder(self) -> OpenStore:
        return open_store(self.url)

    @property
    def files(self) -> Any:
        """The store's file system, as fsspec has it."""
        return self._store_folder.files

    @property
    def _root(self) -> str:
        return self._store_folder.root

    @property
    def protocol(self) -> str:
        """What the address begins with."""
        return self.url.partition("://")[0]

    @functools.cached_property
    def first_keys(self) -> list[str]:
        """The names of all files as they were at the beginning: one listing for all cells."""
        return self.keys(self._root)

    @functools.cached_property
    def _listing(self) -> dict[str, set[str]]:
        """Names of cells' files by folder."""
        by_folder: dict[str, set[str]] = {}
        for key in self.first_keys:
            folder, _, name = key.rpartition("/")
            if _is_of_cell(name):
                by_folder.setdefault(folder, set()).add(name)
        return by_folder

    def _names(self, folder: Path) -> set[str]:
        names = (key.rpartition("/")[2] for key in self.keys(self.key(folder)))
        return {name for name in names if _is_of_cell(name)}

    def keys(self, key: str) -> list[str]:
        """The names of the files below one, as the store has them now; none where nothing is there yet."""
        self.files.invalidate_cache()  # the hub's client keeps listings whatever it is told
        try:
            keys: list[str] = self.files.find(key)
        except FileNotFoundError:  # nothing is there yet
            return []
        return keys

    def key(self, path: Path) -> str:
        """The name in the store of a file below `folder`."""
        return f"{self._root}/{path.relative_to(self.folder).as_posix()}"

    @contextlib.contextmanager
    def passing(self, warn: Callable[[str], None], cost: str = _COST_OF_CLAIMS) -> Iterator[None]:
        """What costs time and no cell, as a network's break does: it is told once, and the run goes on."""
        try:
            yield
        except Exception as error:  # each store has errors of its own
            if not self._has_warned:
                self._has_warned = True
                problem = first_line(error) or type(error).__name__
                warn(cost.format(url=self.url, problem=problem))

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each store has errors of its own
            raise ScoringError(
                f"finished, and cannot be stored in {self.url} ({first_line(error)}); the next run stores it"
            ) from error

    def _synced(self, folder: Path) -> set[str]:
        try:
            return set((folder / _SYNCED).read_text(encoding="utf-8").split())
        except FileNotFoundError:
            return set()

    def _write_synced(self, folder: Path, synced: set[str], names: set[str]) -> None:
        if names != synced:
            with atomic_write(folder / _SYNCED) as temporary:
                temporary.write_text("\n".join(sorted(names)), encoding="utf-8")


def _is_of_cell(name: str) -> bool:
    return name.endswith((".json", ".parquet")) and not name.startswith(".")


def _json_last(name: str) -> tuple[bool, str]:
    return name.endswith(".json"), name
