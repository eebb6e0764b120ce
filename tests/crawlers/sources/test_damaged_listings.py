"""Damaged files and listings of the sources that read XML and JSON: a text, a reason, and nothing else."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from evalkit_crawlers.source import Candidate, Drop, FetchRefused
from evalkit_crawlers.sources import federal_register, legislation_uk
from evalkit_crawlers.sources.biorxiv import BiorxivSource
from evalkit_crawlers.sources.law import LawSource
from evalkit_crawlers.text import jats
from tests.support.direct import WINDOW, DirectGet, capture
from tests.support.replay import Reply
from tests.support.site_biorxiv import Preprint
from tests.support.site_law import Document, Item
from tests.support.toy_source import prose

NUM_TRIES = 200
READERS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "jats": (Preprint(1, (prose("a"), prose("b")), "abstract").file(), jats.read_article),
    "federal register": (
        Document(1, (prose("a"),)).file(),
        lambda body: federal_register.text_of_document(capture(body)),
    ),
    "legislation": (Item(1, (prose("a"),)).file(), lambda body: legislation_uk.text_of_item(capture(body))),
    "feed": (
        f'<feed xmlns="http://www.w3.org/2005/Atom">{Item(1, ()).entry()}</feed>'.replace(
            "ukm:", ""
        ).encode(),
        legislation_uk.read_feed,
    ),
}


def damaged(body: bytes, dice: random.Random) -> bytes:
    """Some bytes changed, a piece cut out, or one said twice."""
    start, end = sorted(dice.randrange(len(body)) for _ in range(2))
    match dice.randrange(4):
        case 0:
            changed = bytearray(body)
            for _ in range(dice.randint(1, 8)):
                changed[dice.randrange(len(body))] = dice.choice(b"<>&;/\"' \x00\x80aZ0[]!")
            return bytes(changed)
        case 1:
            return body[:start] + body[end:]
        case 2:
            return body[:end] + body[start:end] + body[end:]
        case _:
            return body[:start]


@pytest.mark.parametrize("name", READERS)
def test_damaged_xml(name: str) -> None:
    body, read = READERS[name]
    read(body)
    dice = random.Random(name)
    outcomes = set()
    for _ in range(NUM_TRIES):
        try:
            read(damaged(body, dice))
        except FetchRefused as refusal:
            outcomes.add(refusal.reason)
        else:
            outcomes.add("read")
    assert {"read", "not well-formed XML"} <= outcomes


STRANGE: list[Any] = [None, True, -1, 2.5, "", "x", "\ud800", "a\nb", [], [1], {}, {"a": "b"}, "9" * 5000]


@pytest.mark.parametrize(
    ("source", "row", "wrap"),
    [
        (
            BiorxivSource(),
            Preprint(1, (), prose("a")).row(),
            lambda row: {"messages": [{"status": "ok", "total": 1}], "collection": [row]},
        ),
        (LawSource(("us",)), Document(1, ()).row(), lambda row: {"count": 1, "results": [row]}),
    ],
    ids=["biorxiv", "law"],
)
def test_strange_values_in_listings(
    source: Any, row: dict[str, Any], wrap: Callable[[object], object]
) -> None:
    for key in row:
        for value in STRANGE:
            body = json.dumps(wrap(row | {key: value})).encode()
            entries = list(source.discover(WINDOW, DirectGet(lambda request, body=body: Reply(body))))
            assert entries
            for entry in entries:
                assert isinstance(entry, Candidate | Drop) and entry.id.split() == [entry.id]
