"""arXiv: the full text and the abstracts of papers by the day of their first version.

What arXiv asks of programs: https://info.arxiv.org/help/api/tou.html and https://arxiv.org/robots.txt.

Papers are found by OAI-PMH (https://info.arxiv.org/help/oa/), which selects by the day of the last
*change*: everything that changed since the window began is listed, and what counts is the date of version 1.
One format is asked for, ``arXivRaw``: it has the dates of all versions and all that ``arXiv`` has but the
authors' names split up, which is not worth asking twice for every paper.

The text is that of version 1, whatever came later, from the HTML that arXiv makes with LaTeXML. Its license
is that of version 1: what the listing states where there is one version only, else what the page states (a
revision may change the license, and the listing tells the last one's).

The abstracts are a corpus of their own: arXiv's metadata is CC0. The listing has the abstract of the last
version, so that papers which were revised are left out of that one.

By field, every group of archives (cs, econ, eess, math, physics, q-bio, q-fin, stat) has corpora of its own,
by the group of a paper's primary category.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from importlib import metadata
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import CommaLists, joined
from evalkit.corpora.licenses import ARXIV_LICENSE, normalise
from evalkit_crawlers.command import crawl_command
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
from evalkit_crawlers.sources import latexml
from evalkit_crawlers.sources.arxiv_taxonomy import (
    ALIASES,
    archive_of,
    field_of,
    parse_categories,
    set_spec,
)
from evalkit_crawlers.sources.oai import Record, list_records
from evalkit_crawlers.text.scripts import without_latex_scripts

if TYPE_CHECKING:
    from lxml.etree import _Element

OAI_URL = "https://oaipmh.arxiv.org/oai"
ABSTRACTS = "abstracts"
EARLIEST_CHANGE = dt.date(2005, 9, 16)
"""The first day of change that the server knows; it refuses earlier ones."""
NO_HTML = "no HTML version"

_RAW = "{http://arxiv.org/OAI/arXivRaw/}"
_ID = re.compile(r"\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7}")
_NO_LICENSE = "No License"
_ARXIV_LICENSE_LABEL = "arXiv.org perpetual non-exclusive license"


@dataclasses.dataclass(frozen=True, slots=True)
class _Paper:
    """What the listing says of a paper."""

    id: str
    title: str
    abstract: str
    primary_category: str
    license: str | None
    """SPDX identifier or address; the last version's."""
    first_at: dt.datetime
    num_versions: int
    first_is_withdrawn: bool


class ArxivSource:
    """Papers whose first version was submitted in the window; see `evalkit_crawlers.source.Source`.

    Args:
        categories: categories and archives, of which a paper's *primary* category must be one; empty for all.
        by_field: a corpus of texts and one of abstracts for every field, instead of one of each for all.
    """

    name = "arxiv"
    not_found_reason = NO_HTML
    """What it means here that a page is not there."""

    def __init__(self, categories: tuple[str, ...] = (), by_field: bool = False) -> None:
        self.categories, self.by_field = categories, by_field
        self.extractor = f"evalkit latexml {latexml.VERSION}, lxml {metadata.version('lxml')}"
        # Not by_field, which asks for the same listings: a crawl by field goes on with what another fetched.
        self.query: Mapping[str, str] = {"categories": ",".join(categories) or "all"}

    def discover(self, window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop]:
        """Two candidates for every paper of the window, its text and its abstract, in the listing's order.

        Raises:
            CrawlError: the listing cannot be had or read.
        """
        seen: set[str] = set()
        since = max(window.since, EARLIEST_CHANGE)
        sets: list[str | None] = [set_spec(name) for name in self.categories]
        for spec in sets or [None]:
            for record in list_records(
                get, OAI_URL, _paper, metadata_prefix="arXivRaw", since=since, set_spec=spec
            ):
                if record.identifier not in seen:
                    seen.add(record.identifier)
                    yield from self._of_record(record, window)

    def _of_record(self, record: Record[_Paper], window: CrawlWindow) -> Iterator[Candidate | Drop]:
        name = "".join(record.identifier.removeprefix("oai:arXiv.org:").split())
        if record.deleted:
            yield Drop(name, "deleted")
            return
        paper = record.metadata
        if paper is None:
            yield Drop(name, "listed without id, category or the first version's date")
            return
        id = f"{paper.id}v1"
        corpus = field_of(paper.primary_category) if self.by_field else ""
        if paper.first_at not in window:
            yield Drop(id, "published outside of the window", corpus)
        elif not self._is_wanted(paper.primary_category):
            yield Drop(id, "primary category is another one", corpus)
        else:
            yield from _candidates(paper, id, corpus)

    def _is_wanted(self, category: str) -> bool:
        names = {category, ALIASES.get(category, category), archive_of(category)}
        return not self.categories or not names.isdisjoint(self.categories)

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        """The text of version 1 from its HTML, with the license that the page names if the listing didn't."""
        try:
            article = latexml.read_article(capture.body)
        except FetchRefused as refusal:
            return Drop(candidate.id, refusal.reason, candidate.corpus)
        if article.version not in (None, candidate.id):
            return Drop(candidate.id, "HTML of another version", candidate.corpus)
        if candidate.license is None:
            candidate = dataclasses.replace(candidate, license=_license_of_label(article.license))
        return Extracted(candidate, article.text)


def _candidates(paper: _Paper, id: str, corpus: str) -> Iterator[Candidate | Drop]:
    """A paper's text and abstract; ``corpus`` is its field, or empty where fields are not told apart."""
    was_revised = paper.num_versions > 1
    if paper.first_is_withdrawn:
        yield Drop(id, "withdrawn", corpus)
        return
    yield Candidate(
        id=id,
        url=f"https://arxiv.org/html/{id}",
        published_at=paper.first_at,
        license=None if was_revised else paper.license,
        title=paper.title,
        stratum=paper.primary_category,
        corpus=corpus,
        attributes={"source_version": "v1"},
    )
    abstract_id, abstracts = f"{id}-abstract", f"{corpus}-{ABSTRACTS}" if corpus else ABSTRACTS
    if was_revised or not paper.abstract:
        reason = "abstract of a later version" if was_revised else "no abstract"
        yield Drop(abstract_id, reason, abstracts)
        return
    yield Candidate(
        id=abstract_id,
        url=f"https://arxiv.org/abs/{id}",
        published_at=paper.first_at,
        license="CC0-1.0",
        title=paper.title,
        stratum=paper.primary_category,
        corpus=abstracts,
        text=paper.abstract,
        attributes={"source_version": "v1"},
    )


def _paper(raw: "_Element") -> _Paper | None:
    """A record's ``<arXivRaw>``; None where it lacks what a paper cannot be told without."""
    id = raw.findtext(f"{_RAW}id", "").strip()
    categories = raw.findtext(f"{_RAW}categories", "").split()
    versions = raw.findall(f"{_RAW}version")
    first = next((version for version in versions if version.get("version") == "v1"), None)
    first_at = _moment(first.findtext(f"{_RAW}date", "")) if first is not None else None
    if not _ID.fullmatch(id) or not categories or first is None or first_at is None:
        return None
    return _Paper(
        id=id,
        title=" ".join(raw.findtext(f"{_RAW}title", "").split()),
        abstract=_paragraphs(raw.findtext(f"{_RAW}abstract", "")),
        primary_category=categories[0],
        license=normalise(raw.findtext(f"{_RAW}license")),
        first_at=first_at,
        num_versions=len(versions),
        first_is_withdrawn="I" in first.findtext(f"{_RAW}source_type", ""),
    )


def _moment(text: str) -> dt.datetime | None:
    """The time of an e-mail's form (RFC 5322), in which arXiv writes its dates; None if it is none."""
    try:
        moment = parsedate_to_datetime(text.strip())
        return None if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def _paragraphs(abstract: str) -> str:
    """An abstract without the line breaks of its form; an indented line begins a paragraph."""
    paragraphs = re.split(r"\n(?:[ \t]*\n|[ \t]+)", abstract.strip())
    plain = (without_latex_scripts(" ".join(paragraph.split())) for paragraph in paragraphs)
    return "\n\n".join(filter(None, plain))


def _license_of_label(label: str | None) -> str | None:
    """The license that a page names; the labels are those of arXiv's converter."""
    if label is None or label == _NO_LICENSE:
        return None
    return ARXIV_LICENSE if label == _ARXIV_LICENSE_LABEL else normalise(label)


@crawl_command
def command(
    categories: Annotated[
        CommaLists,
        typer.Option(
            "--categories",
            help="Primary categories and whole archives by commas: cs.CL,cs.LG,physics; by default all.",
        ),
    ] = None,
    by_field: Annotated[
        bool,
        typer.Option("--by-field", help="Corpora of each field: cs, math, physics, q-bio, stat, econ, …"),
    ] = False,
) -> Source:
    """Collect arXiv papers by the day of their first version: full texts, and abstracts beside them."""
    return ArxivSource(parse_categories(joined(categories)), by_field)
