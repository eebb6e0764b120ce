"""Law on the day on which it is published: the United States' Federal Register and legislation.gov.uk.

    evalkit crawl law --since 2026-11-01 --until 2026-11-15
    evalkit crawl law --jurisdictions uk --since 2026-11-01 --until 2026-11-15

Each jurisdiction has a corpus of its own.
"""

import dataclasses
from collections.abc import Iterator
from importlib.metadata import version
from typing import Annotated

import typer

from evalkit.cli.parsing import CommaLists, comma_list, joined
from evalkit.errors import UsageError, unknown_name
from evalkit_crawlers.command import crawl_command
from evalkit_crawlers.http.hosts import HostPolicy
from evalkit_crawlers.source import (
    Candidate,
    Capture,
    CrawlWindow,
    Drop,
    Extracted,
    FetchRefused,
    Get,
    Source,
)
from evalkit_crawlers.sources import federal_register, legislation_uk

JURISDICTIONS = {
    federal_register.NAME: federal_register.discover,
    legislation_uk.NAME: legislation_uk.discover,
}
_TEXTS = {
    federal_register.NAME: federal_register.text_of_document,
    legislation_uk.NAME: legislation_uk.text_of_item,
}


@dataclasses.dataclass(frozen=True)
class LawSource:
    """What was published in the window by the jurisdictions."""

    jurisdictions: tuple[str, ...] = tuple(JURISDICTIONS)
    name: str = "law"
    extractor: str = dataclasses.field(
        default_factory=lambda: (
            f"evalkit law {federal_register.VERSION}.{legislation_uk.VERSION}, lxml {version('lxml')}"
        )
    )
    host_policies: tuple[HostPolicy, ...] = (
        # Both publish no pace that is slower; robots.txt's counts where it is.
        HostPolicy(federal_register.HOST, (federal_register.HOST,), interfaces=("/api/v1/",)),
        HostPolicy(legislation_uk.HOST, (legislation_uk.HOST,)),
    )

    @property
    def query(self) -> dict[str, str]:
        """The jurisdictions."""
        return {"jurisdictions": " ".join(self.jurisdictions)}

    def discover(self, window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop]:
        """What the listings name, jurisdiction by jurisdiction and day by day."""
        for name in self.jurisdictions:
            try:
                yield from JURISDICTIONS[name](window, get)
            except FetchRefused as refusal:
                yield Drop(name, f"listing: {refusal.reason}", name)

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        """The text of a document's XML, under the address of its page."""
        try:
            text = _TEXTS[candidate.corpus](capture)
        except FetchRefused as refusal:
            return Drop(candidate.id, refusal.reason, candidate.corpus)
        if not text:
            return Drop(candidate.id, "no text in the XML", candidate.corpus)
        return Extracted(dataclasses.replace(candidate, url=candidate.attributes["page"]), text)


def parse_jurisdictions(text: str | None) -> tuple[str, ...]:
    """Jurisdictions as given on the command line, each once; None: all.

    Raises:
        UsageError: one is unknown, or none is given.
    """
    if text is None:
        return tuple(JURISDICTIONS)
    chosen = tuple(dict.fromkeys(name.lower() for name in comma_list(text)))
    for name in chosen:
        if name not in JURISDICTIONS:
            raise unknown_name("jurisdiction", name, JURISDICTIONS, "--jurisdictions may name us and uk.")
    if not chosen:
        raise UsageError("--jurisdictions names none; give us, uk or both")
    return chosen


@crawl_command
def command(
    jurisdictions: Annotated[
        CommaLists, typer.Option("--jurisdictions", help="us, uk or both by commas; by default both.")
    ] = None,
) -> Source:
    """Laws, rules and notices published in the window: Federal Register (US), legislation.gov.uk (UK)."""
    return LawSource(parse_jurisdictions(joined(jurisdictions)))
