"""What to say of a model's name that is none: how what it looks like is written."""

import re
from pathlib import Path

from evalkit.errors import did_you_mean
from evalkit.models.targets import find_path, is_repository, is_there
from evalkit.near_paths import near_paths

_HUB_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([^/?#]+/[^/?#]+).*")
_ADDRESS = re.compile(r"https?://.+")
_LOADERS = {".gguf": "gguf", ".pth": "rwkv7"}


def advice(spec: str) -> str | None:
    """How to name the model that a name looks like: an address, a path, a repository of the hub.

    Args:
        spec: no name of the catalog, and nothing behind a loader's.

    Returns:
        A sentence; None where it looks like a name.
    """
    if address := _HUB_ADDRESS.fullmatch(spec):
        return f"A repository of the hub is written hf:{address[1]}."
    if _ADDRESS.fullmatch(spec):
        return f"A server is written openai:{spec}; a file is downloaded first."
    path = find_path(spec, Path.cwd())
    if path is not None and is_there(path):
        return f"A model in a file or folder is written {_loader_of(path)}:{spec}."
    if len(names := re.findall(r"[^\s;]+", spec)) > 1:
        return f"Names go by commas: {','.join(names)}."
    if near := near_paths(spec):
        if path is None and "/" not in spec:
            return None
        loaders = [f"{_loader_of(Path(name))}:{name}" for name in near]
        return f"There is no file or folder {spec} here.{did_you_mean(loaders)}"
    if path is not None:
        return f"There is no file or folder {spec} here."
    return f"A repository of the hub is written hf:{spec}." if is_repository(spec) else None


def hub_repository(target: str) -> str | None:
    """The repository that an address of the hub's leads to; None for what is no such address."""
    address = _HUB_ADDRESS.fullmatch(target)
    return address[1] if address else None


def _loader_of(path: Path) -> str:
    return _LOADERS.get(path.suffix, "hf")
