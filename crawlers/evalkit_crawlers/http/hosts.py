"""How often which host may be asked, where its operator says so.

robots.txt is obeyed everywhere, and its delay taken where it is longer than the one here. What it says is
meant for robots that follow links; a documented programming interface has terms of its own, and some sites
keep robots out of it by robots.txt all the same. Those interfaces are named here.

Sources:
    arXiv's APIs: https://info.arxiv.org/help/api/tou.html (one request every three seconds and one
        connection at a time over all of them); https://arxiv.org/robots.txt (Crawl-delay: 15).
    Wikimedia: https://www.mediawiki.org/wiki/API:Etiquette (requests in series, not in parallel).
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from evalkit_crawlers.http.exchange import Answer

DEFAULT_DELAY_S = 1.0
"""Between two requests to a host that asks for nothing else."""


class Pause(NamedTuple):
    """What an interface asks for in a way of its own, beside ``Retry-After``."""

    seconds: float
    """Until the next request; more than `evalkit_crawlers.http.pacing.MAX_HOLD_S`: not in this crawl."""
    is_refusal: bool
    """Whether the answer is none, so that the same is asked again afterwards."""


@dataclasses.dataclass(frozen=True, slots=True)
class HostPolicy:
    """Hosts that are asked one request at a time, all of them together, and how often."""

    queue: str
    """Name of what is paced together."""
    hosts: tuple[str, ...]
    """Names; ``*.example.org`` means all below ``example.org``, and itself."""
    delay_s: float = DEFAULT_DELAY_S
    """Least time from the end of one answer to the next request."""
    interfaces: tuple[str, ...] = ()
    """Beginnings of paths that are documented programming interfaces: robots.txt does not speak of them."""
    pause: "Callable[[Answer, dt.datetime], Pause | None] | None" = None
    """Reads off an answer, and the time it came, for how long the interface wants to be left alone."""
    token_variable: str | None = None
    """Environment variable with a token that goes with every request to these hosts, and to no others."""

    def covers(self, host: str) -> bool:
        """Whether the policy is for a host, given by its name in lower case."""
        return any(
            host == name.removeprefix("*.") or (name.startswith("*.") and host.endswith(name[1:]))
            for name in self.hosts
        )


PUBLISHED_POLICIES: tuple[HostPolicy, ...] = (
    HostPolicy(
        "arxiv-api",
        ("oaipmh.arxiv.org", "export.arxiv.org", "rss.arxiv.org"),
        delay_s=3.0,
        interfaces=("/oai", "/api/", "/rss/", "/atom/"),
    ),
    HostPolicy("arxiv.org", ("arxiv.org", "www.arxiv.org"), delay_s=15.0),
    HostPolicy(
        "wikimedia",
        ("*.wikipedia.org", "*.wikinews.org", "*.wikimedia.org", "*.wikidata.org"),
        interfaces=("/w/api.php", "/api/rest_v1/", "/w/rest.php/"),
    ),
    HostPolicy("globalvoices.org", ("*.globalvoices.org",)),
)


def policy_of(host: str, more: Sequence[HostPolicy] = ()) -> HostPolicy:
    """The policy of a host: the first that covers it, by default a queue of its own.

    Args:
        host: name, in lower case.
        more: a source's policies, before those of `PUBLISHED_POLICIES`.
    """
    for policy in (*more, *PUBLISHED_POLICIES):
        if policy.covers(host):
            return policy
    return HostPolicy(host, (host,))
