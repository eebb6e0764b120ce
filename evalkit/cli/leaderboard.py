"""``evalkit leaderboard``: the steps of a refresh, each a command, and all of them as one."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import CommaLists, JsonOption, PolicyOption, names_or
from evalkit.cli.report import DocsOption
from evalkit.scoring.policy import DEFAULT_POLICY
from evalkit.terminal import complain, show, show_json

if TYPE_CHECKING:
    from evalkit.refresh.config import LeaderboardConfig, PublicationWindow
    from evalkit.refresh.corpora import GatedCorpus

app = typer.Typer(
    help="Refresh a leaderboard: crawl the last window, check, score, build the site.", no_args_is_help=True
)

_Config = Annotated[Path, typer.Option("--config", help="What the leaderboard is made of.")]
_Date = Annotated[
    str | None, typer.Option("--date", help="As of this day, YYYY-MM-DD.", show_default="today in UTC")
]
_Site = Annotated[Path, typer.Option("--output", "-o", help="Folder of the site; a site there is replaced.")]
_Hardware = Annotated[str, typer.Option("--hardware", help="cpu, gpu, or auto: gpu where there is one.")]
_DEFAULT = Path("leaderboard.toml")


@app.command("init")
def init_command(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the leaderboard; made where there is none.")
    ] = Path(),
    contact: Annotated[
        str | None,
        typer.Option(
            "--contact",
            help="E-mail or web address that crawled sites are told.",
            show_default="$EVALKIT_CONTACT; else it is asked for",
        ),
    ] = None,
) -> None:
    """Write a leaderboard.toml, a systemd service and timer, and a cron line; nothing is overwritten."""
    import os
    import sys

    from evalkit.errors import UsageError
    from evalkit.refresh.init import init

    contact = contact or os.environ.get("EVALKIT_CONTACT")
    if not contact:  # GitHub makes an unset variable empty
        if not sys.stdin.isatty():
            raise UsageError("say whom operators of crawled sites may write to: --contact, and your address")
        contact = typer.prompt("E-mail or web address that crawled sites are told", err=True)
    for path in init(folder, contact):
        show(str(path))
    show(f"Look through {folder / 'leaderboard.toml'}; the other files' first lines say how to start.")


@app.command("window")
def window_command(config: _Config = _DEFAULT, date: _Date = None) -> None:
    """Print the window, and the corpora that it has."""
    settings, window = _read(config, date)
    show(f"{window.since} to {window.until}")
    for source in settings.sources:
        for suffix in source.suffixes:
            show(window.corpus(source.source, suffix))


@app.command("crawl")
def crawl_command(config: _Config = _DEFAULT, date: _Date = None) -> None:
    """Crawl the window's corpora into the store, as far as they are not there."""
    from evalkit.refresh.corpora import crawl

    settings, window = _read(config, date)
    crawl(settings, window, tell=_tell)


@app.command("fetch")
def fetch_command(config: _Config = _DEFAULT) -> None:
    """Bring the published corpora that the store lacks into it, from the dataset that the file names."""
    from evalkit.refresh.config import read_config
    from evalkit.refresh.dataset import fetch

    settings = read_config(config)
    if settings.dataset is None:
        _tell(f"{config} names no dataset: nothing to fetch")
        return
    fetched = fetch(settings, tell=_tell)
    show(f"{len(fetched.whole)} corpora fetched, {len(fetched.partial)} in part")


@app.command("check")
def check_command(config: _Config = _DEFAULT, date: _Date = None) -> None:
    """Check the window's corpora against the previous window's. Exits with 1 if a gate is not passed."""
    from evalkit.refresh.corpora import gate

    gated = gate(*_read(config, date))
    _print_gates(gated)
    if not all(gated_corpus.passed for gated_corpus in gated):
        raise typer.Exit(1)


@app.command("publish")
def publish_command(config: _Config = _DEFAULT, date: _Date = None) -> None:
    """Keep manifest, profile and list of documents of the corpora that pass, and push them to the dataset.

    Texts are pushed where licenses allow it and the file names a dataset. Exits with 1 if one does not pass.
    """
    _publish(config, date)


def _publish(config: Path, date: str | None) -> None:
    from evalkit.errors import CorpusError, EvalkitError
    from evalkit.refresh.corpora import gate, publish
    from evalkit.refresh.dataset import push

    settings, window = _read(config, date)
    gated = gate(settings, window)
    _print_gates(gated)
    problems = []
    for keep in (lambda: publish(settings, gated, tell=show), lambda: push(settings, tell=show)):
        try:
            keep()
        except EvalkitError as error:  # what was published is pushed, whatever else could not be
            problems.append(str(error))
    refused = [gated_corpus.name for gated_corpus in gated if not gated_corpus.passed]
    if refused:
        problems.append(f"not published: {', '.join(refused)}; the gates that failed stand above")
    if problems:
        raise CorpusError("; ".join(problems))


@app.command("score")
def score_command(config: _Config = _DEFAULT, date: _Date = None, hardware: _Hardware = "auto") -> None:
    """Score the models on the window's published corpora, as far as that is not done yet."""
    import sys

    from evalkit.refresh.results import score
    from evalkit.runner.progress import reporter_for

    settings, window = _read(config, date)
    num_cells, num_scored = score(settings, window, hardware=hardware, reporter=reporter_for(sys.stderr))
    show(f"{num_cells} cells, {num_scored} of them scored now")


@app.command("backfill")
def backfill_command(
    models: Annotated[
        CommaLists, typer.Option("--model", "--models", help="Names or LOADER:TARGET, by commas.")
    ] = None,
    config: _Config = _DEFAULT,
) -> None:
    """Score models on every published corpus whose texts are in the store or the dataset."""
    import sys

    from evalkit.errors import UsageError
    from evalkit.refresh.config import read_config
    from evalkit.refresh.results import backfill
    from evalkit.refresh.unattended import only_refresh
    from evalkit.runner.progress import reporter_for

    names = names_or(models, ())
    if not names:
        raise UsageError("name at least one model: --model")
    settings = read_config(config)
    with only_refresh(settings):
        num_cells, num_scored = backfill(settings, names, tell=_tell, reporter=reporter_for(sys.stderr))
    show(f"{num_cells} cells, {num_scored} of them scored now")


@app.command("prune")
def prune_command(config: _Config = _DEFAULT) -> None:
    """Take the bits of tokens out of older windows' cells, as `token_bits_windows` of the file says."""
    from evalkit.refresh.config import read_config
    from evalkit.refresh.unattended import only_refresh

    settings = read_config(config)
    with only_refresh(settings):  # what others are about to count on is not taken out under their hands
        _prune(settings)


def _prune(settings: "LeaderboardConfig") -> None:
    from evalkit.refresh.token_bits import prune

    num_freed = prune(settings, tell=show, today=dt.datetime.now(dt.UTC).date())
    show(f"{num_freed / 1e6:,.1f} MB of token bits taken out")


@app.command("site")
def site_command(config: _Config = _DEFAULT, output: _Site = Path("site"), docs: DocsOption = None) -> None:
    """Build the site of all cells, with the plots."""
    from evalkit.refresh.config import read_config
    from evalkit.refresh.results import site

    drawn = site(read_config(config), output, docs=docs, tell=_tell)
    show(f"{output}/index.html; {len(drawn)} plots in {output}/plots: {', '.join(drawn)}")


@app.command("commit")
def commit_command(
    config: _Config = _DEFAULT,
    date: _Date = None,
    push: Annotated[bool, typer.Option("--push", help="Push it too, after the commits of others.")] = False,
) -> None:
    """Commit what is new in the results, and nothing else; CI is skipped for that commit."""
    from evalkit.refresh.results import commit

    settings, window = _read(config, date)
    commit(settings, f"Results of {window.since} to {window.until}", push=push, tell=_tell)


@app.command("months")
def months_command(
    config: _Config = _DEFAULT,
    policy: PolicyOption = DEFAULT_POLICY,
    as_json: JsonOption = False,
) -> None:
    """Chain the months by the anchors: how the texts drifted, and levels without the drift."""
    from evalkit.analysis.months import months_json, months_lines, read_months
    from evalkit.refresh.config import read_config
    from evalkit.refresh.results import scored_cells

    settings = read_config(config)
    months = read_months(scored_cells(settings), settings.anchors, policy=policy, warn=_tell)
    if as_json:
        show_json(months_json(months))
    else:
        for line in months_lines(months):
            show(line)


@app.command("refresh")
def refresh_command(
    config: _Config = _DEFAULT,
    date: _Date = None,
    hardware: _Hardware = "auto",
    output: _Site = Path("site"),
    docs: DocsOption = None,
    commit: Annotated[bool, typer.Option("--commit", help="Commit what is new in the results.")] = False,
    push: Annotated[bool, typer.Option("--push", help="Push that commit.")] = False,
) -> None:
    """Crawl, publish, score, build the site; what a source, gate or model stops, the others go on without.

    Exits with 1 if anything failed or another refresh is running; `notify` of the file is told of it.
    """
    from evalkit.errors import EvalkitError, UsageError
    from evalkit.refresh.results import check_hardware
    from evalkit.refresh.unattended import StepFailure, notify, only_refresh, run_steps

    if push and not commit:
        raise UsageError("--push pushes a commit: add --commit")
    check_hardware(hardware)
    date = date or dt.datetime.now(dt.UTC).date().isoformat()  # one window, also past midnight
    settings, window = _read(config, date)
    steps: dict[str, Callable[[], None]] = {}
    if settings.dataset is not None:
        steps["fetch"] = lambda: fetch_command(config)  # a crawl leaves out what earlier windows have
    steps |= {
        "crawl": lambda: crawl_command(config, date),
        "publish": lambda: _publish(config, date),
        "score": lambda: score_command(config, date, hardware),
        "prune": lambda: _prune(settings),
    }
    if commit:
        steps["commit"] = lambda: commit_command(config, date, push)
    steps["site"] = lambda: site_command(config, output, docs)
    try:
        with only_refresh(settings):
            failures = run_steps(steps, complain=complain)
    except EvalkitError as error:
        complain(str(error))
        failures = [StepFailure("lock", str(error))]
    if failures:
        notify(settings, window, failures, complain=complain)
        raise typer.Exit(1)


def _read(config: Path, date: str | None) -> "tuple[LeaderboardConfig, PublicationWindow]":
    from evalkit.dates import parse_day
    from evalkit.errors import UsageError
    from evalkit.refresh.config import last_window, read_config

    settings = read_config(config)
    try:
        today = parse_day(date) if date else dt.datetime.now(dt.UTC).date()
    except ValueError as error:
        raise UsageError(f"--date {date!r} is no day; write YYYY-MM-DD") from error
    return settings, last_window(settings, today)


def _print_gates(gated: "list[GatedCorpus]") -> None:
    from evalkit.refresh.corpora import gate_lines

    for line in gate_lines(gated):
        show(line)


def _tell(text: str) -> None:
    show(text, err=True)
