"""What a server says of itself and of the model that it serves."""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from evalkit.errors import ModelError, UsageError, unknown_name
from evalkit.models.openai.address import ServerAddress, model_name
from evalkit.models.openai.answers import mapping, sequence
from evalkit.models.openai.client import Client, RefusedRequest
from evalkit.models.targets import is_repository

_LLAMA_CPP = "llamacpp"
_VERSION_PATHS = {"vllm": ("version",), "sglang": ("server_info", "get_server_info")}
"""Where servers, by what they call the owner of a model, say their version."""


class ServedModel(NamedTuple):
    """A model as its server describes it."""

    address: ServerAddress
    """With the model's name, and no more workers than the server serves at a time."""
    entry: Mapping[str, object]
    """What the list of models says of it."""
    properties: Mapping[str, object]
    """What llama.cpp's server says under ``/props``; empty for others."""
    software: str
    """What computes, with its version where it says it: ``vllm 0.11.0``."""

    @property
    def is_llama_cpp(self) -> bool:
        """Whether the server is llama.cpp's own."""
        return self.entry.get("owned_by") == _LLAMA_CPP

    @property
    def context_length(self) -> int | None:
        """Most tokens that a prompt and what is generated behind it may have; None: it does not say."""
        for stated in (self.entry.get("max_model_len"), mapping(self.entry.get("meta")).get("n_ctx")):
            if isinstance(stated, int) and stated > 0:
                return stated
        return None

    @property
    def vocab_size(self) -> int | None:
        """Number of its tokens, where the server says it."""
        stated = mapping(self.entry.get("meta")).get("n_vocab")
        return stated if isinstance(stated, int) and stated > 0 else None

    @property
    def sha256(self) -> str:
        """Digest of where and what it is, as far as that is said; it tells nothing of the weights."""
        names = ("id", "root", "parent", "owned_by", "meta")
        said = {name: self.entry.get(name) for name in names}
        described = json.dumps({"url": self.address.url, **said}, sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()

    @property
    def details(self) -> dict[str, str]:
        """What a result should say of it, without the server's own folders and addresses."""
        root = self.entry.get("root")
        stated = {"served_root": root} if isinstance(root, str) and is_repository(root) else {}
        return {
            "target": model_name(self.address.model or ""),
            "server": self.software,
            "weights": "not verifiable: what a server computes",
            "batch_dependence": "as the server rounds in the batches that it makes",
            **stated,
        }


def served_model(client: Client) -> ServedModel:
    """Ask a server what it serves.

    Raises:
        UsageError: it serves several models, and none is named, or none of the name.
        ModelError: it cannot be reached, or lists no models.
    """
    address = client.address
    listed = mapping(client.get(f"{address.url}/models"))
    entries = [mapping(entry) for entry in sequence(listed.get("data"))]
    names = [str(entry["id"]) for entry in entries if isinstance(entry.get("id"), str)]
    if not names and address.model is not None:  # a server may have more than it lists
        entries = [{"id": address.model}]
    elif not names:
        raise ModelError(f"{client.name}: {address.place} lists no models under {address.url}/models")
    if address.model is None and len(names) > 1:
        raise UsageError(f"{client.name}: the server has {', '.join(names)}; add #MODEL to the address")
    entry = next(
        (
            entry
            for entry in entries
            if address.model in (None, entry.get("id"), *sequence(entry.get("aliases")))
        ),
        None,
    )
    if entry is None:
        raise unknown_name("model", str(address.model), names, f"{address.place} has: {', '.join(names)}.")
    properties: Mapping[str, object] = {}
    if entry.get("owned_by") == _LLAMA_CPP:
        properties = mapping(client.get(f"{address.root_url}/props"))
        slots = properties.get("total_slots")
        num_slots = slots if isinstance(slots, int) and slots > 0 else 1
        address = address._replace(num_workers=min(address.num_workers, num_slots))
    address = address._replace(model=str(entry["id"]))
    return ServedModel(address, entry, properties, _software(client, entry, properties))


def _software(client: Client, entry: Mapping[str, object], properties: Mapping[str, object]) -> str:
    owner = entry.get("owned_by")
    if owner == _LLAMA_CPP:
        return f"llama.cpp {properties.get('build_info', '')}".strip()
    name = owner if isinstance(owner, str) and owner else "unknown"
    for path in _VERSION_PATHS.get(name, ()):
        try:
            version = mapping(client.get(f"{client.address.root_url}/{path}")).get("version")
        except RefusedRequest:  # not every version has it
            continue
        if isinstance(version, str):
            return f"{name} {version}"
    return name
