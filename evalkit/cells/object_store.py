"""Folders of object stores (``s3://…``, ``hf://…``) that are read: a copy of their cells on this machine.

One listing says what is there. Of that the copy gets what it lacks, or has of another version, and loses what
is gone; files that can be no part of a cell are not fetched.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from evalkit.errors import EvalkitError, UsageError, first_line
from evalkit.extras import pip_install
from evalkit.files import atomic_write, cache_dir, locked, parse_json, strict_json, temporary_folder

_COPY_INDEX = ".evalkit.copied"
"""The file in a copy with the version of each of its files."""
_NUM_FILES_AT_ONCE = 1024
"""Fetched before the copy's index is written anew: what is lost when it is interrupted."""
_VERSION_FIELDS = (
    "ETag",
    "etag",
    "blob_id",
    "sha256",
    "md5",
    "generation",
    "LastModified",
    "mtime",
    "created",
)
"""What stores say of a file, in whichever name, that tells one content from another; the first counts."""


def is_url(place: str | os.PathLike[str]) -> bool:
    """Whether an address is one of an object store, as fsspec has it."""
    return "://" in os.fspath(place)


def check_is_local(path: Path, option: str) -> None:
    """Refuse the address of an object store where only a folder or file of this machine will do.

    Raises:
        UsageError: it is one: pathlib has made one slash of two.
    """
    if re.match(r"[a-z][a-z0-9+.-]+:/", path.as_posix()) and not path.exists():
        raise UsageError(
            f"{option} {path} is no place of this machine; of commands that write only `evalkit run` and "
            "`evalkit compare` write to a store: write here, and copy it there"
        )


class OpenStore(NamedTuple):
    """A folder of an object store."""

    files: Any
    """The store's file system, as fsspec has it."""
    root: str
    """The folder, without the protocol and a slash at its end."""

    def find(self) -> dict[str, Mapping[str, Any]]:
        """All files below it, by path relative to it, with what the store says of each; one listing."""
        self.files.invalidate_cache()  # the hub's client keeps listings whatever it is told
        try:
            listing: dict[str, Mapping[str, Any]] = self.files.find(self.root, detail=True)
        except FileNotFoundError:  # nothing is there yet
            return {}
        return {key.removeprefix(self.root).lstrip("/"): facts for key, facts in listing.items()}


def open_store(url: str) -> OpenStore:
    """The folder of an address; nothing is asked for yet.

    Raises:
        UsageError: there is no package for its protocol.
    """
    import fsspec

    try:
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except (ImportError, ValueError) as error:
        raise UsageError(f"cannot open {url}: {first_line(error)}; for s3:// {pip_install('s3')}") from error
    return OpenStore(files, root.rstrip("/"))


@contextlib.contextmanager
def store_problems(url: str) -> Iterator[None]:
    """Say in one line that a store cannot be reached, whatever errors it has.

    Raises:
        UsageError: it cannot be.
    """
    try:
        yield
    except EvalkitError:
        raise
    except Exception as error:  # each store has errors of its own
        raise UsageError(
            f"cannot read or write {url} ({first_line(error) or type(error).__name__}); check the "
            "address and the credentials"
        ) from error


def copied_folder(url: str, *, tell: Callable[[str], None]) -> Path:
    """A folder of this machine with all cells that a folder of an object store has now.

    It is kept below ``$EVALKIT_CACHE``: next time only what is new is fetched.

    Args:
        url: the address, as fsspec has it.
        tell: gets a line where something is fetched.

    Raises:
        UsageError: the store cannot be read, or the copy not be written.
    """
    url = url.rstrip("/")
    copy = cache_dir() / "stores" / hashlib.sha256(url.encode()).hexdigest()[:16]
    with store_problems(url):
        store = open_store(url)
        listing = {name: facts for name, facts in store.find().items() if _is_safe(name)}
        versions = {name: _version(listing[name]) for name in listing if _is_of_cell(name, listing)}
        with locked(copy):
            missing = _without_changed(copy, versions)
            if missing:
                num_bytes = sum(listing[name].get("size") or 0 for name in missing)
                tell(f"{url}: fetching {len(missing)} files ({num_bytes / 1e6:.1f} MB)")
            _fetch(copy, store, missing, versions)
    return copy


def _is_safe(name: str) -> bool:
    """Whether a file may have this name in the copy: a store's names may lead out of a folder."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not any(part.startswith((".", "/")) or "\\" in part for part in parts)


def _is_of_cell(name: str, listing: Mapping[str, object]) -> bool:
    """Whether a file may be one of a cell's, or a corpus's manifest; of rows, whether they have a JSON."""
    if name.endswith(".parquet"):
        return f"{name.removesuffix('.parquet')}.json" in listing
    return name.endswith(".json")


def _version(facts: Mapping[str, Any]) -> str:
    """What tells a file from an earlier one of its name."""
    stated = next((facts[name] for name in _VERSION_FIELDS if facts.get(name) is not None), None)
    return f"{facts.get('size')} {stated}"


def _without_changed(copy: Path, versions: Mapping[str, str]) -> list[str]:
    """Remove from a copy what is gone or of another version; the names that it lacks then, rows first."""
    index = _read_index(copy)
    for name in index:
        if versions.get(name) != index[name]:
            (copy / name).unlink(missing_ok=True)
    missing = [name for name in versions if not (copy / name).is_file()]
    return sorted(missing, key=lambda name: (name.rpartition(".")[0], name.endswith(".json")))


def _fetch(copy: Path, store: OpenStore, missing: Sequence[str], versions: Mapping[str, str]) -> None:
    """Bring these files, each whole or not at all, and write down their versions."""
    index = {name: version for name, version in _read_index(copy).items() if (copy / name).is_file()}
    for start in range(0, len(missing), _NUM_FILES_AT_ONCE):
        names = missing[start : start + _NUM_FILES_AT_ONCE]
        with temporary_folder(copy) as folder:
            temporaries = [folder / str(number) for number in range(len(names))]
            store.files.get([f"{store.root}/{name}" for name in names], list(map(str, temporaries)))
            # Before the names, so that no file is there whose version is not known.
            index |= {name: versions[name] for name in names}
            _write_index(copy, index)
            for name, temporary in zip(names, temporaries, strict=True):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(copy / name)


def _read_index(copy: Path) -> dict[str, str]:
    """The versions of a copy's files by name; where they are not known, the copy is made anew."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        index = parse_json((copy / _COPY_INDEX).read_bytes())
        if isinstance(index, dict) and all(map(_is_safe, index)):
            return index
    for path in copy.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return {}


def _write_index(copy: Path, index: Mapping[str, str]) -> None:
    with atomic_write(copy / _COPY_INDEX) as temporary:
        temporary.write_text(strict_json(index), encoding="utf-8")
