"""``evalkit cutoff``: until when a model has read, as its cells tell."""

from evalkit.cli.parsing import (
    DEFAULT_OUTPUT,
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


def cutoff_command(
    model: ScoredModelArgument,
    results: ResultsArgument = str(DEFAULT_OUTPUT),
    corpora: SomeCorporaOption = None,
    panel: PanelOption = None,
    policy: PolicyOption = DEFAULT_POLICY,
    as_json: JsonOption = False,
) -> None:
    """Find the day from which a model's bits rise beside those of a panel of other models.

    The cells of both on dated corpora of eight months or more are what `evalkit run` writes.
    """
    from evalkit.analysis.effective_cutoff import effective_cutoff
    from evalkit.analysis.effective_cutoff_text import cutoff_json, cutoff_lines
    from evalkit.analysis.results import read_results
    from evalkit.models.catalog import load_catalog

    cutoff = effective_cutoff(
        read_results(results, warn=complain),
        model,
        corpora=comma_list(joined(corpora)),
        panel=comma_list(joined(panel)),
        policy=policy,
        catalog=load_catalog(),
    )
    if as_json:
        show_json(cutoff_json(cutoff))
        return
    for line in cutoff_lines(cutoff):
        show(line)
