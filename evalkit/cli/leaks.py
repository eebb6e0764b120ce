"""``evalkit leaks``: documents that a model finds too easy."""

from typing import Annotated

import typer

from evalkit.cli.parsing import (
    DEFAULT_OUTPUT,
    CommaLists,
    DeviceOption,
    JsonOption,
    PanelOption,
    PolicyOption,
    ResultsArgument,
    ScoredModelArgument,
    SomeCorporaOption,
    comma_list,
    joined,
)
from evalkit.scoring.policy import DEFAULT_POLICY
from evalkit.terminal import complain, show, show_json


def leaks_command(
    model: ScoredModelArgument,
    results: ResultsArgument = str(DEFAULT_OUTPUT),
    corpora: SomeCorporaOption = None,
    panel: PanelOption = None,
    policy: PolicyOption = DEFAULT_POLICY,
    rate: Annotated[
        float, typer.Option("--rate", help="Share of what is flagged that may be so by chance.")
    ] = 0.05,
    older: Annotated[
        CommaLists,
        typer.Option("--older", help="Older corpora that documents may repeat, by commas; names or paths."),
    ] = None,
    min_k_plus_plus: Annotated[
        bool,
        typer.Option(
            "--min-k-plus-plus",
            help="Test Min-K%++ as well: the model and the panel are loaded and read all texts again.",
        ),
    ] = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Find documents that a model pays less for than a panel of other models lets expect.

    It may have read them. Their hardest tokens are tested as well where all cells hold the bits of tokens.
    """
    from evalkit.analysis.leaks import find_leaks
    from evalkit.analysis.leaks_text import leak_lines, leaks_json
    from evalkit.analysis.repetitions import find_repetitions
    from evalkit.analysis.results import read_results
    from evalkit.corpora.store import load_corpora

    older_corpora = load_corpora(comma_list(joined(older)))
    scored = read_results(results, warn=complain)
    rereading = None
    if min_k_plus_plus:
        from evalkit.runner.rereading import Rereading

        rereading = Rereading(scored, policy, device=device)
    leaks = find_leaks(
        scored,
        model,
        corpora=comma_list(joined(corpora)),
        panel=comma_list(joined(panel)),
        policy=policy,
        rate=rate,
        min_k_plus_plus=rereading,
    )
    repetitions = find_repetitions(scored, leaks.corpora, older_corpora) if older_corpora else None
    if as_json:
        show_json(leaks_json(scored, leaks, repetitions))
        return
    for line in leak_lines(scored, leaks, repetitions):
        show(line)
