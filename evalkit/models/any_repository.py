"""The ``hub`` loader: a hub repository, by the loader that its files are for.

``hub:OWNER/NAME`` or ``hub:OWNER/NAME@REVISION`` is what ``rwkv7:``, ``gguf:`` or ``hf:`` of the same
repository would be; which, its list of files and its ``config.json`` say.
"""

import dataclasses
import importlib

from evalkit.errors import ModelError
from evalkit.files import parse_json
from evalkit.models.catalog import CatalogEntry
from evalkit.models.device_maps import check_spreads
from evalkit.models.hub import download, hub_files
from evalkit.models.protocol import LoadOptions, Model, ModelIdentity


def identify(entry: CatalogEntry, options: LoadOptions) -> ModelIdentity:
    """What the repository's own loader would load; its identity names that loader.

    Raises:
        ModelError: there is no such repository, or its loader refuses it.
    """
    resolved = _resolve(entry)
    check_spreads(options, resolved.loader, entry.name)
    identity: ModelIdentity = importlib.import_module(_MODULES[resolved.loader]).identify(resolved, options)
    return identity


def load(entry: CatalogEntry, options: LoadOptions) -> Model:
    """The model, ready to score; see the loader that the repository's files are for.

    Raises:
        ModelError: as `identify`, and whatever is wrong with the weights.
    """
    resolved = _resolve(entry)
    model: Model = importlib.import_module(_MODULES[resolved.loader]).load(resolved, options)
    return model


_MODULES = {
    "rwkv7": "evalkit.models.rwkv7.model",
    "hf": "evalkit.models.hf.model",
    "gguf": "evalkit.models.gguf.model",
}


def _resolve(entry: CatalogEntry) -> CatalogEntry:
    """The entry at a commit, with the loader for its files."""
    snapshot = hub_files(entry.target, entry.revision)
    suffixes = {name.rpartition(".")[2] for name in snapshot.files}
    loader = "hf"
    if "config.json" in snapshot.files:
        path = download(entry.target, snapshot.commit, ["config.json"]) / "config.json"
        try:
            config = parse_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{entry.name}: {path} cannot be read as JSON: {error}") from error
        if isinstance(config, dict) and config.get("model_type") == "rwkv7":
            loader = "rwkv7"
    elif "pth" in suffixes:
        loader = "rwkv7"
    if "gguf" in suffixes and not suffixes & {"safetensors", "bin", "pth"}:
        loader = "gguf"
    return dataclasses.replace(entry, loader=loader, revision=snapshot.commit)
