"""Which models have names, and what a name or a ``LOADER:TARGET`` stands for.

The catalog is `models.toml` beside this file and the compressors of `evalkit.models.codecs`, plus the tables
``[models.NAME]`` of a user's ``evalkit.toml``, which add models. That file is read wherever evalkit is
started, so nothing in it is enough to run code or to let a built-in name mean something else. Everything here
is decided before anything is downloaded or loaded.
"""

import dataclasses
import datetime
import functools
import importlib.resources
import os
import tomllib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.dates import last_day
from evalkit.errors import ModelError, UsageError, did_you_mean, unknown_name
from evalkit.files import parse_toml, plain_file_text
from evalkit.models.codecs import CODECS
from evalkit.models.installed_architectures import architecture_problem
from evalkit.models.misspelled import advice, hub_repository
from evalkit.models.openai.address import parse_address
from evalkit.models.prefixes import parse_rule
from evalkit.models.targets import GGUF_LOADERS, find_path, is_repository, is_there, locate, split_adapter
from evalkit.near_paths import near_paths
from evalkit.plugins import entry_points

CONFIG_NAME = "evalkit.toml"
BUILTIN_LOADERS = ("rwkv7", "hf", "gguf", "llamacpp", "hub", "openai", "codec")
EMBEDDED_MODELS = ("rwkv7-nano", "hybrid-nano", "llama-nano")
"""The language models in the package: small, and there without a network."""
DUEL_MODELS = ("rwkv7-nano", "llama-nano")
"""Those of them that a command takes where nobody names models: a minute's work of two cores."""
LOADER_GROUP = "evalkit.loaders"
"""Entry-point group under which other packages register loaders."""

_HOW_TO_NAME_MODELS = (
    "`evalkit models list` shows the names; any other model: rwkv7:PATH_OR_REPO, hf:PATH_OR_REPO "
    "or gguf:PATH_OR_REPO."
)


@dataclasses.dataclass(frozen=True)
class CatalogEntry:
    """What is known of a model before it is loaded."""

    name: str
    """The catalog name, or the spec as it was given."""
    loader: str
    """``rwkv7``, ``hf``, ``gguf``, ``llamacpp``, ``hub``, ``openai``, ``codec`` or a registered loader."""
    target: str
    """Hub repository ``owner/name``, absolute local path, installed package that brings a GGUF file, address
    of a server, codec name, or what a registered loader wants."""
    file: str | None = None
    """The file inside a repository or folder that holds several checkpoints."""
    revision: str = "main"
    """Commit or branch of a hub repository; without meaning for paths and codecs."""
    num_parameters: int | None = None
    """All weights of the checkpoint, tied ones once."""
    released: str | None = None
    """When the weights were published: ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
    knowledge_cutoff: str | None = None
    """The same for the end of the training data; only where the maker published it."""
    cutoff_source: str | None = None
    """Where the maker published it."""
    prefix: str | None = None
    """What is read before a document, see `evalkit.models.prefixes.parse_rule`; None: the loader's rule."""
    context_limit: int | None = None
    """Most tokens of one context; None: what the model's config says."""
    license: str | None = None
    """SPDX identifier, or the maker's name for the licence."""
    tokenizer: str | None = None
    """Repository or absolute path of another tokenizer than the model's own."""
    adapter: str | None = None
    """A PEFT adapter for the weights: absolute path of its folder, or ``owner/name`` or
    ``owner/name@REVISION``."""
    trust_remote_code: bool = False
    """Whether the model only runs with the repository's own Python; it is `LoadOptions` that lets it."""
    ignore_tensors: str | None = None
    """Patterns of names, by blanks, of tensors in the files that the model has no use for."""
    source: str | None = None
    """URL of the model card."""
    evidence: str | None = None
    """Where the entry's facts were read, if not in a copy of the model card: addresses, by blanks."""
    unconfirmed: str | None = None
    """Names of keys, by blanks, whose value (or lack of one) no copy of a source confirms."""
    model_type: str | None = None
    """What the config of a model for transformers calls its architecture."""
    origin: str | None = None
    """Name of the model that this one was quantised from."""
    uncheatable_bos: bool = False
    """Whether Uncheatable Eval put a BOS before every chunk (``add_bos=True`` in its ``eval_multi.py``)."""

    @property
    def local_path(self) -> Path | None:
        """The checkpoint's file or folder on this machine; None for a hub repository or a codec."""
        path = Path(self.target)
        return path if path.is_absolute() else None

    @property
    def adapter_path(self) -> Path | None:
        """The adapter's folder on this machine; None for a hub repository, or where there is no adapter."""
        path = Path(self.adapter or "")
        return path if path.is_absolute() else None


MIN_CONTEXT_LIMIT = 4
"""The least in which a window can slide behind a document start, see `evalkit.scoring.policy`."""

_COUNTS = ("num_parameters", "context_limit")
_DATES = ("released", "knowledge_cutoff")
_TYPES: dict[str, type] = {
    **{field.name: str for field in dataclasses.fields(CatalogEntry) if field.name != "name"},
    **dict.fromkeys(_COUNTS, int),
    **dict.fromkeys(("trust_remote_code", "uncheatable_bos"), bool),
}
_WITHOUT_MEANING = {
    "rwkv7": ("adapter", "trust_remote_code", "ignore_tensors", "uncheatable_bos", "model_type"),
    "hf": ("file",),
    "gguf": ("adapter", "tokenizer", "trust_remote_code", "ignore_tensors", "model_type"),
    "llamacpp": ("adapter", "tokenizer", "trust_remote_code", "ignore_tensors", "model_type"),
    "openai": ("file", "revision", "adapter", "trust_remote_code", "ignore_tensors", "model_type"),
    "codec": (
        "file",
        "revision",
        "prefix",
        "context_limit",
        "adapter",
        "tokenizer",
        "trust_remote_code",
        "ignore_tensors",
        "uncheatable_bos",
        "model_type",
    ),
}
"""Keys that a built-in loader would not look at: better refused than passed over."""
_KINDS = {str: "text", int: "a whole number", bool: "true or false"}


def known_loaders() -> list[str]:
    """The loaders of evalkit and those that installed packages register."""
    return [*BUILTIN_LOADERS, *sorted(point.name for point in entry_points(LOADER_GROUP))]


def load_catalog(config_path: Path | None = None) -> dict[str, CatalogEntry]:
    """The built-in models and the user's own.

    Args:
        config_path: the user's TOML file; by default ``$EVALKIT_CONFIG``, else ``evalkit.toml`` in the
            working folder if there is one. Relative paths in it are relative to it.

    Raises:
        UsageError: the file is missing or no plain file, not TOML, says something that is not understood, or
            gives a built-in model's name to another.
    """
    catalog = dict(_builtin_entries())
    if config_path is None and os.environ.get("EVALKIT_CONFIG"):
        config_path = Path(os.path.expanduser(os.environ["EVALKIT_CONFIG"]))  # noqa: PTH111  of any user
    if config_path is None and Path(CONFIG_NAME).exists():
        config_path = Path(CONFIG_NAME)
    if config_path is None:
        return catalog
    try:
        content = parse_toml(plain_file_text(config_path))
    except OSError as error:
        raise UsageError(f"cannot read {config_path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{config_path} is not TOML: {error}") from error
    named = _entries(content, str(config_path), config_path.absolute().parent)
    for name in named:
        builtin_name = _same_name(name, catalog)
        if builtin_name is not None:
            raise UsageError(
                f"{config_path}, model {name!r}: {builtin_name} is a model of evalkit's, named in "
                "results; give yours another name"
            )
    return catalog | named


@functools.cache
def _builtin_entries() -> Mapping[str, CatalogEntry]:
    """Those of the package and the compressors; a command asks for them several times."""
    builtin = importlib.resources.files("evalkit.models").joinpath("models.toml").read_text(encoding="utf-8")
    models = _entries(tomllib.loads(builtin), "models.toml", Path(__file__).parents[1])
    return models | {name: _codec_entry(name) for name in CODECS}


def _same_name(name: str, catalog: Mapping[str, CatalogEntry]) -> str | None:
    """The model whose name people would take this one for: in capitals, say, or in full-width letters."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return next((builtin for builtin in catalog if builtin.casefold() == folded), None)


def resolve_spec(spec: str, catalog: Mapping[str, CatalogEntry]) -> CatalogEntry:
    """The model that a command-line argument names.

    Args:
        spec: a catalog name; ``rwkv7:`` or ``hf:`` with a path or a repository (``owner/name``,
            optionally ``@REVISION``; for rwkv7 also ``owner/name/file.pth``; for hf also ``MODEL+ADAPTER``);
            ``hub:`` with a repository of any of these; ``gguf:`` or ``llamacpp:`` with a file, a folder or
            repository and ``:FILE``, or an installed package that brings a file; ``openai:`` with a server's
            address; or ``LOADER:TARGET`` for a registered loader.
        catalog: the named models, see `load_catalog`.

    Raises:
        UsageError: the spec names nothing that is known or can be understood.
        ModelError: it names a local path where nothing is, or an architecture that transformers lacks.
    """
    if spec in catalog:
        return _existing(catalog[spec])
    loader, colon, target = spec.partition(":")
    if not colon or loader in ("http", "https"):
        raise unknown_name("model", spec, catalog, advice(spec) or _HOW_TO_NAME_MODELS)
    if loader not in BUILTIN_LOADERS and loader not in known_loaders():  # which reads all distributions
        raise _unknown_loader(loader)
    if not target:
        raise UsageError(f"{spec!r} names no model: say {loader}:TARGET")
    if loader == "codec":
        if target not in CODECS:
            raise _unknown_codec(target)
        named = (entry for entry in catalog.values() if (entry.loader, entry.target) == ("codec", target))
        return next(named, _codec_entry(target))
    if loader not in BUILTIN_LOADERS:
        return CatalogEntry(name=spec, loader=loader, target=target)
    if loader == "openai":
        return CatalogEntry(spec, loader, target, tokenizer=_served_tokenizer(target, None, Path.cwd(), spec))
    revision = adapter = None
    if loader == "hf":
        target, adapter = split_adapter(target, Path.cwd())
    if find_path(target, Path.cwd()) is None:
        target, at, revision = target.partition("@")
        if at and not revision:
            raise UsageError(f"{spec!r} names no revision after the @")
        if at and loader in GGUF_LOADERS:
            revision, colon, file_name = revision.partition(":")
            target += colon + file_name
    located = locate(loader, target, Path.cwd())
    if located is None:
        more = ", nor a package's name" if loader in GGUF_LOADERS else ""
        repository = hub_repository(target)
        more += f"; the repository of that address is written {loader}:{repository}" if repository else ""
        raise UsageError(
            f"{spec!r}: {target!r} is neither a file or folder here nor a hub repository (owner/name){more}"
        )
    place, file = located
    if adapter is not None:
        adapter = _adapter_place(adapter, Path.cwd(), repr(spec))
    return _existing(
        CatalogEntry(spec, loader, place, file=file, revision=revision or "main", adapter=adapter)
    )


def _served_tokenizer(target: str, stated: str | None, folder: Path, origin: str) -> str | None:
    """Where the tokenizer of a server's model is, as its address or the catalog says; None: neither does."""
    tokenizer = parse_address(target, origin).tokenizer
    if tokenizer and stated:
        raise UsageError(f"{origin}: the address has a tokenizer already; leave one of the two out")
    place = tokenizer or stated
    return str(find_path(place, folder) or place) if place else None


def _adapter_place(adapter: str, folder: Path, origin: str) -> str:
    path = find_path(adapter, folder)
    if path is None and not is_repository(adapter.partition("@")[0]):
        raise UsageError(
            f"{origin}: the adapter {adapter!r} is neither a folder here nor a hub repository (owner/name)"
        )
    return str(path or adapter)


def _existing(entry: CatalogEntry) -> CatalogEntry:
    if entry.loader not in BUILTIN_LOADERS:
        return entry
    if (problem := architecture_problem(entry.model_type)) and not entry.trust_remote_code:
        raise ModelError(f"model {entry.name}: {problem}")
    path = entry.local_path
    if path and entry.file:
        path = path / entry.file
    for place in (path, entry.adapter_path):
        if place and not is_there(place):
            near = did_you_mean(near_paths(str(place)))
            raise ModelError(f"model {entry.name}: there is no file or folder {place}{near and f'.{near}'}")
        if place and not (place.is_file() or place.is_dir()):
            raise ModelError(
                f"model {entry.name}: {place} is a pipe or a device; write what it gives to a file"
            )
    return entry


def _entries(content: Mapping[str, object], origin: str, folder: Path) -> dict[str, CatalogEntry]:
    for key in content:
        if key != "models":
            raise unknown_name("table", key, ["models"], f"{origin} may only hold tables [models.NAME].")
    models = content.get("models", {})
    if not isinstance(models, dict):
        raise UsageError(f"{origin}: models must be tables [models.NAME]")
    for name in models:
        if not name or name != name.strip() or {":", ","}.intersection(name) or not name.isprintable():
            raise UsageError(
                f"{origin}, model {name!r}: a name must not be empty, begin or end with a space, or hold a "
                "colon (LOADER:TARGET has one), a comma (--models takes names by commas) or a line break"
            )
    return {name: _entry(name, table, f"{origin}, model {name}", folder) for name, table in models.items()}


def _entry(name: str, table: object, origin: str, folder: Path) -> CatalogEntry:
    if not isinstance(table, dict):
        raise UsageError(f"{origin}: must be a table [models.NAME]")
    values: dict[str, Any] = {}  # by the names of `CatalogEntry`'s fields, whose types `_value` checks
    for key, value in table.items():
        if key not in _TYPES:
            hint = f"Known: {', '.join(_TYPES)}."
            if isinstance(value, dict):
                hint = f'A name with a dot needs quotes: [models."{name}.{key}"].'
            raise UsageError(f"{origin}: {unknown_name('key', key, _TYPES, hint)}")
        values[key] = _value(key, value, origin)
    for key in ("loader", "target"):
        if key not in values:
            raise UsageError(f"{origin}: {key} is missing")
    loader = values["loader"]
    if loader not in BUILTIN_LOADERS and loader not in known_loaders():  # which reads all distributions
        raise UsageError(f"{origin}: {_unknown_loader(loader)}")
    if loader == "codec" and values["target"] not in CODECS:
        raise UsageError(f"{origin}: {_unknown_codec(values['target'])}")
    for key in _WITHOUT_MEANING.get(loader, ()):
        if key in values:
            raise UsageError(f"{origin}: {key} means nothing to the loader {loader}; leave it out")
    if loader in ("rwkv7", "hf", "hub", *GGUF_LOADERS):
        located = locate(loader, values["target"], folder)
        if located is None:
            raise UsageError(
                f"{origin}: target must be a path or a hub repository (owner/name), not {values['target']!r}"
            )
        values["target"], file = located
        if file:
            values["file"] = file
    if "adapter" in values:
        values["adapter"] = _adapter_place(values["adapter"], folder, origin)
    if loader == "openai":
        values["tokenizer"] = _served_tokenizer(values["target"], values.get("tokenizer"), folder, origin)
    elif "tokenizer" in values:
        values["tokenizer"] = str(find_path(values["tokenizer"], folder) or values["tokenizer"])
    return CatalogEntry(name=name, **values)


def _value(key: str, value: object, origin: str) -> str | int | bool:
    """The value of a key of `CatalogEntry`, checked."""
    if isinstance(value, datetime.date) and key in _DATES:
        value = value.isoformat()[: len("YYYY-MM-DD")]
    kind = _TYPES[key]
    if type(value) is not kind or not isinstance(value, str | int):  # true is an int, and no count
        raise UsageError(f"{origin}: {key} must be {_KINDS[kind]}, not {value!r}")
    if value == "" or (key in _COUNTS and int(value) <= 0):
        raise UsageError(f"{origin}: {key} must not be {value!r}; leave it out if it is not known")
    if key == "context_limit" and int(value) < MIN_CONTEXT_LIMIT:
        raise UsageError(f"{origin}: context_limit {value} is too small; give {MIN_CONTEXT_LIMIT} or more")
    if key == "prefix":
        return parse_rule(str(value), f"{origin}: prefix")
    if key in _DATES and not _is_date(str(value)):
        raise UsageError(f"{origin}: {key} must be YYYY, YYYY-MM or YYYY-MM-DD, not {value!r}")
    return value


def _is_date(text: str) -> bool:
    try:
        last_day(text)
    except ValueError:
        return False
    return len(text) <= len("YYYY-MM-DD")  # not a moment


def _codec_entry(name: str) -> CatalogEntry:
    codec = CODECS[name]
    return CatalogEntry(
        name, "codec", name, released=codec.released, license=codec.license, source=codec.source
    )


def _unknown_codec(name: str) -> UsageError:
    return unknown_name("codec", name, CODECS, f"Known: {', '.join(CODECS)}.")


def _unknown_loader(loader: str) -> UsageError:
    return unknown_name("loader", loader, known_loaders(), f"Known: {', '.join(known_loaders())}.")
