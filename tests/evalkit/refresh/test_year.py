"""A year of refreshes with what goes wrong in one: each failure costs itself, and the site has the rest."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from evalkit.analysis.results import Results, read_results
from evalkit.report import SiteOptions, build_site
from tests.support import year
from tests.support.toys import PATIENCE_S, ROOT

BACKFILLED = set(year.BACKFILLED)


class Year(NamedTuple):
    """What became of it."""

    results: Results
    outcomes: dict[tuple[int, str], tuple[int, str, str]]
    """By window and command: exit code, output and what was said."""


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    folder = tmp_path_factory.mktemp("year")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.year", str(folder), "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = map(json.loads, done.stdout.splitlines())
    outcomes = {(window, arguments[0]): tuple(outcome) for window, arguments, outcome in steps}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVALKIT_CORPORA", str(folder / "corpora"))
        yield Year(read_results(folder / "results" / "cells", warn=pytest.fail), outcomes)


def test_each_failure_costs_itself(board: Year) -> None:
    code, _, said = board.outcomes[year.DOWN[0], "crawl"]
    assert code == 1 and "not crawled: down (exit code 1)" in said
    assert board.outcomes[year.KILLED, "refresh"][0] == -9
    code, _, said = board.outcomes[year.KILLED, "score"]
    assert "1 of 3 cells done, 2 to score" in said  # what was finished when it was killed is not scored again
    for command in ("refresh", "prune"):
        code, _, said = board.outcomes[year.LOCKED, command]
        assert code == 1 and "another refresh of results is running" in said
    scored = [outcome for (_, command), outcome in board.outcomes.items() if command == "score"]
    assert len(scored) == 6
    for code, _, said in scored:
        assert code == 1 and said.splitlines()[-1].startswith("evalkit: ")
        assert "cells failed, the first is year:gated on " in said.splitlines()[-1]
        assert "unexpected" not in said and "Traceback" not in said
    published = [out for (_, command), (code, out, _) in board.outcomes.items() if command == "publish"]
    assert "FAILED" not in "".join(published)
    assert board.outcomes[len(year.DAYS), "backfill"][0] == 0


def test_every_window_has_every_model_that_can_be_scored(board: Year) -> None:
    names = [corpus.name for corpus in board.results.corpora]
    assert [sum(name.startswith(source) for name in names) for source in ("toy", "down")] == [24, 5]
    models = [row.model for row in board.results.configurations]
    scored = {corpus.name: {models[index] for index in corpus.cells} for corpus in board.results.corpora}
    late = {"toy-2026-11-16", "toy-2026-12-01"}
    assert late < set(names)
    for name in names:  # also those of the source's windows on whose days it was down
        assert scored[name] == BACKFILLED | (set(year.NOT_BACKFILLED) if name in late else set())


def test_the_newest_windows_keep_token_bits_and_pages_say_which_do_not(board: Year, tmp_path: Path) -> None:
    tokens = {
        corpus.name: {cell.model.name for cell in corpus.cells.values() if cell.documents.token_bits}
        for corpus in board.results.corpora
    }
    removed = {
        corpus.name
        for corpus in board.results.corpora
        if any(cell.documents.token_bits_removed for cell in corpus.cells.values())
    }
    counted = {name for name in BACKFILLED if name.startswith("year:")}
    names = sorted(name for name in tokens if name.startswith("toy"))
    assert all(counted <= tokens[name] for name in names[-year.NUM_WITH_TOKENS :])
    assert not any(tokens[name] for name in names[: -year.NUM_WITH_TOKENS])
    assert "toy-2025-12-16" in removed and "toy-2026-12-01" not in removed

    built = build_site(board.results, tmp_path / "site", SiteOptions(num_explorer_documents=1))
    assert (built.num_cells, built.num_models, built.num_explored) == (29 * 4 + 2 * 7, 11, 6 + 5)
    page = (tmp_path / "site" / "corpora" / "toy-2025-12-16.html").read_text(encoding="utf-8")
    assert "The bits of tokens of 1 model were taken out" in page and "not in the explorer any more" in page
    explorer = (tmp_path / "site" / "explorer.html").read_text(encoding="utf-8")
    assert "taken out to save room" in explorer and 'href="corpora/toy-2025-12-16.html"' in explorer
    assert "toy-2026-12-01" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
