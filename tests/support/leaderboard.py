"""A leaderboard.toml of two small sources, one of which is down, and the module of these sources."""

CONFIG = """
title = "a small board"
results = "results"
window = "half-month"
delay_days = 2
token_bits = false

[models]
always = ["xz", "zstd"]
anchors = ["xz"]

[[sources]]
source = "toy"
options = ["--documents", "{documents}"]

[[sources]]
source = "down"
"""

SOURCES = """
from typing import Annotated
import typer
from evalkit.corpora.store import make_corpus, make_document, save_corpus
from evalkit.errors import CrawlError
from tests.support.toy_source import prose


def toy(
    since: Annotated[str, typer.Option()], until: Annotated[str, typer.Option()],
    name: Annotated[str, typer.Option()], documents: Annotated[int, typer.Option()] = 30,
) -> None:
    save_corpus(make_corpus(name, [
        make_document(prose(f"{since} {number}"), source="toy", license="CC0-1.0", language="en",
                      published_at=since, url=f"https://e.org/{number}", cluster=f"site {number % 10}")
        for number in range(documents)
    ], date_from=since, date_to=until))


def down(
    since: Annotated[str, typer.Option()], until: Annotated[str, typer.Option()],
    name: Annotated[str, typer.Option()],
) -> None:
    raise CrawlError("the source is down; try again later")
"""
