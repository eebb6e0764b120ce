"""``evalkit losses``: what each class of bytes costs, and costs one model more than another."""

from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import (
    DEFAULT_OUTPUT,
    CommaLists,
    JsonOption,
    ResultsArgument,
    SomeModelsOption,
    comma_list,
    joined,
)
from evalkit.scoring.policy import DEFAULT_POLICY
from evalkit.terminal import complain, show, show_json

if TYPE_CHECKING:
    from evalkit.analysis.results import Results
    from evalkit.corpora.document import Corpus


def losses_command(
    results: ResultsArgument = str(DEFAULT_OUTPUT),
    corpora: Annotated[
        CommaLists,
        typer.Option(
            "--corpora", help="Only these, by commas; also files of corpora that are not in the store."
        ),
    ] = None,
    models: SomeModelsOption = None,
    axes: Annotated[
        CommaLists,
        typer.Option(
            "--axes",
            help="Only these, by commas: kind, copies, nesting, script, document.",
            show_default="all",
        ),
    ] = None,
    policy: Annotated[
        str, typer.Option("--policy", help="Context policy of the language models.")
    ] = DEFAULT_POLICY,
    as_json: JsonOption = False,
) -> None:
    """Losses by kind of token, on bytes: words, names, numbers, delimiters, copies by distance, scripts.

    Of cells that were scored with --token-bits. The same bytes count for every model, whatever its tokenizer.
    """
    from evalkit.analysis.losses.axes import AXES
    from evalkit.analysis.losses.lines import losses_json, losses_lines
    from evalkit.analysis.losses.of_results import losses_of_results
    from evalkit.analysis.narrowing import narrowed
    from evalkit.analysis.results import read_results
    from evalkit.errors import unknown_name

    chosen_axes = comma_list(joined(axes)) or list(AXES)
    for axis in chosen_axes:
        if axis not in AXES:
            raise unknown_name("axis", axis, AXES, f"Known: {', '.join(AXES)}.")
    scored = read_results(results, warn=complain, with_limited=True)
    names, texts = _chosen(scored, comma_list(joined(corpora)))
    scored = narrowed(scored, names, comma_list(joined(models)), policy, str(results))
    parts = losses_of_results(scored, policy, texts, warn=complain)
    if as_json:
        show_json([losses_json(scored, part, chosen_axes) for part in parts])
        return
    for part in parts:
        for line in losses_lines(scored, part, chosen_axes):
            show(line)


def _chosen(results: "Results", names: list[str]) -> "tuple[list[str], list[Corpus]]":
    """The labels of the corpora that were named, and the texts of those that were named by a file."""
    from evalkit.analysis.manifests import as_scored
    from evalkit.corpora.store import load_corpora
    from evalkit.errors import UsageError

    labels: list[str] = []
    texts: list[Corpus] = []
    for name in names:
        matches = [corpus.label for corpus in results.corpora if name in (corpus.name, corpus.label)]
        if not matches:
            loaded = load_corpora([name])
            texts += loaded
            matches = [
                scored.label
                for scored in results.corpora
                if any(as_scored(corpus, scored.facts) is not None for corpus in loaded)
            ]
        if not matches:
            raise UsageError(f"--corpora {name}: no cell under {results.folder} is of this text")
        labels += matches
    return labels, texts
