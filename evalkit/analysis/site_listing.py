"""The listing of a built site: which of a folder's files are evalkit's, by their digests."""

import json
import re
from collections.abc import Mapping, Set
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from evalkit.files import strict_json

SITE_LISTING = "site.json"
"""The file that lists a built site's files; a folder with it is a site and holds no cells."""

_SCHEMA_VERSION = 1
_DIGEST = re.compile("[0-9a-f]{64}")


class SiteListing(NamedTuple):
    """What evalkit has written into a folder."""

    files: Mapping[str, str]
    """SHA-256 by path relative to the site, with slashes."""
    replaced: Mapping[str, Set[str]] = {}
    """While a site takes another's place: the digests that its files may still have; else empty."""

    def digests(self, name: str) -> set[str]:
        """What a file of this name may hold and be evalkit's."""
        return ({self.files[name]} if name in self.files else set()) | set(self.replaced.get(name, ()))

    def names(self) -> list[str]:
        """All files that are evalkit's, those that are being replaced included."""
        return sorted({*self.files, *self.replaced})


def listing_text(listing: SiteListing) -> str:
    """The file of a listing."""
    fields: dict[str, object] = {"schema_version": _SCHEMA_VERSION, "files": dict(listing.files)}
    if listing.replaced:
        fields |= {"replaced": {name: sorted(digests) for name, digests in listing.replaced.items()}}
    return strict_json(fields)


def read_listing(folder: Path) -> SiteListing | None:
    """The listing in a folder; None where there is none, or what is called so is another program's."""
    try:
        content = json.loads((folder / SITE_LISTING).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("schema_version") != _SCHEMA_VERSION:
        return None
    files, replaced = content.get("files"), content.get("replaced", {})
    if not isinstance(files, dict) or not isinstance(replaced, dict):
        return None
    lists = [*([digest] for digest in files.values()), *replaced.values()]
    if not all(map(_is_inside, (*files, *replaced))) or not all(map(_are_digests, lists)):
        return None
    return SiteListing(files, {name: frozenset(digests) for name, digests in replaced.items()})


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        name.isprintable()
        and bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and str(path) == name
    )


def _are_digests(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(v, str) and _DIGEST.fullmatch(v) for v in values)
