"""Whether a checkpoint that a training may be writing at this moment is whole."""

import zipfile
from pathlib import Path
from typing import NamedTuple

from evalkit.files import FileStamp, file_stamp, parse_json
from evalkit.models.hub import revisions
from evalkit.models.targets import local_places, revision_of
from evalkit.models.weight_headers import safetensors_header

_ZIPPED = (".pth", ".pt", ".bin")
_OF_TRAINERS = ("optimizer.pt", "optimizer.bin", "scheduler.pt", "rng_state.pth")
_WRITTEN_LAST = "trainer_state.json"


class Look(NamedTuple):
    """What a checkpoint was when it was looked at: equal to the next look if nobody has written since."""

    stamps: tuple[tuple[str, FileStamp], ...]
    """Of its files here, by name."""
    commit: str | None
    """Of a branch or tag on the hub."""


def look_at(spec: str) -> Look | None:
    """A checkpoint as it is now; None where its files show that some of it is missing.

    Two equal looks, with some seconds between them, say that it is finished.

    Args:
        spec: ``LOADER:TARGET``, without patterns; a name of the catalog is always whole.

    Raises:
        ModelError: it is a revision on the hub, which cannot be reached.
    """
    if revision := revision_of(spec):
        return Look((), revisions(revision.repo).get(revision.name))
    stamps: list[tuple[str, FileStamp]] = []
    for place in local_places(spec):
        try:
            files = [place] if place.is_file() else sorted(path for path in place.iterdir() if path.is_file())
            stamps += [(str(file), file_stamp(file)) for file in files]
            if not _is_whole(place, files):
                return None
        except (OSError, ValueError):  # it is being written, moved or removed
            return None
    return Look(tuple(stamps), None)


def _is_whole(place: Path, files: list[Path]) -> bool:
    weights = [file for file in files if file.suffix in (".safetensors", ".gguf", *_ZIPPED)]
    names = {file.name for file in files}
    if place.is_dir():
        if not {"config.json", "adapter_config.json"} & names and ".pth" not in {w.suffix for w in weights}:
            return False
        # The Trainer writes this behind everything else that it goes on from.
        if names.intersection(_OF_TRAINERS) and _WRITTEN_LAST not in names:
            return False
        for file in files:
            if file.suffix == ".json" and not isinstance(content := _json(file), list | dict):
                return False
            if file.name.endswith(".index.json") and isinstance(content, dict):
                weight_map = content.get("weight_map")
                if not isinstance(weight_map, dict) or not names.issuperset(map(str, weight_map.values())):
                    return False
    return bool(weights) and all(map(_is_whole_file, weights))


def _json(file: Path) -> object:
    content: object = parse_json(file.read_text(encoding="utf-8"))
    return content


def _is_whole_file(file: Path) -> bool:
    """Whether a file of weights has all bytes that it speaks of; of other formats only time tells."""
    if file.suffix == ".safetensors":
        return file.stat().st_size == safetensors_header(file).num_file_bytes
    if file.suffix in _ZIPPED:
        with file.open("rb") as opened:
            begins_as_zip = opened.read(2) == b"PK"
        return zipfile.is_zipfile(file) if begins_as_zip else file.stat().st_size > 0
    return file.stat().st_size > 0
