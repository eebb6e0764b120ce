"""The fingerprints in the package, by name; importing this needs no torch."""

import importlib.resources
from importlib.resources.abc import Traversable


def shipped_file(name: str) -> Traversable:
    """The file of a fingerprint in the package."""
    return _folder().joinpath(f"{name}.json")


def shipped_names() -> tuple[str, ...]:
    """The fingerprints in the package."""
    return tuple(sorted(file.name.removesuffix(".json") for file in _folder().iterdir()))


def _folder() -> Traversable:
    return importlib.resources.files("evalkit.audit").joinpath("fingerprints")
