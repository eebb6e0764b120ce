"""What is made of the published corpora: cells, the site of all cells, and a commit of what is new."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from evalkit.cells.partial import PARTIAL_SUFFIX
from evalkit.corpora.names import PARTIAL_ENDING
from evalkit.corpora.store import Corpus, list_corpora, load_corpus, store_folder
from evalkit.errors import (
    CorpusError,
    EvalkitError,
    ModelError,
    ScoringError,
    UsageError,
    one_line,
    unknown_name,
)
from evalkit.files import TEMPORARY_SUFFIX, sweep
from evalkit.locks import LOCK_NAME
from evalkit.refresh.config import LeaderboardConfig, PublicationWindow
from evalkit.refresh.corpora import check_models, published_names
from evalkit.refresh.dataset import all_published, fetch, published
from evalkit.refresh.token_bits import without_token_bits
from evalkit.runner.claims import CLAIM_SUFFIX
from evalkit.runner.journal import RUN_SUFFIX
from evalkit.runner.options import RunOptions
from evalkit.runner.reporter import Reporter, Silent

HARDWARE = ("auto", "cpu", "gpu")
_UNFINISHED = (
    *(f":(exclude)*{TEMPORARY_SUFFIX}{inside}" for inside in ("", "/*")),
    f":(exclude)*{PARTIAL_SUFFIX}/*",
    f":(exclude)*{CLAIM_SUFFIX}",
    f":(exclude)*{RUN_SUFFIX}",
    f":(exclude)*{LOCK_NAME}",
    ":(exclude,glob)**/.*.????????.tmp",  # of versions before December 2026
)
"""What git is not to look at: files that others are writing, or had begun when they were killed."""


def score(
    config: LeaderboardConfig,
    window: PublicationWindow,
    *,
    hardware: str = "auto",
    reporter: Reporter | None = None,
) -> tuple[int, int]:
    """Score the window's published corpora, as far as that is not done yet.

    Args:
        config: which models, which policies.
        window: of the corpora.
        hardware: ``gpu``, ``cpu``, or ``auto``: ``gpu`` where torch sees one.
        reporter: who is told of the cells; None: nobody.

    Returns:
        How many cells there are, and how many of these were scored now.

    Raises:
        UsageError: ``hardware`` is unknown.
        CorpusError: nothing was published.
        ScoringError: a cell failed; the others are kept.
    """
    names = published_names(config, window)
    if not names:
        raise CorpusError(
            f"no corpus of {window.since} to {window.until} was published in {config.corpora_folder}; "
            "`evalkit leaderboard publish` publishes those that pass the gates"
        )
    models = config.models + (config.gpu_models if _on_gpu(hardware) else ())
    corpora, problems = _readable(names)
    return _score(config, models, corpora, problems, reporter)


def backfill(
    config: LeaderboardConfig,
    models: Sequence[str],
    *,
    tell: Callable[[str], None],
    reporter: Reporter | None = None,
) -> tuple[int, int]:
    """Score models on every corpus that was ever published, as far as its texts are at hand.

    Texts that are not in the store are fetched from the dataset repository, where the file names one. Of a
    corpus whose texts may be published in part only these documents are scored, as ``NAME-partial``.

    Args:
        config: which policies.
        models: names; they need not be in the file.
        tell: told of what was fetched, and of the corpora and documents whose texts are not in the store.
        reporter: who is told of the cells; None: nobody.

    Returns:
        How many cells there are, and how many of these were scored now.

    Raises:
        UsageError: a model is unknown.
        CorpusError: nothing was published, or no published corpus is in the store.
        ScoringError: a cell failed; the others are kept.
    """
    check_models(models, tell)
    names, fetch_problems = all_published(config), []
    if not names:
        raise CorpusError(
            f"no corpus was ever published in {config.corpora_folder}; `evalkit leaderboard publish` "
            "publishes those that pass the gates"
        )
    try:
        fetch(config, tell=tell)
    except EvalkitError as error:  # of what is here the model is scored all the same
        fetch_problems.append(str(error))
        tell(str(error))
    stored_names = set(list_corpora())
    at_hand = {
        name: next((part for part in (name, f"{name}{PARTIAL_ENDING}") if part in stored_names), None)
        for name in names
    }
    absent = [name for name, part in at_hand.items() if part is None]
    if absent:
        tell(f"not in {store_folder()}, and so not scored: {', '.join(absent)}")
    if len(absent) == len(names):
        raise CorpusError(
            f"of the {len(names)} corpora published in {config.corpora_folder} none is in {store_folder()}; "
            "say with $EVALKIT_CORPORA where their texts are, or with dataset in leaderboard.toml"
        )
    corpora, problems = _readable([name for name in at_hand.values() if name is not None])
    for corpus in corpora:
        if corpus.name.endswith(PARTIAL_ENDING):
            whole = published(config, corpus.name.removesuffix(PARTIAL_ENDING))
            tell(
                f"{whole.name}: scored on {len(corpus.documents)} of {whole.num_documents} documents, those "
                "whose texts are at hand; no aggregate counts these cells"
            )
    return _score(config, models, corpora, [*fetch_problems, *problems], reporter)


def _readable(names: Sequence[str]) -> tuple[list[Corpus], list[str]]:
    """The corpora of the store that can be read, and what is wrong with the others."""
    corpora, problems = [], []
    for name in names:
        try:
            corpora.append(load_corpus(name))
        except EvalkitError as error:
            problems.append(str(error))
    return corpora, problems


def _score(
    config: LeaderboardConfig,
    models: Sequence[str],
    corpora: Sequence[Corpus],
    problems: Sequence[str],
    reporter: Reporter | None,
) -> tuple[int, int]:
    """Numbers of cells and of those scored now; what failed is told at the end, problems before included."""
    from evalkit.models.loading import LocatedModel, locate_models
    from evalkit.runner.corpora import run

    options = RunOptions(output=config.cells_folder, reporter=reporter or Silent())
    problems, results = list(problems), []
    models = list(dict.fromkeys(models))
    located: list[LocatedModel] = []
    try:
        located = locate_models(models, options.load_options)
    except ModelError:  # of one, as a file that is not there, it costs that one only
        reachable = []
        for model in models:
            try:
                locate_models([model], options.load_options)
                reachable.append(model)
            except ModelError as error:
                problems.append(str(error))
        located = locate_models(reachable, options.load_options) if reachable else []
    bare = without_token_bits(config)
    parts = [
        (token_bits, chosen)
        for token_bits in (True, False)
        if (chosen := [corpus for corpus in corpora if (corpus.name not in bare) is token_bits])
    ]
    for policy in config.policies if located else ():
        for token_bits, chosen in parts:
            try:
                results.append(run(located, chosen, policy=policy, token_bits=token_bits, options=options))
            except EvalkitError as error:
                problems.append(f"policy {policy}: {error}")
    failures = [failure for result in results for failure in result.failures]
    if failures:
        first = failures[0]
        problems.insert(
            0,
            f"{len(failures)} cells failed, the first is {first.model} on {first.subject}: {first.reason}",
        )
    if problems:
        raise ScoringError("; ".join(problems))
    return sum(len(result.cells) for result in results), sum(result.num_scored for result in results)


def check_hardware(hardware: str) -> None:
    """Raise `UsageError` for what is not in `HARDWARE`."""
    if hardware not in HARDWARE:
        raise unknown_name("hardware", hardware, HARDWARE, f"Known: {', '.join(HARDWARE)}.")


def _on_gpu(hardware: str) -> bool:
    check_hardware(hardware)
    if hardware != "auto":
        return hardware == "gpu"
    import torch

    return torch.cuda.is_available()


def scored_cells(config: LeaderboardConfig) -> Path:
    """The folder of the cells.

    Raises:
        UsageError: there is none.
    """
    if not config.cells_folder.is_dir():
        raise UsageError(
            f"{config.cells_folder}: no such folder, for nothing was scored yet; that is what "
            "`evalkit leaderboard score` does"
        )
    return config.cells_folder


def site(
    config: LeaderboardConfig, output: Path, *, docs: str | None = None, tell: Callable[[str], None]
) -> list[str]:
    """Build the site of all cells, and the plots that the cells allow; returns these plots' names.

    Args:
        config: what the leaderboard is made of.
        output: the site's folder; a site there is replaced.
        docs: see `evalkit.report.SiteOptions`.
        tell: told of what is left out.

    Raises:
        UsageError: there are no cells, or ``output`` holds something else than a site.
    """
    from evalkit.analysis.current import with_current_records
    from evalkit.analysis.results import read_results
    from evalkit.plots import draw_all
    from evalkit.report import SiteOptions, build_site, check_output, docs_files

    cells = scored_cells(config)
    check_output(output, cells)
    docs_files(docs)
    results = with_current_records(read_results(cells, warn=tell), (), warn=tell)
    figures = draw_all(results, benchmarks=config.results, anchors=config.anchors, tell=tell)
    options = SiteOptions(title=config.title, figures=figures, docs=docs, address=config.address)
    build_site(results, output, options, warn=tell)
    return [figure.name for figure in figures]


def commit(config: LeaderboardConfig, message: str, *, push: bool, tell: Callable[[str], None]) -> bool:
    """Commit what changed under the results, and nothing else; returns whether something had.

    What killed writers left is removed, and nothing unfinished is committed.

    Raises:
        UsageError: there are no results.
        ScoringError: git refuses, or is not installed.
    """
    folder = config.results.resolve()
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder, so there are no results to commit; score first")
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            sweep(path)
    _git(folder, "add", "--all", "--", ".", *_UNFINISHED)
    is_new = bool(_git(folder, "status", "--porcelain", "--untracked-files=no", "--", "."))
    if is_new:
        _git(folder, "commit", "--quiet", "--message", f"{message} [skip ci]", "--", ".")
        tell(_git(folder, "log", "-1", "--format=%h %s"))
    else:
        tell("nothing new in the results")
    if push:  # also what an earlier push could not
        # Somebody may have pushed while this was scoring.
        _git(folder, "pull", "--quiet", "--rebase")
        _git(folder, "push", "--quiet")
    return is_new


def _git(folder: Path, *arguments: str) -> str:
    try:
        process = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ScoringError(
            f"cannot run git ({error.strerror}); install it, or commit {folder} by hand"
        ) from error
    if process.returncode:
        complaint = one_line(process.stderr or process.stdout)
        raise ScoringError(f"git {arguments[0]} in {folder} failed: {complaint}")
    return process.stdout.strip()
