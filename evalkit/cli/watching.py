"""``evalkit run`` on corpora: once, or with ``--watch`` as checkpoints of a training appear."""

from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import CommaLists, comma_list, joined
from evalkit.errors import UsageError

if TYPE_CHECKING:
    from evalkit.runner.options import RunOptions
    from evalkit.runner.ranking import RunResult

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
    scoring: tuple[CommaLists, str, int | None, bool, int],
    watch_s: float | None,
    until: str | None,
    options: "RunOptions",
) -> "RunResult":
    """Score once, or with ``--watch`` as checkpoints appear.

    Args:
        models: specs, by commas; None: the defaults.
        scoring: the fields of `evalkit.runner.watch.Scoring`, corpora by commas.
        watch_s: seconds between two looks; None: do not wait.
        until: see `evalkit.runner.watch.parse_until`.
        options: of the run.
    """
    from evalkit.runner.corpora import run
    from evalkit.runner.watch import Scoring, Watch, parse_until, watch_run

    corpora, policy, limit, token_bits, prove = scoring
    request = Scoring(_names(corpora), policy, limit, token_bits, prove)
    if watch_s is not None:
        return watch_run(_names(models) or [], request, Watch(watch_s, parse_until(until)), options)
    return run(_names(models), **request._asdict(), options=options)


def _names(lists: CommaLists) -> list[str] | None:
    return None if lists is None else comma_list(joined(lists))
