"""``evalkit run`` on corpora: once, or with ``--watch`` as checkpoints of a training appear."""

from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import CommaLists, comma_list, comma_numbers, joined
from evalkit.errors import UsageError
from evalkit.files import whole_number

if TYPE_CHECKING:
    from evalkit.corpora.store import Corpus
    from evalkit.runner.options import RunOptions
    from evalkit.runner.ranking import RunResult

CorporaRequest = tuple[CommaLists, str, int | None, bool, int, CommaLists]
"""What is asked of corpora: names, the policy, the limit, token bits, proofs, and lengths of contexts."""

WatchOption = Annotated[
    float | None,
    typer.Option("--watch", help="Wait for more checkpoints that match: the seconds between two looks."),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", help="End --watch when each run has this step, or when this file is there."),
]


def check_watch(watch_s: float | None, until: str | None, *, is_alone: bool) -> None:
    """Refuse a watch that would not be one.

    Args:
        watch_s: the value of ``--watch``.
        until: of ``--until``.
        is_alone: whether the other options go with a watch.

    Raises:
        UsageError: they do not, or there is an end and no watch.
    """
    if until is not None and watch_s is None:
        raise UsageError("--until says when --watch ends; give --watch SECONDS too")
    if watch_s is not None and not is_alone:
        raise UsageError("--watch goes without --tasks, --try-prefixes, --dry-run and --shard")


def run_corpora(
    models: CommaLists,
    scoring: CorporaRequest,
    watch_s: float | None,
    until: str | None,
    options: "RunOptions",
) -> "RunResult":
    """Score once, or with ``--watch`` as checkpoints appear.

    Args:
        models: specs, by commas; None: the defaults.
        scoring: what is asked.
        watch_s: seconds between two looks; None: do not wait.
        until: see `evalkit.runner.watch.parse_until`.
        options: of the run.
    """
    from evalkit.models.catalog import DUEL_MODELS
    from evalkit.runner.corpora import run

    corpora, policy, limit, token_bits, prove, length_lists = scoring
    lengths = context_lengths(length_lists)
    if lengths and watch_s is not None:
        raise UsageError("--watch goes without --context-gain")
    if lengths:
        cut = _cut_corpora(_names(corpora), lengths, limit)
        names = [*DUEL_MODELS] if models is None else _names(models)  # no compressor reads a context
        return run(names, cut, policy=policy, token_bits=token_bits, prove=prove, options=options)
    if watch_s is not None:
        from evalkit.runner.watch import Scoring, Watch, parse_until, watch_run

        request = Scoring(_names(corpora), policy, limit, token_bits, prove)
        return watch_run(_names(models) or [], request, Watch(watch_s, parse_until(until)), options)
    return run(
        _names(models),
        _names(corpora),
        policy=policy,
        limit=limit,
        token_bits=token_bits,
        prove=prove,
        options=options,
    )


def context_lengths(lists: CommaLists) -> tuple[int, ...]:
    """The lengths of ``--context-gain``, in bytes; ``k`` and ``M`` are 1,024 and its square.

    Raises:
        UsageError: one is no length.
    """
    units = {"k": 1 << 10, "m": 1 << 20}
    words = [word.lower() for word in comma_list(joined(lists))]
    numbers = [
        str(number * units[word[-1]])
        if word[-1] in units and (number := whole_number(word[:-1])) is not None
        else word
        for word in words
    ]
    return comma_numbers("--context-gain", ",".join(numbers), least=0) if numbers else ()


def _cut_corpora(
    corpus_names: list[str] | None, lengths: tuple[int, ...], limit: int | None
) -> "list[Corpus]":
    """Each corpus, limited first, behind contexts of several lengths."""
    from evalkit.corpora.context_gain import cut_contexts
    from evalkit.corpora.document import check_limit
    from evalkit.corpora.store import load_corpora
    from evalkit.runner.corpora import DEFAULT_CORPORA

    check_limit(limit)
    whole = load_corpora(DEFAULT_CORPORA if corpus_names is None else corpus_names)
    parts = [corpus if limit is None else corpus.limited(limit) for corpus in whole]
    return [part for corpus in parts for part in cut_contexts(corpus, lengths)]


def _names(lists: CommaLists) -> list[str] | None:
    return None if lists is None else comma_list(joined(lists))
