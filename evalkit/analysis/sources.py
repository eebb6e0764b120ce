"""Where the documents of corpora come from: what may be chained and connected over months, and what may not.

Python and French Wikipedia differ by more than any month does. Two corpora are of one source where the same
sources are stated of their documents, and the same language of most of them. Cells state both since December
2026; of older ones the manifest states the sources, where it is at hand, and the language is not known: then
their names, dates aside, must be the same, as they must where nobody stated a source. So they must where a
crawl made several corpora, named SOURCE-PART: arXiv's fields are not later versions of each other.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.cells.schema import CellCorpus
from evalkit.corpora.document import UNKNOWN, Manifest

_DAY = r"(?:19|20)\d\d(?:[-_.]?[01]\d(?:[-_.]?[0-3]\d)?|-?W\d\d)?"
_DATES = re.compile(rf"(?:^|[-_. ]+){_DAY}(?:(?:-?to-?|[-_.]+){_DAY})?(?![A-Za-z0-9])")


class _Origin(NamedTuple):
    """What tells sources apart."""

    names: tuple[str, ...]
    """The sources of the documents, else the corpus's name without dates."""
    language: str | None
    """That of most documents; empty: of none or not stated; None: the cells do not say."""
    stem: str
    """The corpus's name without dates."""


def sources_of(results: Results, manifests: Sequence[Manifest | None] | None = None) -> tuple[str, ...]:
    """A label per corpus: the same for corpora of one source, and different ones for different sources.

    Args:
        results: the cells.
        manifests: of each corpus, as far as they are at hand; None: those of `Results.manifests`.
    """
    if manifests is None:
        manifests = [results.manifests.manifest(number) for number in range(len(results.corpora))]
    origins = [_origin(corpus, manifest) for corpus, manifest in zip(results.corpora, manifests, strict=True)]
    keys = [_key(origin, origins) for origin in origins]
    parallel = _parallel(results.corpora, origins, keys)
    keys = [
        key._replace(stem=origin.stem) if key in parallel else key
        for key, origin in zip(keys, origins, strict=True)
    ]
    labels = {key: _words(key) for key in dict.fromkeys(keys)}
    return tuple(
        labels[key] if list(labels.values()).count(labels[key]) == 1 else _words(key, in_full=True)
        for key in keys
    )


def main_language(facts: CellCorpus) -> str:
    """The language of more than half of a corpus's documents; empty: of none, or it is not stated."""
    return _language(facts.languages or {})


def stem_of(name: str) -> str:
    """A corpus's name without the dates in it; ``unknown`` for a name that is nothing else.

    >>> stem_of("wikipedia-french-2024-08-01"), stem_of("news_20240801to20240831"), stem_of("2024-08")
    ('wikipedia-french', 'news', 'unknown')
    """
    return _DATES.sub("", name).strip("-_. ") or UNKNOWN


def _origin(corpus: ScoredCorpus, manifest: Manifest | None) -> _Origin:
    facts = corpus.facts
    counts = facts.sources or (manifest.sources if manifest else {})
    names = tuple(sorted(set(counts) - {UNKNOWN}))
    stem = stem_of(corpus.name)
    return _Origin(names or (stem,), None if facts.languages is None else _language(facts.languages), stem)


def _language(languages: Mapping[str, int]) -> str:
    """The language of more than half of the documents; empty where there is none, or it is not stated."""
    most = max(languages, key=lambda name: (languages[name], name), default=UNKNOWN)
    return most if most != UNKNOWN and 2 * languages[most] > sum(languages.values()) else ""


def _key(origin: _Origin, origins: Sequence[_Origin]) -> _Origin:
    """Equal for corpora of one source."""
    if origin.language is not None:
        return origin._replace(stem="")
    # A cell from before languages were stated goes with the newer ones of its series, if that is clear.
    alike = {newer.language for newer in origins if (newer.names, newer.stem) == (origin.names, origin.stem)}
    languages = alike - {None}
    return origin._replace(language=languages.pop(), stem="") if len(languages) == 1 else origin


def _parallel(
    corpora: Sequence[ScoredCorpus], origins: Sequence[_Origin], keys: Sequence[_Origin]
) -> set[_Origin]:
    """The keys that corpora of one month share whose names are their source's with different ends."""
    stems: dict[tuple[_Origin, str], set[str]] = {}
    for corpus, origin, key in zip(corpora, origins, keys, strict=True):
        if len(key.names) == 1 and f"{origin.stem}-".startswith(f"{key.names[0]}-"):
            stems.setdefault((key, corpus.month), set()).add(origin.stem)
    return {key for (key, _), names in stems.items() if len(names) > 1}


def _words(key: _Origin, *, in_full: bool = False) -> str:
    names = " + ".join(key.names) if len(key.names) < 4 else f"{key.names[0]} + {len(key.names) - 1} more"
    if not in_full:
        return names
    return f"{names} ({key.stem or key.language or 'several languages'})"
