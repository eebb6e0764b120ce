"""Files of an RWKV-7 model: its weights, what lies beside them, and its tokenizer."""

from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.models.catalog import CatalogEntry
from evalkit.models.rwkv7.tokenizer import (
    WORLD_VOCAB_SIZE,
    RWKVTokenizer,
    check_is_world,
    is_built_in,
    tokenizer_for,
    tokenizer_of_files,
)

if TYPE_CHECKING:
    from evalkit.models.hf.files import CheckpointFolder

READ_BESIDE_WEIGHTS = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def tokenizer_of(entry: CatalogEntry, path: Path, vocab_size: int) -> RWKVTokenizer:
    """The catalog's tokenizer, that of the vocabulary's size, or the one beside the weights."""
    if entry.tokenizer:
        folder = tokenizer_place(entry.tokenizer, entry.name).folder
        return tokenizer_of_files(folder, vocab_size, entry.name)
    beside = [file for file in read_beside(path) if file.name == "tokenizer.json" and file.is_file()]
    if beside and not is_built_in(vocab_size):
        return tokenizer_of_files(beside[0].parent, vocab_size, entry.name)
    if beside and vocab_size == WORLD_VOCAB_SIZE:
        check_is_world(beside[0], entry.name)
    return tokenizer_for(vocab_size, str(path) if entry.local_path else entry.name)


def tokenizer_place(target: str, name: str) -> "CheckpointFolder":
    """The folder with a ``tokenizer.json`` that the catalog names, by path or repository.

    Raises:
        ModelError: it cannot be read.
    """
    from evalkit.models.hf.files import CheckpointFolder, small_files

    path = Path(target)
    folder = path.parent if path.is_absolute() and path.name == "tokenizer.json" else target
    return CheckpointFolder(*small_files(str(folder), "main", name))


def read_beside(path: Path) -> list[Path]:
    """Files of the Hugging Face layout that say how its weights are meant; an official ``.pth`` has none."""
    folder = path if path.is_dir() else path.parent
    return [] if path.suffix == ".pth" else [folder / name for name in READ_BESIDE_WEIGHTS]


def path_of(entry: CatalogEntry) -> Path | None:
    """A model's file or folder on this machine; None: it is to be downloaded."""
    path = entry.local_path
    return path / entry.file if path and entry.file else path
