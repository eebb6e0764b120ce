"""A source as a user's package might add it, and the site it crawls."""

import dataclasses
import datetime as dt
import json
import os
import random
import signal
from collections.abc import Iterator, Mapping, Sequence

from evalkit_crawlers.http.hosts import HostPolicy
from evalkit_crawlers.source import Candidate, Capture, CrawlWindow, Drop, Extracted, Get
from tests.support.replay import Reply, Request, Site

LISTING = "https://listing.example/list"
WINDOW = CrawlWindow(dt.date(2026, 11, 1), dt.date(2026, 11, 15))
PAGE_SIZE = 10

_WORDS = [
    "after",
    "again",
    "against",
    "river",
    "mountain",
    "because",
    "before",
    "between",
    "bridge",
    "children",
    "city",
    "cold",
    "could",
    "country",
    "dark",
    "daughter",
    "different",
    "early",
    "earth",
    "evening",
    "every",
    "family",
    "farmer",
    "father",
    "field",
    "first",
    "forest",
    "friend",
    "garden",
    "government",
    "great",
    "green",
    "hand",
    "harbour",
    "heard",
    "history",
    "house",
    "however",
    "hundred",
    "island",
    "journey",
    "kitchen",
    "language",
    "large",
    "letter",
    "light",
    "little",
    "market",
    "meeting",
    "minister",
    "morning",
    "mother",
    "music",
    "never",
    "night",
    "north",
    "often",
    "open",
    "other",
    "paper",
    "people",
    "perhaps",
    "place",
    "question",
    "quiet",
    "reason",
    "report",
    "road",
    "round",
    "school",
    "second",
    "several",
    "should",
    "silver",
    "small",
    "something",
    "sometimes",
    "south",
    "spring",
    "station",
    "still",
    "stone",
    "story",
    "street",
    "summer",
    "teacher",
    "thing",
    "thought",
    "thousand",
    "through",
    "together",
    "town",
    "under",
    "until",
    "village",
    "visitor",
    "voice",
    "water",
    "weather",
    "which",
    "while",
    "window",
    "winter",
    "without",
    "woman",
    "wonder",
    "world",
    "writer",
    "yellow",
    "yesterday",
    "young",
]


def prose(seed: int | str, num_words: int = 160) -> str:
    """English enough for a language detector, and like no other seed's."""
    words = random.Random(str(seed)).choices(_WORDS, k=num_words)
    sentences = [" ".join(["The", *words[at : at + 12], "was there"]) for at in range(0, num_words, 12)]
    return ". ".join(sentences) + "."


@dataclasses.dataclass(frozen=True)
class Page:
    """A document of the toy site."""

    id: str
    host: str = "pages.example"
    day: str = "2026-11-05"
    text: str | None = None
    stratum: str = ""
    license: str = "CC-BY-4.0"

    @property
    def body(self) -> bytes:
        return (self.text if self.text is not None else prose(self.id)).encode()


def pages(count: int, hosts: Sequence[str] = ("pages.example",)) -> list[Page]:
    return [Page(f"doc{number:04d}", hosts[number % len(hosts)]) for number in range(count)]


def toy_site(documents: Sequence[Page], special: Mapping[str, Reply] | None = None) -> Site:
    """Listings of ten, the documents, and ``special`` replies by path; no robots.txt unless special."""
    by_path = {(page.host, f"/{page.id}"): page for page in documents}

    def site(request: Request) -> Reply:
        if special and request.path in special:
            return special[request.path]
        if request.path == "/list":
            start = int(request.query.get("from", 0))
            rows = [
                {"id": page.id, "url": f"https://{page.host}/{page.id}", "day": page.day}
                | {"stratum": page.stratum, "license": page.license}
                for page in documents[start : start + PAGE_SIZE]
            ]
            more = start + PAGE_SIZE if start + PAGE_SIZE < len(documents) else None
            return Reply(json.dumps({"rows": rows, "more": more}).encode())
        if (request.host, request.path) in by_path:
            return Reply(by_path[request.host, request.path].body, headers={"Content-Type": "text/plain"})
        return Reply(b"no such page", status=404)

    return site


class ToySource:
    name = "toy"
    extractor = "toy 1"

    def __init__(self, host_policies: Sequence[HostPolicy] = ()) -> None:
        self.query = {"kind": "all"}
        self.host_policies = host_policies

    def discover(self, window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop]:
        start: int | None = 0
        while start is not None:
            listing = json.loads(get(f"{LISTING}?from={start}", revalidate=True).body)
            for row in listing["rows"]:
                published_at = dt.datetime.fromisoformat(row["day"]).replace(hour=12, tzinfo=dt.UTC)
                yield Candidate(row["id"], row["url"], published_at, row["license"], stratum=row["stratum"])
            start = listing["more"]

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        if not capture.body:
            return Drop(candidate.id, "empty page")
        return Extracted(candidate, capture.body.decode())


class LouderSource(ToySource):
    """A later version, which makes other texts of the same pages."""

    extractor = "toy 2"

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        return Extracted(candidate, capture.body.decode().upper())


class HostileSource(ToySource):
    """One whose library does what a page tells it to."""

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:
        match capture.body.decode().split():
            case ["busy"]:
                while True:
                    pass
            case ["hungry"]:
                return Extracted(candidate, "x" * (1 << 40))
            case ["crash"]:
                os.kill(os.getpid(), signal.SIGSEGV)
            case ["exit"]:
                os._exit(3)
            case ["deep"]:
                return self.extract(candidate, capture)
            case ["wrong"]:
                return Extracted(candidate, capture.body.decode()[99])
        return super().extract(candidate, capture)
