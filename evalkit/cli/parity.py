"""``evalkit parity``: one story in several languages."""

from typing import Annotated

import typer

from evalkit.cli.parsing import DEFAULT_OUTPUT, JsonOption, ResultsArgument
from evalkit.terminal import show, show_json


def parity_command(
    results: ResultsArgument = str(DEFAULT_OUTPUT),
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="Language to compare with; by default that of most shared stories."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare what models pay for the same story in several languages, on corpora of parallel text."""
    from evalkit.analysis.parity import corpus_parity, parity_json, parity_lines
    from evalkit.analysis.results import read_results
    from evalkit.errors import UsageError

    cells = read_results(results, warn=lambda text: show(text, err=True))
    parities = [corpus_parity(cells, number, reference) for number in range(len(cells.corpora))]
    with_stories = [parity for parity in parities if parity is not None]
    if not with_stories:
        raise UsageError(
            f"{results}: no corpus has stories in several languages; `evalkit crawl news --parallel` makes "
            "one, or import a table with a column story_id"
        )
    if as_json:
        show_json([parity_json(cells, parity) for parity in with_stories])
        return
    for parity in with_stories:
        for line in parity_lines(cells, parity):
            show(line)
