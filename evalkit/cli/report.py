"""``evalkit report``: the static site of all result cells."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.parsing import DEFAULT_OUTPUT, CommaLists, ResultsArgument, comma_list, joined
from evalkit.terminal import show

DocsOption = Annotated[
    str | None,
    typer.Option("--docs", help="Documentation to link: an address, or a folder of pages to copy."),
]

LimitedOption = Annotated[
    bool, typer.Option("--limited", help="Show cells of --limit too, as a corpus of its own: NAME (first N).")
]


def report_command(
    results: ResultsArgument = str(DEFAULT_OUTPUT),
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the site; a site there is replaced.")
    ] = Path("site"),
    corpora: Annotated[
        CommaLists,
        typer.Option(
            "--corpora",
            help="Corpora or files that are not in the store, by commas: for their texts and facts.",
        ),
    ] = None,
    explorer_documents: Annotated[
        int,
        typer.Option("--explorer-documents", min=0, help="Documents per corpus that the explorer can open."),
    ] = 60,
    title: Annotated[str, typer.Option("--title", help="Name of the site.")] = "evalkit",
    docs: DocsOption = None,
    address: Annotated[
        str | None,
        typer.Option("--address", help="Where the site will be served, https://…: for previews of links."),
    ] = None,
    with_plots: Annotated[
        bool, typer.Option("--plots/--no-plots", help="Draw the plots that the cells allow.")
    ] = True,
    with_limited: LimitedOption = False,
) -> None:
    """Build a static site of all cells: leaderboard, models, corpora, comparisons, probes, explorer, plots.

    It needs no server and no network: open site/index.html. Without --limited, cells of --limit are left out.
    """
    from evalkit.analysis.current import with_current_records
    from evalkit.analysis.results import read_results
    from evalkit.cells.object_store import is_url
    from evalkit.corpora.store import load_corpora
    from evalkit.report import SiteOptions, build_site, check_output, checked_address, docs_files

    def warn(text: str) -> None:
        show(text, err=True)

    if address is not None:
        checked_address(address, "--address")
    check_output(output, None if is_url(results) else Path(results))
    docs_files(docs)
    loaded = load_corpora(comma_list(joined(corpora)))  # told before anything is drawn
    instead = "score without --limit, or give report --limited"
    read = read_results(results, warn=warn, with_limited=with_limited, instead=instead)
    scored = with_current_records(read, loaded, warn=warn)
    figures = []
    if with_plots:
        from evalkit.plots import draw_all

        figures = draw_all(scored, tell=warn)
    options = SiteOptions(loaded, explorer_documents, title, figures, docs, address)
    built = build_site(scored, output, options, warn=warn)
    show(
        f"{built.output}/index.html: models: {built.num_models}, corpora: {built.num_corpora}, "
        f"cells: {built.num_cells}, corpora in the explorer: {built.num_explored} "
        f"({built.num_files} files, {built.num_bytes / 1e6:.1f} MB)"
    )
