"""Which files of a checkpoint transformers opens, with their digests.

| files | where they count |
|---|---|
| the weights that it would take | `weights_sha256` |
| `TOKENIZER_FILES` | `tokenizer_sha256` |
| an adapter's weights, ``*.py`` where it may run, every other ``*.json``, ``*.model``… | `config_sha256` |

What trainers write for themselves (`_OF_TRAINERS`, ``optimizer.pt``), texts for people and weights in other
formats are not opened.
"""

import importlib.metadata
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import transformers
from transformers.utils import is_peft_available

from evalkit.errors import ModelError
from evalkit.extras import pip_install
from evalkit.files import parse_json
from evalkit.models.hub import HubSnapshot, cached_files, download, hub_files
from evalkit.models.model_files import ModelFile, combined_sha256, local_file, stated_file

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tekken.json",
)
_OPENED_SUFFIXES = (".json", ".model")
"""Of these the hub's files are all fetched before anything is planned."""
_OPENED_LOCAL_SUFFIXES = (*_OPENED_SUFFIXES, ".tiktoken", ".jinja")
_OF_TRAINERS = ("trainer_state.json", "all_results.json", "train_results.json", "eval_results.json")
_FOR_PEOPLE = ("card.json",)
"""The embedded models' cards, which say what the models have scored: were they part of a model's identity,
writing them would make it another one than the one that was scored."""
ADAPTER_CONFIG = "adapter_config.json"
_ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


class CheckpointFolder(NamedTuple):
    """Where a checkpoint's files are, as far as they are on this machine."""

    folder: Path
    snapshot: HubSnapshot | None
    """The repository's files; None for a local folder."""

    def names(self) -> list[str]:
        """Paths of all files, inside the folder."""
        if self.snapshot:
            return sorted(self.snapshot.files)
        paths = [*self.folder.iterdir(), *self.folder.glob("*/**/*.py")]
        return sorted(path.relative_to(self.folder).as_posix() for path in paths if path.is_file())

    def file(self, name: str) -> ModelFile:
        """A file and its digest."""
        if self.snapshot:
            return stated_file(name, self.snapshot.files[name], self.folder)
        return local_file(self.folder / name, name)

    def other_files(self, *, trust_remote_code: bool) -> list[ModelFile]:
        """All that is opened beside weights and tokenizer."""
        names = self.names()
        suffixes = _OPENED_SUFFIXES if self.snapshot else _OPENED_LOCAL_SUFFIXES
        opened = [name for name in names if "/" not in name and name.endswith(suffixes)]
        opened += adapter_weights(names)
        if trust_remote_code:
            opened += [name for name in names if name.endswith(".py")]
        excluded = {*TOKENIZER_FILES, *_OF_TRAINERS, *_FOR_PEOPLE}
        files = [self.file(name) for name in opened if name not in excluded]
        return files + (list(_code_of_other_repositories(self.folder)) if trust_remote_code else [])

    def files_of_tokenizer_code(self) -> list[ModelFile]:
        """`other_files` of a folder that another checkpoint's tokenizer is in."""
        files = self.other_files(trust_remote_code=True)
        return [file._replace(name=f"tokenizer/{file.name}") for file in files]

    def tokenizer_sha256(self) -> str:
        """Digest of the contents of `TOKENIZER_FILES`, as far as they are there."""
        paths = [self.folder / name for name in TOKENIZER_FILES]
        return combined_sha256(local_file(path) for path in paths if path.is_file())

    def tokenizer_files(self) -> list[ModelFile]:
        """The same files, with the digests that the hub states where they are from there."""
        return [self.file(name) for name in TOKENIZER_FILES if name in self.names()]


def small_files(target: str, revision: str, name: str) -> tuple[Path, HubSnapshot | None]:
    """The folder with a checkpoint's configuration, tokenizer and code, downloaded where it is the hub's.

    Raises:
        ModelError: there is no such folder or repository, or the hub cannot be reached.
    """
    folder = Path(target)
    if folder.is_absolute():
        if not folder.is_dir():
            advice = f"score it as gguf:{folder}" if folder.suffix == ".gguf" else "give that of config.json"
            raise ModelError(f"{name}: {folder} is not a folder; {advice}")
        return folder, None
    snapshot = hub_files(target, revision)
    return download(target, snapshot.commit, ["*.json", "*.txt", "*.model", "*.py"]), snapshot


def adapter_weights(names: Collection[str]) -> list[str]:
    """The weights of the PEFT adapter that lies beside a model's own, and is applied to them."""
    if ADAPTER_CONFIG not in names:
        return []
    return [name for name in _ADAPTER_WEIGHTS if name in names][:1]


def check_peft(name: str) -> None:
    """Refuse an adapter that nothing would apply.

    Raises:
        ModelError: peft is not installed.
    """
    if not is_peft_available():
        raise ModelError(f"{name}: peft, which applies adapters, is not installed; {pip_install('peft')}")


def check_adapter(names: Collection[str], name: str) -> None:
    """Refuse an adapter beside the weights that transformers would pass over without a word.

    Raises:
        ModelError: an adapter is there, and the library that applies it is not.
    """
    if ADAPTER_CONFIG in names and not is_peft_available():
        raise ModelError(
            f"{name}: a PEFT adapter ({ADAPTER_CONFIG}) lies beside the weights, and peft, which applies it, "
            f"is not installed; {pip_install('peft')}, or move the adapter away to score the bare model"
        )


def refuse_bare_adapter(folder: Path, name: str) -> None:
    """Say of a folder with an adapter and no model what to do with it.

    Raises:
        ModelError: it is one.
    """
    path = folder / ADAPTER_CONFIG
    if not path.is_file():
        return
    try:
        base = _read_json(path)["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError):
        base = None
    raise ModelError(
        f"{name}: {folder} is a PEFT adapter without its model, {base or 'which its config does not name'}; "
        f"name both: hf:{base or 'MODEL'}+{folder.name}"
    )


def stated_weights(config: "transformers.PreTrainedConfig", folder: Path, name: str) -> list[str] | None:
    """The weight files that the config names (``transformers_weights``); None where it names none.

    Raises:
        ModelError: it names an index that cannot be read.
    """
    file = getattr(config, "transformers_weights", None)
    if file is None:
        return None
    if not str(file).endswith(".index.json"):
        return [str(file)]
    try:
        return sorted(set(_read_json(folder / file)["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{name}: config.json names the weights {file}, which is no index of weight files"
        ) from error


def check_shards(folder: Path, names: Collection[str], name: str) -> None:
    """Refuse weights in several files of which some are missing, before the others are read or fetched.

    Raises:
        ModelError: one is missing, or the list of them is.
    """
    shard = re.fullmatch(r"(.+)-\d+-of-\d+(\.\w+)", min(names))
    if shard is None:
        return
    index = folder / f"{shard[1]}{shard[2]}.index.json"
    try:
        needed = set(parse_json(index.read_text(encoding="utf-8"))["weight_map"].values())
    except FileNotFoundError:
        raise ModelError(
            f"{name}: {folder} has weights in several files and no {index.name}, which says what is where; "
            "fetch it from where they come from"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{name}: {index} is no index of weight files; fetch it again") from error
    if missing := sorted(needed.difference(names)):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(
            f"{name}: {folder} lacks {missing[0]}{more} of {len(needed)} weight files; fetch what is missing"
        )


def numerics(*, has_adapter: bool) -> str:
    """The generation of the libraries that compute a model, or a model and its adapter."""
    libraries = ["transformers", *(["peft"] if has_adapter else [])]
    versions = (importlib.metadata.version(library).split(".") for library in libraries)
    return ", ".join(
        f"{library} {'.'.join(version[:2])}" for library, version in zip(libraries, versions, strict=True)
    )


def _code_of_other_repositories(folder: Path) -> Iterator[ModelFile]:
    """The code that ``auto_map`` takes from elsewhere (``owner/name--module.Class``), as the cache has it."""
    repositories = set()
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            auto_map = _read_json(folder / name).get("auto_map") or {}
            for value in auto_map.values():
                for reference in value if isinstance(value, list) else [value]:
                    if isinstance(reference, str) and "--" in reference:
                        repositories.add(reference.partition("--")[0])
    for repository in sorted(repositories):
        snapshot = cached_files(repository)
        if snapshot is not None:
            for name, digest in snapshot.files.items():
                if name.endswith(".py"):
                    file = stated_file(name, digest, snapshot.local_folder)
                    yield file._replace(name=f"{repository}--{name}")


def _read_json(path: Path) -> Any:
    return parse_json(path.read_text(encoding="utf-8"))
