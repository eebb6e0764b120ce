"""A year of a leaderboard: 24 windows, two sources, 12 models and what goes wrong in a year, all made up.

``python -m tests.support.year FOLDER`` refreshes it window by window, to look at; ``--quick``, for tests,
runs the steps of a refresh but the site, and leaves some windows to the backfill. A year that was cut short
goes on with the window that it was in. Texts are in the store when
a refresh looks for them, but where a source is down. What commands said is printed, a line of JSON each.
"""

import argparse
import contextlib
import datetime as dt
import gc
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.corpora.store import make_corpus, make_document, save_corpus
from evalkit.errors import ModelError
from evalkit.locks import path_lock
from evalkit.models.catalog import CatalogEntry
from evalkit.models.loading import LoadOptions
from evalkit.models.protocol import ModelIdentity
from evalkit.refresh.config import LeaderboardConfig, last_window, read_config
from tests.support.leaderboard import SOURCES
from tests.support.local_hub import serve
from tests.support.stores import Counted
from tests.support.toy_source import prose
from tests.support.toys import ROOT, Outcome, run_cli

DAYS = [dt.date(2026, month, day) for month in range(1, 13) for day in (3, 18)]
"""On each a window has just been over: the last half of December 2025 to the first half of December 2026."""
SOURCES_OF_TEXT = ("toy", "down")
DOWN = (5, 6)
"""Windows for which one of the sources is down on the day itself."""
LATE = 22
"""The window from which on most models are scored; two of them on all earlier ones afterwards."""
KILLED, LOCKED = 8, 10
NUM_DOCUMENTS = 5
NUM_WITH_TOKENS = 6
EARLY_MODELS = ("xz", "year:a1")
GATED = "hf:gated/model"
"""In place of which the tests have one of the same message, for which nothing heavy is imported."""
BACKFILLED = (*EARLY_MODELS, "brotli", "year:b22")
NOT_BACKFILLED = ("zstd", "ppmd", *(f"year:{name}" for name in ("c333", "d4", "e5", "f66", "g1")))
CONFIG = """
title = "A synthetic year"
token_bits = true
token_bits_windows = {num_windows}

[models]
always = {models}
anchors = ["xz", "year:a1"]

[[sources]]
source = "toy"

[[sources]]
source = "down"

[gates]
min_documents = 4
max_length_distance = 1
max_median_length_ratio = 10
"""


def _model(target: str) -> Counted:
    """Counts of bytes in the more prose the later in the alphabet; one kills its process where it is to."""
    size = 1 + ord(target[0]) - ord("a")
    cutoff = f"2025-{1 + (ord(target[0]) - ord('a')) % 12:02}"
    text = prose(f"read by {target}", 10 * size)
    return Counted(f"year:{target}", text, 1 + len(target), knowledge_cutoff=cutoff)


def identify(entry: CatalogEntry, options: LoadOptions) -> ModelIdentity:
    if entry.target == "gated":
        raise ModelError("gated/model is gated: accept its licence and set HF_TOKEN")
    return _model(entry.target).identity


class _Mortal(Counted):
    def nats(self, sequences: Any, *, contexts: Any = None) -> list[Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def load(entry: CatalogEntry, options: LoadOptions) -> Any:
    model = _model(entry.target)
    if os.environ.get("YEAR_KILLS") == entry.target:
        model.__class__ = _Mortal
    return model


class Step(NamedTuple):
    """A command, and what became of it."""

    window: int
    """Of `DAYS`; 24 for what is done when the year is over."""
    arguments: tuple[str, ...]
    outcome: Outcome


def write_config(models: list[str]) -> LeaderboardConfig:
    text = CONFIG.replace("{models}", json.dumps(models)).replace("{num_windows}", str(NUM_WITH_TOKENS))
    Path("leaderboard.toml").write_text(text)
    return read_config(Path("leaderboard.toml"))


def store_texts(config: LeaderboardConfig, day: dt.date, sources: tuple[str, ...]) -> None:
    """What the sources published in the window, whose texts drift from the first month to the last."""
    window = last_window(config, day)
    for source in sources:
        documents = [
            make_document(
                prose(f"{source} {window.since} {number}", 60)
                + f" {window.since:%B} {number}." * window.since.month,
                id=f"{source}-{window.since}-{number}",
                source=source,
                license="CC-BY-4.0",
                language="en",
                published_at=window.since.isoformat(),
                title=f"{source} of {window.since}, number {number}",
                url=f"https://e.org/{source}/{window.since}/{number}",
                cluster=f"site {number % 5}",
            )
            for number in range(NUM_DOCUMENTS)
        ]
        days = {"date_from": window.since.isoformat(), "date_to": window.until.isoformat()}
        save_corpus(make_corpus(window.corpus(source), documents, **days))


def steps_of_year(*, quick: bool, first_window: int = 0) -> Iterator[Step]:
    """The commands of a year from a window on, in the folder that this is called in."""

    def step(window: int, *arguments: str) -> Step:
        return Step(window, arguments, run_cli("leaderboard", *arguments))

    for window, day in enumerate(DAYS):
        late = (*BACKFILLED[2:], *NOT_BACKFILLED) if window >= LATE else ()
        config = write_config([*EARLY_MODELS, "year:gated" if quick else GATED, *late])
        if window < first_window:
            continue
        both = window not in DOWN and not (quick and abs(window - DOWN[0]) > 2)
        store_texts(config, day, SOURCES_OF_TEXT[: 1 + both])
        date = ("--date", day.isoformat())
        refresh = ("refresh", *date, "--hardware", "cpu")
        if window == KILLED:
            yield Step(window, refresh, killed(refresh))
        if window == LOCKED:
            with path_lock(config.corpora_folder):
                yield step(window, *refresh)
                yield step(window, "prune")
        if not quick:
            yield step(window, *refresh)
            continue
        if window == DOWN[0]:
            yield step(window, "crawl", *date)
        yield step(window, "publish", *date)
        if window in (0, DOWN[0], KILLED, LOCKED) or window >= LATE:
            yield step(window, "score", *date, "--hardware", "cpu")
        if window >= LATE:
            yield step(window, "prune")
    for window in DOWN:  # the source is up again
        store_texts(config, DAYS[window], SOURCES_OF_TEXT)
        yield step(len(DAYS), "publish", "--date", DAYS[window].isoformat())
    yield step(len(DAYS), "backfill", "--model", ",".join(BACKFILLED))
    yield step(len(DAYS), "prune")
    if not quick:
        yield step(len(DAYS), "site")


def killed(arguments: tuple[str, ...]) -> Outcome:
    """What becomes of a command whose process is killed at the first document that one model scores."""
    child = os.fork()
    if child == 0:
        os.environ["YEAR_KILLS"] = "a1"
        with contextlib.redirect_stderr(None):
            run_cli("leaderboard", *arguments)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return Outcome(-os.WTERMSIG(status), "", "")


@contextlib.contextmanager
def sources_installed(folder: Path) -> Iterator[None]:
    """The sources, which crawls find, and the loader of the models, in this process and those it starts."""
    import sys

    plugin = folder / "plugin"
    info = plugin / "year_of_tests-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: year-of-tests\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[evalkit.crawlers]\ntoy = year_sources:toy\ndown = year_sources:down\n"
        "[evalkit.loaders]\nyear = tests.support.year\n"
    )
    (plugin / "year_sources.py").write_text(SOURCES)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(plugin), str(ROOT)])
    sys.path.insert(0, str(plugin))
    try:
        yield
    finally:
        sys.path.remove(str(plugin))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    with (
        serve({"gated/model": {"config.json": b"{}", "model.safetensors": b"0"}}) as hub,
        sources_installed(folder),
    ):
        # Before anything imports the hub's client, which reads them then.
        os.environ |= {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "hub")}
        os.environ["EVALKIT_CORPORA"] = str(folder / "corpora")
        reached = Path("window.txt")
        first_window = int(reached.read_text()) if reached.exists() else 0
        for step in steps_of_year(quick=options.quick, first_window=first_window):
            print(json.dumps(step), flush=True)
            reached.write_text(str(step.window))  # of which there may be more
            gc.freeze()  # what was imported is looked through for garbage after every model
        Path("finished").touch()


if __name__ == "__main__":
    main()
