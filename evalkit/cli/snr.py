"""``evalkit snr``: signal and noise of training runs."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.curve import RunsOption
from evalkit.cli.estimates import interval_text
from evalkit.cli.parsing import (
    DEFAULT_OUTPUT,
    JsonOption,
    PolicyOption,
    ResultsArgument,
    SomeCorporaOption,
    comma_list,
    joined,
)
from evalkit.scoring.policy import DEFAULT_POLICY
from evalkit.terminal import complain, print_table, show, show_json

if TYPE_CHECKING:
    from evalkit.analysis.signal_to_noise import CorpusSignal, RecipePair

_FEWEST_RANKS = 8
"""`make simulations` finds that intervals of eight and sixteen hold what they say, and those of four more."""


def snr_command(
    results: ResultsArgument = str(DEFAULT_OUTPUT),
    corpora: SomeCorporaOption = None,
    runs: RunsOption = None,
    policy: PolicyOption = DEFAULT_POLICY,
    last: Annotated[int, typer.Option("--last", help="Final checkpoints of a run.", min=1)] = 5,
    as_json: JsonOption = False,
) -> None:
    """Show what corpora tell apart: noise of final checkpoints and seeds, signal between recipes, and ranks.

    For neighbors in rank also how many documents more it would take to tell them apart.
    """
    from evalkit.analysis.results import read_results
    from evalkit.analysis.signal_to_noise import SignalOptions, signals

    options = SignalOptions(policy, comma_list(joined(corpora)), comma_list(joined(runs)), last)
    rows = signals(read_results(results, warn=complain, with_limited=True), options, warn=complain)
    if as_json:
        show_json({"policy": policy, "last": last, "corpora": [row.to_json() for row in rows]})
        return
    _print_corpora(rows)
    for row in rows:
        _print_recipes(row)
    if any(1 < len(row.recipes) < _FEWEST_RANKS for row in rows):
        show(
            f"ranks of fewer than {_FEWEST_RANKS} recipes: few whole numbers make intervals wide; those "
            "of four held the true rank in up to 99 of 100 simulated cases"
        )


def _print_corpora(rows: "list[CorpusSignal]") -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("corpus", no_wrap=True)
    headings = ("documents", "noise", "seed noise", "signal", "signal/noise", "MDE, documents", "MDE, in all")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        numbers = (row.noise, row.seed_noise, row.signal)
        table.add_row(
            row.corpus,
            f"{row.num_documents:,}",
            *map(_number, numbers),
            "–" if row.ratio is None else f"{row.ratio:.1f}",
            _number(row.detectable_by_documents),
            _number(row.detectable),
        )
    print_table(table, sys.stdout)
    show("bits per byte; MDE: the true difference that is found in 80 % of cases, for the median pair")


def _print_recipes(row: "CorpusSignal") -> None:
    from rich.table import Table

    show("")
    table = Table(title=row.corpus, title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("ranks", justify="right")
    table.add_column("recipe", no_wrap=True)
    for heading in ("seeds", "bits per byte", "95 %", "minus the next", "95 %", "to tell them apart"):
        table.add_column(heading, justify="right", no_wrap=True)
    pairs: list[RecipePair | None] = [*row.pairs, *[None] * (len(row.recipes) - len(row.pairs))]
    for recipe, pair in zip(row.recipes, pairs, strict=True):
        ranks, beside = recipe.ranks, ("", "", "")
        if pair is not None:
            beside = (f"{pair.difference.value:+.4f}", interval_text(pair.difference, "+"), _more(pair))
        table.add_row(
            str(ranks.low) if ranks.low == ranks.high else f"{ranks.low}–{ranks.high}",
            recipe.recipe,
            str(recipe.num_seeds),
            f"{recipe.level.value:.4f}",
            interval_text(recipe.level),
            *beside,
        )
    print_table(table, sys.stdout)


def _more(pair: "RecipePair") -> str:
    if pair.num_documents_more is None:
        return "more seeds"
    return f"{pair.num_documents_more:,} documents more" if pair.num_documents_more else "enough"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
