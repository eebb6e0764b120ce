"""What crawlers add to ``evalkit corpora``."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.extras import check_extra
from evalkit.terminal import show
from evalkit_crawlers.options import (
    AllowPrivateHostsOption,
    ContactOption,
    EndpointOption,
    OfflineOption,
    SkipUnreachableOption,
)

app = typer.Typer()


@app.command("rebuild")
def rebuild_command(
    dataset: Annotated[
        str, typer.Argument(help="A published corpus: hub:OWNER/NAME@REVISION, or a folder with its files.")
    ],
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", help="Folder of the corpora.", show_default="$EVALKIT_CORPORA, else corpora/"
        ),
    ] = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Store what can be had as NAME-partial where something is missing."),
    ] = False,
    contact: ContactOption = None,
    endpoint: EndpointOption = None,
    allow_private_hosts: AllowPrivateHostsOption = False,
    skip_unreachable: SkipUnreachableOption = False,
    offline: OfflineOption = False,
) -> None:
    """Make a published corpus whole: fetch what it could not contain, verify every text, store it.

    Exits with 1 if a document cannot be had any more or has another text now. What was fetched is kept.
    """
    check_extra("crawl")
    import stamina.instrumentation

    from evalkit.corpora.store import store_folder
    from evalkit.errors import CrawlError
    from evalkit_crawlers.crawling.rebuild import rebuild_dataset
    from evalkit_crawlers.http.contact import contact_of_user
    from evalkit_crawlers.http.endpoints import parse_endpoints

    stamina.instrumentation.set_on_retry_hooks([])  # it would log what is told to the user anyway
    try:
        outcome = rebuild_dataset(
            dataset,
            store=store,
            partial=partial,
            # Nobody is asked anything offline.
            contact="" if offline else contact_of_user(contact),
            endpoints=parse_endpoints(endpoint or ()),
            allow_private_hosts=allow_private_hosts,
            skip_unreachable=skip_unreachable,
            offline=offline,
            tell=lambda line: show(line, err=True),
        )
    except OSError as error:
        raise CrawlError(
            f"{error.filename or store_folder(store)}: {error.strerror or error}; make room there, make it "
            "writable or give another --store, and run the same command again: what was fetched is kept"
        ) from error
    for line in outcome.lines():
        show(line)
    if outcome.missing:
        raise typer.Exit(1)
