"""Which models were identified before: a plan is made without the libraries that read them.

Importing torch and transformers takes seconds of CPU, and reading a tokenizer as much. What a loader says of
a model depends on its catalog entry, on the options, on files and on software. As long as all of these are
what they were, by the stamps of the files, its answer is the same. Loading a model identifies it anew,
whatever is remembered.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.errors import ModelError
from evalkit.files import FileStamp, atomic_write, cache_dir, file_stamp, is_settled, parse_json
from evalkit.models.catalog import CatalogEntry
from evalkit.models.hub import hub_files
from evalkit.models.model_files import ModelFile
from evalkit.models.prefixes import Prefix
from evalkit.models.protocol import LoadOptions, ModelIdentity
from evalkit.models.weight_headers import WEIGHT_SUFFIXES
from evalkit.version import __version__

Facts = Mapping[str, str | int]

_LOADERS = ("rwkv7", "hf", "hub", "gguf")
"""Those that need torch to tell; what a compressor or a server says of itself is asked every time."""
_LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "peft",
    "gguf",
    "pyrwkv-tokenizer",
    # Transformers reads a tokenizer with those of them that there are, and otherwise without.
    "sentencepiece",
    "tiktoken",
    "protobuf",
)
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg", "/dev/nvmap")
"""Of these torch needs one for a GPU on Linux: of NVIDIA, AMD, Windows below, Jetson."""


class Remembered(NamedTuple):
    """What was said of a model."""

    identity: ModelIdentity
    facts: Facts
    """What the headers of its weights say."""


def origin_of(entry: CatalogEntry, options: LoadOptions) -> str | None:
    """A digest of all that a model's identity comes of; None where that is more than can be looked at.

    Raises:
        ModelError: there are no such files, or the hub cannot be reached.
    """
    if entry.loader not in _LOADERS or entry.adapter:
        return None
    if options.trust_remote_code or entry.trust_remote_code:  # then the code of other repositories counts
        return None
    places = _state_of_places(entry)
    return _digest([_software(), dataclasses.asdict(entry), options, _device_kind(options), places])


def recall(entry: CatalogEntry, options: LoadOptions, origin: str) -> Remembered | None:
    """What was said of a model the last time; None where something is not what it was.

    Args:
        entry: of the model.
        options: of the loading.
        origin: from `origin_of`.
    """
    try:
        of_origin, fields, facts = parse_json(_memory(entry, options).read_text(encoding="utf-8"))
        if of_origin != origin:
            return None
        remembered = Remembered(_identity(fields), facts)
        stamps = [file for file in remembered.identity.files if file.path is not None]
        is_same = all(file_stamp(file.path) == file.stamp for file in stamps if file.path is not None)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # none yet, or damaged
        return None
    return remembered if is_same else None


def remember(entry: CatalogEntry, options: LoadOptions, origin: str, remembered: Remembered) -> None:
    """Remember what was said of a model.

    Args:
        entry: of the model.
        options: of the loading.
        origin: from `origin_of`, before it was asked for.
        remembered: what was said.
    """
    stamps = [file.stamp for file in remembered.identity.files if file.stamp is not None]
    if not all(map(is_settled, stamps)):
        return
    if origin_of(entry, options) != origin:
        return
    identity = {
        field.name: getattr(remembered.identity, field.name) for field in dataclasses.fields(ModelIdentity)
    }
    identity["files"] = [
        (name, digest, None if path is None else os.fspath(path), stamp)
        for name, digest, path, stamp in remembered.identity.files
    ]
    content = json.dumps([origin, identity, remembered.facts], default=dict)
    try:
        with atomic_write(_memory(entry, options), survives_crash=False) as temporary:
            temporary.write_text(content, encoding="utf-8")
    except OSError:  # else it is asked again next time
        return


def _identity(fields: dict[str, Any]) -> ModelIdentity:
    """The identity that a file says; what is wrong with it raises one of the errors that `recall` takes."""
    fields["files"] = tuple(
        ModelFile(
            name, digest, None if path is None else Path(path), None if stamp is None else FileStamp(*stamp)
        )
        for name, digest, path, stamp in fields["files"]
    )
    fields["policy_prefixes"] = {name: _prefix(of) for name, of in fields["policy_prefixes"].items()}
    fields["prefix_candidates"] = {
        name: tuple(map(_prefix, of)) for name, of in fields["prefix_candidates"].items()
    }
    fields["token_names"] = {int(token): text for token, text in fields["token_names"].items()}
    return ModelIdentity(**fields)


def _prefix(content: tuple[str, list[int], list[int]]) -> Prefix:
    rule, ids, chunk_ids = content
    return Prefix(rule, tuple(ids), tuple(chunk_ids))


def _memory(entry: CatalogEntry, options: LoadOptions) -> Path:
    name = _digest([dataclasses.asdict(entry), options, os.environ.get("HF_ENDPOINT")])
    return cache_dir() / "identities" / f"{name}.json"


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _state_of_places(entry: CatalogEntry) -> list[object]:
    """What can be seen of a model's files without reading them."""
    if entry.loader == "gguf":
        from evalkit.models.gguf.files import locate_file

        return [(file.name, file.digest) for file in locate_file(entry).model_files]
    tokenizer = [] if entry.tokenizer is None else [_state_of_place(Path(entry.tokenizer), "main")]
    return [*tokenizer, _state_of_place(Path(entry.target, entry.file or ""), entry.revision)]


def _state_of_place(path: Path, revision: str) -> object:
    """Of a file or folder on this machine where the path is absolute, else of a repository's (file)."""
    if path.is_absolute():
        return [str(path), list(_listing(path))]
    snapshot = hub_files("/".join(path.parts[:2]), revision)
    folder = snapshot.local_folder
    files = dict(sorted(snapshot.files.items()))
    return [snapshot.commit, files, [name for name in files if folder and (folder / name).exists()]]


def _listing(path: Path) -> Iterator[tuple[str, FileStamp | None]]:
    """The files of a folder, also those that are not read: one more may be. No weights beside a file."""
    folder = path if path.is_dir() else path.parent
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208  a folder may hold hundreds of checkpoints
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror}") from error
    if folder != path:
        names = [name for name in names if name == path.name or not name.endswith(WEIGHT_SUFFIXES)]
    for name in names:
        try:
            yield name, file_stamp(folder / name)
        except OSError:  # a link to nothing
            yield name, None


def _device_kind(options: LoadOptions) -> str:
    """What ``auto`` stands for."""
    if options.device != "auto":
        return options.device
    if sys.platform == "linux" and not any(map(os.path.exists, _GPU_DEVICES)):
        return "cpu"
    from evalkit.models.devices import resolve_device

    return resolve_device("auto").type


@functools.cache
def _software() -> str:
    """A digest of the libraries' versions and of our own, and of our own source as it stands."""
    stamps = [
        (path.name, status.st_size, status.st_mtime_ns)
        for path in sorted(_sources())
        for status in [path.stat()]
    ]
    return _digest([__version__, [_version(library) for library in _LIBRARIES], stamps])


def _sources() -> Iterator[Path]:
    yield from Path(__file__).parent.rglob("*.py")
    kernels = importlib.util.find_spec("evalkit_kernels")
    places: Iterable[str] = (kernels and kernels.submodule_search_locations) or ()
    for place in places:
        yield from Path(place).rglob("*.py")


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None
