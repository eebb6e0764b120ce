"""Which documents of a crawl are one story in several languages: those that link to each other as such.

Links are followed in both directions and over pages that are not in the corpus: a translation that is newer
than the fetched original is known from its own page. Where links tie two texts of one language on one site
together they are navigation and no story's: then none of these documents has one.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from evalkit.corpora.store import Document


class Linked(NamedTuple):
    """A document, and what its page says of its translations."""

    document: Document
    alternates: tuple[str, ...]
    """Addresses of the same text in other languages."""


def with_stories(documents: Sequence[Linked], tell: Callable[[str], None]) -> list[Document]:
    """The documents with their `story_id`, in their order; ``tell`` gets a line where links make no story.

    A story's id is the first of its addresses, in alphabetical order and whether it was fetched or not, so
    that another crawl gives the same. A document that has an id already keeps it.
    """
    sets = _Sets()
    for document, alternates in documents:
        for address in alternates:
            sets.join(_key(document.url), _key(address))
    groups: Mapping[str, list[Document]] = defaultdict(list)
    for document, alternates in documents:
        if alternates or sets.has(_key(document.url)):
            groups[sets.first(_key(document.url))].append(document)
    ambiguous = {story_id for story_id, members in groups.items() if _is_ambiguous(members)}
    story_id_of = {
        document.id: story_id
        for story_id, members in groups.items()
        if story_id not in ambiguous
        for document in members
    }
    linked = [
        dataclasses.replace(document, story_id=document.story_id or story_id_of.get(document.id))
        for document, _ in documents
    ]
    if ambiguous:
        num_documents = sum(len(groups[story_id]) for story_id in ambiguous)
        tell(
            f"{num_documents} documents link to several texts of one site as one translation; they belong to "
            "no story"
        )
    return linked


def _is_ambiguous(documents: Sequence[Document]) -> bool:
    places = [(document.language, _key(document.url).partition("/")[0]) for document in documents]
    return len(set(places)) < len(places)


def _key(url: str | None) -> str:
    """An address as it is compared: without scheme and last slash."""
    return (url or "").partition("://")[2].removesuffix("/")


class _Sets:
    """Disjoint sets of addresses, each named by its first."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def has(self, address: str) -> bool:
        return address in self._parents

    def first(self, address: str) -> str:
        while (parent := self._parents.setdefault(address, address)) != address:
            self._parents[address] = self._parents[parent]  # halves the way for the next
            address = parent
        return address

    def join(self, first: str, second: str) -> None:
        names = sorted((self.first(first), self.first(second)))
        self._parents[names[1]] = names[0]
