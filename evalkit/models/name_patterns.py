"""Models by patterns of the catalog's names, as a shell has them for files: ``rwkv7-*``."""

import fnmatch
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, overload

from evalkit.errors import UsageError, did_you_mean
from evalkit.models.catalog import CatalogEntry, resolve_spec
from evalkit.models.targets import expand_spec
from evalkit.patterns import is_pattern

if TYPE_CHECKING:
    from evalkit.models.loading import LocatedModel
    from evalkit.models.protocol import Model


@overload
def find_entries(specs: Iterable[str], catalog: Mapping[str, CatalogEntry]) -> list[CatalogEntry]: ...
@overload
def find_entries(
    specs: "Iterable[str | Model | LocatedModel]", catalog: Mapping[str, CatalogEntry]
) -> "list[CatalogEntry | Model | LocatedModel]": ...
def find_entries(
    specs: "Iterable[str | Model | LocatedModel]", catalog: Mapping[str, CatalogEntry]
) -> "list[CatalogEntry | Model | LocatedModel] | list[CatalogEntry]":
    """The models that are meant, in the order of the specs, and of a pattern in that of the catalog.

    What a pattern matches and a spec or an earlier pattern names as well is there once. It is not looked at:
    who asks for all models finds one that cannot be had when that is to be read, and has the others.

    Args:
        specs: names, ``LOADER:TARGET``, patterns of either (`specs_of`); anything else stands for itself.
        catalog: the named models, see `evalkit.models.catalog.load_catalog`.

    Raises:
        UsageError: an unknown name, or a pattern that no name matches.
        ModelError: nothing is at a path, or matches a pattern of paths or revisions.
    """
    specs = list(specs)
    taken = {spec for spec in specs if isinstance(spec, str)}
    entries: list[CatalogEntry | Model | LocatedModel] = []
    for spec in specs:
        if not isinstance(spec, str):
            entries.append(spec)
        elif _is_pattern(spec, catalog):
            names = [name for name in specs_of(spec, catalog) if name not in taken]
            entries += [catalog[name] for name in names]
            taken.update(names)
        else:
            entries += [resolve_spec(each, catalog) for each in expand_spec(spec)]
    return entries


def specs_of(spec: str, catalog: Mapping[str, CatalogEntry]) -> list[str]:
    """The models that one spec means, each by a spec of its own.

    Args:
        spec: a name, ``LOADER:TARGET`` (see `evalkit.models.targets.expand_spec`), or a pattern of names with
            ``*``, ``?`` or ``[…]`` in it.
        catalog: the named models, in the order in which they are to come.

    Raises:
        UsageError: no name matches the pattern.
        ModelError: nothing here or at the hub matches a pattern of paths or revisions.
    """
    if not _is_pattern(spec, catalog):
        return expand_spec(spec)
    names = fnmatch.filter(catalog, spec)
    if not names:
        small = spec.lower()
        near = did_you_mean([small] if fnmatch.filter(catalog, small) else [])
        raise UsageError(
            f"no model's name matches {spec!r}.{near} `evalkit models list` shows the names; files and "
            f"folders are written hf:{spec}, rwkv7:{spec} or gguf:{spec}."
        )
    return names


def only_spec(spec: str, catalog: Mapping[str, CatalogEntry]) -> str:
    """The one model that a spec means; see `specs_of`.

    Raises:
        UsageError: there are several.
    """
    specs = specs_of(spec, catalog)
    if len(specs) > 1:
        some = ", ".join(specs[:3]) + (", …" if specs[3:] else "")
        raise UsageError(f"{spec} matches {len(specs)} models, and one is needed; name it: {some}")
    return specs[0]


def _is_pattern(spec: str, catalog: Mapping[str, CatalogEntry]) -> bool:
    return ":" not in spec and spec not in catalog and is_pattern(spec)
