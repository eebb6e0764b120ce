"""Everything that was ever fetched, kept for good.

    <folder>/bodies/ab/abcd….zst             a body, compressed, named by its SHA-256
    <folder>/pages/ab/abcd….json             which body an address gave; named by the address's SHA-256
    <folder>/crawls/KEY/0001/ab/abcd….json   the same for listings, which change from crawl to crawl,
                                             and for what was refused in this crawl
    <folder>/crawls/KEY/0001/refused-20261120/…   the same for what was refused on a day and may pass

Every file is written beside its place and renamed into it, a body before the record that names it. So a
process may be killed at any moment: a record whose body is missing cannot come about, and a body that no
record names does no harm. No file is ever changed afterwards, so any number of processes may share a folder.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zstandard

from evalkit.errors import CrawlError
from evalkit.files import atomic_write, parse_json, strict_json
from evalkit_crawlers.source import Capture, FetchRefused

PAGES = "pages"
"""The scope of what does not change once it was published."""

_LEVEL = 9
_FORMAT = 1
_MAX_BODY_BYTES = 1 << 30
"""More than is ever kept; guards against a damaged file that claims to be huge."""


class CaptureStore:
    """A folder of captures, which any number of processes may share; see the module's docstring.

    Args:
        folder: where it is; made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, scope: str, url: str) -> bool:
        """Whether a URL was answered or refused in this scope."""
        return self._record_path(scope, url).exists()

    def read(self, scope: str, url: str) -> Capture | None:
        """The capture under a URL; None where it was never asked for in this scope.

        Args:
            scope: `PAGES`, or a crawl's folder.
            url: as it was really asked for, so that a mirror's pages are not taken for the original's.

        Raises:
            FetchRefused: it was asked for and refused.
            CrawlError: a file is damaged.
        """
        path = self._record_path(scope, url)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            record = parse_json(data)
            if record["format"] != _FORMAT:
                raise ValueError(f"format {record['format']!r}")
            reason = record.get("refused")
            if reason is None:
                return self._capture(record)
        except (ValueError, KeyError, TypeError, OSError, zstandard.ZstdError) as error:
            raise CrawlError(f"{path}: it is damaged ({error}); delete it and run again") from None
        raise FetchRefused(str(reason))

    def write(self, scope: str, url: str, capture: Capture) -> None:
        """Keep a body under a URL; where the scope has an answer under it already, that one stays."""
        body = self._body_path(capture.sha256)
        if not body.exists():
            with atomic_write(body) as temporary:
                temporary.write_bytes(zstandard.ZstdCompressor(level=_LEVEL).compress(capture.body))
        record = {
            "url": capture.url,
            "final_url": capture.final_url,
            "fetched_at": capture.fetched_at.isoformat(),
            "headers": dict(capture.headers),
            "sha256": capture.sha256,
            "num_bytes": len(capture.body),
        }
        self._write_record(scope, url, record)

    def write_refusal(self, scope: str, url: str, reason: str) -> None:
        """Remember that a URL was asked for in vain: within a scope it is not asked for again."""
        self._write_record(scope, url, {"url": url, "refused": reason})

    def num_scopes_with(self, pattern: str, url: str) -> int:
        """How many scopes, of those whose names match a pattern, have a record of a URL."""
        return sum(
            self.has(str(folder.relative_to(self.folder)), url) for folder in self.folder.glob(pattern)
        )

    def _write_record(self, scope: str, url: str, record: Mapping[str, object]) -> None:
        path = self._record_path(scope, url)
        if not path.exists():
            with atomic_write(path) as temporary:
                temporary.write_text(strict_json({"format": _FORMAT, **record}), encoding="utf-8")

    def _capture(self, record: dict[str, Any]) -> Capture:
        packed = self._body_path(record["sha256"]).read_bytes()
        body = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_MAX_BODY_BYTES)
        if hashlib.sha256(body).hexdigest() != record["sha256"]:
            raise ValueError(f"its body {record['sha256'][:16]} has another SHA-256")
        return Capture(
            url=record["url"],
            final_url=record["final_url"],
            fetched_at=dt.datetime.fromisoformat(record["fetched_at"]),
            headers=record["headers"],
            body=body,
            sha256=record["sha256"],
        )

    def _record_path(self, scope: str, url: str) -> Path:
        name = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / scope / name[:2] / f"{name}.json"

    def _body_path(self, sha256: str) -> Path:
        return self.folder / "bodies" / sha256[:2] / f"{sha256}.zst"
