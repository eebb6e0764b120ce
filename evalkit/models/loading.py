"""From a model's name to the model: the catalog says what a name means, a loader brings it.

A loader is a module (or any object) with two functions:

    identify(entry: CatalogEntry, options: LoadOptions) -> ModelIdentity   # cheap: loads no weights
    load(entry: CatalogEntry, options: LoadOptions) -> TokenModel | Codec

Those of `evalkit.models.catalog.BUILTIN_LOADERS` are built in. To add one, write such a module and register
it in your package's ``pyproject.toml``, under the entry-point group ``evalkit.loaders``::

    [project.entry-points."evalkit.loaders"]
    ngram = "my_package.ngram"

Then ``evalkit run --models ngram:TARGET`` finds it, with whatever TARGET means to it, and so does a table
``[models.NAME]`` with ``loader = "ngram"`` in ``evalkit.toml``. `identify` is called for every model before
any is loaded: what it returns is part of the key of every result, so it must change with whatever changes a
score (weights, tokenizer, configuration, precision). It is called once more when the model is loaded, and the
model bears an identity too: where one of them differs, the model's cells fail and nothing is filed under the
wrong key. What `load` returns has the members of `evalkit.models.protocol.TokenModel` or `Codec`. A model
that is needed once takes no loader: give the object itself to ``evalkit.run(models=[...])``.
"""

import contextlib
import dataclasses
import importlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from evalkit.errors import EvalkitError, ModelError, UsageError
from evalkit.extras import import_problem
from evalkit.models.catalog import (
    BUILTIN_LOADERS,
    LOADER_GROUP,
    CatalogEntry,
    load_catalog,
)
from evalkit.models.checkpoints import checkpoint_facts
from evalkit.models.device_maps import check_spreads
from evalkit.models.hub import safetensors_tensors
from evalkit.models.identity import check_same, check_untouched
from evalkit.models.model_files import ModelFile
from evalkit.models.name_patterns import find_entries, only_spec
from evalkit.models.openai.address import short_specs
from evalkit.models.prefixes import parse_rule
from evalkit.models.protocol import Codec, Encoding, LoadOptions, Model, ModelIdentity, TokenModel
from evalkit.models.remembered_identities import Remembered, origin_of, recall, remember
from evalkit.models.targets import GGUF_LOADERS, missing_folder, short_names
from evalkit.models.weight_headers import WEIGHT_SUFFIXES, WeightSummary, summarise_tensors, summarise_weights
from evalkit.plugins import plugin

_BUILT_IN = {
    "rwkv7": "evalkit.models.rwkv7.model",
    "hf": "evalkit.models.hf.model",
    "gguf": "evalkit.models.gguf.model",
    "llamacpp": "evalkit.models.llamacpp.model",
    "hub": "evalkit.models.any_repository",
    "openai": "evalkit.models.openai.model",
    "codec": "evalkit.models.compressors",
}


class Loader(Protocol):
    """What a loader's module must have."""

    def identify(self, entry: CatalogEntry, options: LoadOptions, /) -> ModelIdentity:
        """What the model is, without loading its weights; called for every model before any is loaded."""
        ...

    def load(self, entry: CatalogEntry, options: LoadOptions, /) -> Model:
        """The model, ready to score."""
        ...


@runtime_checkable
class EncodingLoader(Protocol):
    """A `Loader` that has a model's tokenizer sooner than its weights."""

    def encoder(self, entry: CatalogEntry, options: LoadOptions, /) -> Callable[[str], Encoding] | None:
        """`evalkit.models.protocol.TokenModel.encode` of the model; None where its weights say what it is."""
        ...


class LocatedModel(NamedTuple):
    """A model that is known to exist and not loaded yet, or an object that needs no loading."""

    identity: ModelIdentity
    entry: CatalogEntry | None
    options: LoadOptions
    instance: Model | None = None
    problem: ModelError | None = None
    """Why it cannot be identified: its identity has no more than a name, and `load` raises this."""

    def load(self) -> Model:
        """The model, ready to score, and made of the very files that `identity` was taken of.

        Raises:
            ModelError: its files cannot be read, its loader fails, or a file has changed since
                the model was located.
        """
        if self.problem is not None:
            raise self.problem
        if self.instance is not None:
            return self.instance
        assert self.entry is not None
        entry = self.entry
        if entry.loader in _BUILT_IN and self.identity.revision is not None:
            # A branch may have moved since: what was planned is a commit.
            entry = dataclasses.replace(entry, revision=self.identity.revision)
        model = _load(entry, self.options)
        check_same(self.identity, model.identity)
        check_untouched(model.identity, _identify(entry, self.options))
        return model

    def encoder(self) -> Callable[[str], Encoding] | None:
        """The model's `TokenModel.encode` without its weights; None where its loader does not give it.

        Raises:
            ModelError: its tokenizer cannot be read.
        """
        if self.problem is not None:
            raise self.problem
        if isinstance(self.instance, TokenModel):
            return self.instance.encode
        if self.entry is None:
            return None
        loader = _loader(self.entry.loader)
        return loader.encoder(self.entry, self.options) if isinstance(loader, EncodingLoader) else None


def locate_models(
    specs: Iterable[str | Model | LocatedModel], options: LoadOptions, *, config_path: Path | None = None
) -> list[LocatedModel]:
    """Models by name or as objects; every name is checked before any file is read.

    A model that cannot be reached or read has a `LocatedModel.problem`, unless all have one.

    Args:
        specs: catalog names, ``LOADER:TARGET``, patterns of names or paths (`find_entries`), objects with the
            members of a protocol, or what was located before.
        options: device, precision, trust.
        config_path: the user's catalog, see `evalkit.models.catalog.load_catalog`.

    Raises:
        UsageError: an unknown name, an object that is no model, the same model twice, or a device map for one
            that is on one device.
        ModelError: there is nothing at a path, or none of the models can be identified.
    """
    specs = list(specs)
    catalog = load_catalog(config_path) if any(isinstance(spec, str) for spec in specs) else {}
    entries = find_entries(specs, catalog)
    names_of_paths = _names_of_paths(entries)
    located_models = []
    for entry, name in zip(entries, names_of_paths, strict=True):
        if isinstance(entry, CatalogEntry):
            entry = dataclasses.replace(entry, name=name or entry.name)
            check_spreads(options, entry.loader, entry.name)
            located_models.append(_locate(entry, options))
        elif isinstance(entry, LocatedModel):
            located_models.append(entry)
        elif isinstance(entry, TokenModel | Codec):
            if isinstance(entry, TokenModel) and options.prefix is not None:
                raise UsageError(
                    f"{entry.identity.name} is loaded already and reads its own prefix; leave prefix "
                    f"{options.prefix} out, or name the model"
                )
            located_models.append(LocatedModel(entry.identity, None, options, entry))
        else:
            raise UsageError(
                f"{entry!r} is neither a model's name nor an object with the members of "
                "evalkit.models.protocol.TokenModel or Codec"
            )
    names = [located.identity.name for located in located_models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"asked for twice: {', '.join(twice)}; name each model once")
    problems = [located.problem for located in located_models if located.problem]
    if problems and len(problems) == len(located_models):
        raise problems[0] if len(problems) == 1 else ModelError("; ".join(map(str, problems)))
    return located_models


def locate_model(spec: str, options: LoadOptions) -> LocatedModel:
    """One model by its name; see `locate_models`.

    Raises:
        UsageError: the name is unknown, or a pattern that several match.
        ModelError: there is nothing at a path, or it cannot be identified.
    """
    return locate_models([only_spec(spec, load_catalog())], options)[0]


def import_loaders(models: Iterable[LocatedModel]) -> None:
    """Import what loading the models takes, for processes that are forked of this one to share.

    Where a model was remembered (`evalkit.models.remembered_identities`), nothing of it was imported yet.
    """
    for loader in sorted({located.identity.loader for located in models} & _BUILT_IN.keys()):
        with contextlib.suppress(EvalkitError):  # what is wrong with it fails the model's own cells
            _loader(loader)


def _locate(entry: CatalogEntry, options: LoadOptions) -> LocatedModel:
    problem = None
    try:
        identity, facts = _identity_and_facts(entry, options)
    except UsageError:
        raise
    except ModelError as error:
        facts = {}
        hint = missing_folder(entry.target) if entry.loader in ("hf", "rwkv7", *GGUF_LOADERS) else None
        problem = ModelError(f"{hint}, and as a repository: {error}") if hint else error
        identity = ModelIdentity(entry.name, entry.loader, None, "", "", "", "", None)
    if problem is None and not _follows_prefix(identity, options):
        problem = ModelError(
            f"{entry.name}: its loader {entry.loader!r} does not follow --prefix; leave it out"
        )
    details = {**facts, **_provenance(entry), **identity.details}
    identity = dataclasses.replace(identity, details=details)
    return LocatedModel(identity, entry, options, problem=problem)


def _identity_and_facts(entry: CatalogEntry, options: LoadOptions) -> Remembered:
    origin = origin_of(entry, options)
    if origin is not None and (remembered := recall(entry, options, origin)) is not None:
        return remembered
    identity = _identify(entry, options)
    remembered = Remembered(identity, _facts_of_weights(identity, entry))
    if origin is not None:
        remember(entry, options, origin, remembered)
    return remembered


def _follows_prefix(identity: ModelIdentity, options: LoadOptions) -> bool:
    """Whether another package's loader has done what ``--prefix`` says; a compressor reads nothing anyway."""
    return options.prefix in (None, identity.prefix) or identity.loader in _BUILT_IN


def load_model(
    spec: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    max_context: int | None = None,
    prefix: str | None = None,
) -> Model:
    """A model by its name: ``rwkv7-0.1b``, ``hf:PATH_OR_REPO``, ``rwkv7:FILE.pth``, ``xz``.

    Args:
        spec: a catalog name (`evalkit models list`) or ``LOADER:TARGET``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        trust_remote_code: whether a hub repository may run its own Python.
        max_context: cap on the model's context, in token positions.
        prefix: what to read before a document: ``bos``, ``eos``, ``none`` or ``token:ID,ID``; None: what
            the catalog or the model's tokenizer says.

    Raises:
        UsageError: an unknown name, or a prefix that is none.
        ModelError: the model cannot be found or read, or has no such token.
    """
    rule = None if prefix is None else parse_rule(prefix, "prefix")
    options = LoadOptions(device, dtype, trust_remote_code, max_context, prefix=rule)
    return locate_model(spec, options).load()


def with_loaded_details(identity: ModelIdentity, model: Model) -> ModelIdentity:
    """A planned model's identity, with what only its loading showed (ignored tensors, tokens' text)."""
    return dataclasses.replace(
        identity,
        details={**identity.details, **model.identity.details},
        token_names={**identity.token_names, **model.identity.token_names},
    )


def _names_of_paths(entries: Sequence[CatalogEntry | Model | LocatedModel]) -> list[str | None]:
    """``LOADER:FILE`` for models that were given as paths, ``hf:FOLDER+ADAPTER``, ``openai:MODEL``."""
    specs = [
        entry if isinstance(entry, CatalogEntry) and entry.name.startswith(f"{entry.loader}:") else None
        for entry in entries
    ]
    models = short_names([entry.local_path if entry else None for entry in specs])
    adapters = short_names([entry.adapter_path if entry else None for entry in specs])
    served = short_specs([entry.target if entry and entry.loader == "openai" else None for entry in specs])
    names: list[str | None] = []
    for entry, model, adapter, served_name in zip(specs, models, adapters, served, strict=True):
        if entry is None or not (model or adapter):
            names.append(served_name)
            continue
        place = model or entry.target + ("" if entry.revision == "main" else f"@{entry.revision}")
        name = f"{entry.loader}:{place}"
        names.append(f"{name}+{adapter or entry.adapter}" if entry.adapter else name)
    return names


def _provenance(entry: CatalogEntry) -> dict[str, str | int | float | bool | None]:
    """What the catalog knows of a model and a result should say; local folders stay private."""
    fields = dataclasses.asdict(entry)
    names = (
        "file",
        "num_parameters",
        "released",
        "knowledge_cutoff",
        "cutoff_source",
        "license",
        "source",
        "origin",
    )
    details = {name: fields[name] for name in names if fields[name] is not None}
    details["target"] = entry.local_path.name if entry.local_path else entry.target
    saved = checkpoint_facts(entry.adapter_path or entry.local_path, entry.target, entry.revision)
    return details if saved is None else {**details, **saved.details()}


def _facts_of_weights(identity: ModelIdentity, entry: CatalogEntry) -> dict[str, str | int]:
    """Size and stored type of the weights, from the files' headers, also of files that are not here yet."""
    weights = [
        file
        for file in identity.files
        if file.name.endswith(WEIGHT_SUFFIXES) and not Path(file.name).name.startswith("adapter_")
    ]
    paths = [file.path for file in weights if file.path is not None]
    try:
        # Of a repository that is not all here, a part's size would pass for the whole's.
        if len(paths) == len(weights):
            summary = summarise_weights(paths)
        else:
            summary = None if entry.num_parameters else _summary_at_hub(identity, entry, weights)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ModelError(
            f"{identity.name}: its weights have headers that cannot be read: {error!r}"
        ) from error
    if summary is None:
        return {}
    size = {} if summary.num_parameters is None else {"num_parameters": summary.num_parameters}
    return {**size, "stored_dtype": summary.stored_dtype}


def _summary_at_hub(
    identity: ModelIdentity, entry: CatalogEntry, weights: Sequence[ModelFile]
) -> WeightSummary | None:
    """From the first bytes of a repository's files; None for other formats, or out of reach."""
    names = [file.name for file in weights]
    if identity.revision is None or not all(name.endswith(".safetensors") for name in names):
        return None
    try:
        tensors = safetensors_tensors(entry.target, identity.revision, names)
    except ModelError:
        return None  # a size is no part of the key, and whoever fetches the file says what is wrong
    config = next((file.path for file in identity.files if file.name == "config.json"), None)
    return summarise_tensors(tensors, config)


def _identify(entry: CatalogEntry, options: LoadOptions) -> ModelIdentity:
    try:
        return _loader(entry.loader).identify(entry, options)
    except (EvalkitError, KeyboardInterrupt):
        raise
    except BaseException as error:  # panics of libraries in Rust are no Exception
        raise ModelError(
            f"{entry.name}: loader {entry.loader!r} failed to identify it: {import_problem(error)}"
        ) from error


def _load(entry: CatalogEntry, options: LoadOptions) -> Model:
    try:
        return _loader(entry.loader).load(entry, options)
    except (EvalkitError, KeyboardInterrupt):
        raise
    except BaseException as error:  # as in `_identify`; or memory is full
        raise ModelError(
            f"{entry.name}: loader {entry.loader!r} failed to load {entry.target}: {import_problem(error)}"
        ) from error


def _loader(name: str) -> Loader:
    point = plugin(LOADER_GROUP, name, BUILTIN_LOADERS)
    if name in _BUILT_IN:
        loader: Loader = importlib.import_module(_BUILT_IN[name])
        return loader
    if point is None:
        raise UsageError(f"no loader {name!r} is installed")
    try:
        loader = point.load()
    except EvalkitError:
        raise
    except Exception as error:  # another package's code: whatever it raises, say whose it is
        raise ModelError(
            f"loader {name!r} ({point.value}) failed to import: {import_problem(error)}"
        ) from error
    return loader
