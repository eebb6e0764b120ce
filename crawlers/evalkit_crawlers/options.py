"""The options that all of ``evalkit crawl``'s commands share."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from evalkit.corpora.store import check_new_name
from evalkit.errors import UsageError
from evalkit_crawlers.source import CrawlWindow

SinceOption = Annotated[str, typer.Option("--since", help="First day of publication, YYYY-MM-DD (UTC).")]
UntilOption = Annotated[str, typer.Option("--until", help="Last day of publication, included.")]
MaxDocumentsOption = Annotated[
    int | None,
    typer.Option("--max-documents", help="Fetch a random sample of at most N, balanced over strata.", min=1),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of the sample.")]
NameOption = Annotated[
    str | None, typer.Option("--name", help="Of the corpus; by default source and window.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder of corpora; by default $EVALKIT_CORPORA or corpora/."),
]
ContactOption = Annotated[
    str | None,
    typer.Option("--contact", help="Your e-mail or web address, told to every server; remembered."),
]
EndpointOption = Annotated[
    list[str] | None,
    typer.Option("--endpoint", help="HOST=URL: ask a mirror or test server instead of a host; repeatable."),
]
AllowPrivateHostsOption = Annotated[
    bool, typer.Option("--allow-private-hosts", help="Fetch from this machine and private networks too.")
]
SkipUnreachableOption = Annotated[
    bool,
    typer.Option("--skip-unreachable", help="Go without what cannot be reached, and count it."),
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Extract again from what was fetched before; no network.")
]
RefreshOption = Annotated[
    bool,
    typer.Option(
        "--refresh", help="Ask for the listings again, instead of those of the last crawl like this."
    ),
]


@dataclasses.dataclass(frozen=True, slots=True)
class CommonOptions:
    """The options that all crawls share, checked."""

    window: CrawlWindow
    max_documents: int | None = None
    seed: int = 0
    name: str | None = None
    output: Path | None = None
    contact: str | None = None
    endpoints: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Well-known host name → base URL that is asked in its place."""
    allow_private_hosts: bool = False
    skip_unreachable: bool = False
    offline: bool = False
    refresh: bool = False


def common_options(
    since: SinceOption,
    until: UntilOption,
    max_documents: MaxDocumentsOption = None,
    seed: SeedOption = 0,
    name: NameOption = None,
    output: OutputOption = None,
    contact: ContactOption = None,
    endpoint: EndpointOption = None,
    allow_private_hosts: AllowPrivateHostsOption = False,
    skip_unreachable: SkipUnreachableOption = False,
    offline: OfflineOption = False,
    refresh: RefreshOption = False,
) -> CommonOptions:
    """Check the options that all crawls share, as the command line gives them.

    Raises:
        UsageError: a day is no day, the window is empty or lies in the future, an endpoint or a name is
            malformed.
    """
    # Heavy, and `--help` does not need it.
    from evalkit_crawlers.http.endpoints import parse_endpoints

    window = CrawlWindow(_day("--since", since), _day("--until", until))
    if window.until < window.since:
        raise UsageError(f"--until {until} lies before --since {since}; swap them")
    if offline and refresh:
        raise UsageError("--refresh asks servers again and --offline asks none; give one of them")
    if name is not None:
        check_new_name(name)
    return CommonOptions(
        window=window,
        max_documents=max_documents,
        seed=seed,
        name=name,
        output=output,
        contact=contact,
        endpoints=parse_endpoints(endpoint or ()),
        allow_private_hosts=allow_private_hosts,
        skip_unreachable=skip_unreachable,
        offline=offline,
        refresh=refresh,
    )


def _day(option: str, text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a day; write YYYY-MM-DD") from None
