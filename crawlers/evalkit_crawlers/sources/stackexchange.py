"""Questions of Stack Exchange's sites that were asked in the window, with the answers they got in it.

    evalkit crawl stackexchange --since 2026-11-01 --until 2026-11-15 --sites stackoverflow,math

A document is a question's title and text and, below, its answers in the order in which they were written,
as Markdown, the way their authors wrote it. The API tells texts as they are now: whatever was edited after
the window is left out, a question altogether, an answer from its question. So is a question without an
answer, or a closed one (closed is what repeats another question).

Everybody's posts are under Creative Commons BY-SA; in which version depends on the day and stands in
``content_license`` (https://stackoverflow.com/help/licensing). Whoever shows a text names its author with a
link to the question: the document's address.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

from evalkit.cli.parsing import CommaLists, comma_list, joined
from evalkit.corpora import licenses
from evalkit.errors import UsageError
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
from evalkit_crawlers.sources import stackexchange_api

DEFAULT_SITES = (
    *("stackoverflow", "superuser", "serverfault", "askubuntu", "math", "stats", "physics", "chemistry"),
    *("biology", "english", "history", "law", "travel", "cooking", "diy", "academia"),
    *("ru.stackoverflow", "es.stackoverflow", "pt.stackoverflow", "ja.stackoverflow"),
)
"""Many subjects, programs and prose, and the four sites that are not in English."""

OUTSIDE = "published outside of the window"
BETWEEN_POSTS = "\n\n---\n\n"
"""Markdown's rule."""

_SITE = re.compile(r"[a-z0-9]+(?:\.[a-z0-9]+)*")
_LANGUAGE_SITE = re.compile(r"(ru|es|pt|ja)\.stackoverflow")
_SHARE_ALIKE = re.compile(r"CC-BY-SA-\d\.\d")


@dataclasses.dataclass(frozen=True)
class StackExchangeSource:
    """Questions that were asked in the window, with their answers."""

    sites: tuple[str, ...]
    """As the API names them: ``stackoverflow``, ``math``, ``ru.stackoverflow``."""
    name: str = "stackexchange"
    extractor: str = "evalkit stackexchange 1"

    @property
    def host_policies(self) -> tuple[HostPolicy, ...]:
        """The API's published limits."""
        return stackexchange_api.HOST_POLICIES

    @property
    def query(self) -> dict[str, str]:
        """The sites."""
        return {"sites": " ".join(self.sites)}

    def discover(self, window: CrawlWindow, get: Get) -> Iterator[Candidate | Drop]:
        """The questions of the window, site by site, oldest first."""
        filter = stackexchange_api.filter_name(get)
        for site in self.sites:
            try:
                for item in stackexchange_api.questions(get, site, filter, window):
                    yield _question(site, item, window)
            except FetchRefused as refusal:
                yield Drop(site, f"listing: {refusal.reason}")

    def extract(self, candidate: Candidate, capture: Capture) -> Extracted | Drop:  # noqa: ARG002
        """Nothing: the listing holds every text."""
        return Drop(candidate.id, "no text in the listing")


def _question(site: str, item: Mapping[str, object], window: CrawlWindow) -> Candidate | Drop:
    """A question as a document, or why it is none."""
    id = f"{site}-{item['question_id']}"
    created_at = stackexchange_api.moment(item.get("creation_date"))
    link, title = item.get("link"), item.get("title")
    if created_at is None or created_at not in window:
        return Drop(id, OUTSIDE)
    if not isinstance(link, str) or not isinstance(title, str):
        return Drop(id, "listed without title or address")
    if item.get("closed_date") is not None:
        return Drop(id, "closed")
    if item.get("answer_count") == 0:
        return Drop(id, "no answer")
    if _is_edited_later(item, window):
        return Drop(id, "edited after the window")
    answers = stackexchange_api.objects(item.get("answers"))
    if item.get("answer_count") != len(answers):
        return Drop(id, "answers not listed in full")
    timely = [answer for answer in answers if _is_timely(answer, window)]
    if not timely:
        return Drop(id, "no answer in the window")
    timely.sort(key=_precedence)
    posts = [item, *timely]
    texts = [post.get("body_markdown") for post in posts]
    bodies = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    if len(bodies) < len(posts):
        return Drop(id, "post without text")
    stated = sorted({_license(post) for post in posts})
    if not all(map(_SHARE_ALIKE.fullmatch, stated)):
        return Drop(id, "license is not CC BY-SA")
    owner = item.get("owner")
    author = owner.get("user_id") if isinstance(owner, dict) else None
    language = _LANGUAGE_SITE.fullmatch(site)
    return Candidate(
        id=id,
        url=link,
        published_at=created_at,
        license=" AND ".join(stated),
        title=title,
        language=language[1] if language else None,
        stratum=site,
        cluster=f"{site}/{author}" if isinstance(author, int) else site,
        text=BETWEEN_POSTS.join([f"{title.strip()}\n\n{bodies[0]}", *bodies[1:]]),
    )


def _is_edited_later(post: Mapping[str, object], window: CrawlWindow) -> bool:
    if post.get("last_edit_date") is None:
        return False
    edited_at = stackexchange_api.moment(post["last_edit_date"])
    return edited_at is None or edited_at not in window


def _is_timely(answer: Mapping[str, object], window: CrawlWindow) -> bool:
    created_at = stackexchange_api.moment(answer.get("creation_date"))
    return created_at is not None and created_at in window and not _is_edited_later(answer, window)


def _precedence(answer: Mapping[str, object]) -> tuple[dt.datetime, str]:
    created_at = stackexchange_api.moment(answer.get("creation_date"))
    assert created_at is not None
    return created_at, str(answer.get("answer_id"))


def _license(post: Mapping[str, object]) -> str:
    """The license that a post states; ``unstated`` where it states none."""
    stated = post.get("content_license")
    return (licenses.normalise(stated) if isinstance(stated, str) else None) or "unstated"


def parse_sites(text: str | None) -> tuple[str, ...]:
    """Sites as given on the command line, each once; None: `DEFAULT_SITES`.

    Raises:
        UsageError: one cannot be a site's name, or there is none.
    """
    if text is None:
        return DEFAULT_SITES
    sites = tuple(dict.fromkeys(name.lower().removesuffix(".stackexchange.com") for name in comma_list(text)))
    for site in sites:
        if not _SITE.fullmatch(site):
            raise UsageError(
                f"--sites: {site!r} is no site's name; write stackoverflow, math or ru.stackoverflow "
                "(https://stackexchange.com/sites has all)"
            )
    if not sites:
        raise UsageError("--sites names none; give at least one, e.g. stackoverflow")
    return sites


@crawl_command
def command(
    sites: Annotated[
        CommaLists,
        typer.Option(
            "--sites", help="Names by commas, as the API has them: stackoverflow,math; by default 20."
        ),
    ] = None,
) -> Source:
    """Questions of Stack Exchange's sites asked in the window, with their answers (CC BY-SA)."""
    return StackExchangeSource(parse_sites(joined(sites)))
