"""Results are read once, however much is made of them."""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evalkit.analysis.results import read_results
from evalkit.plots import draw_all
from evalkit.refresh.config import read_config
from evalkit.refresh.results import site
from evalkit.report import SiteOptions, build_site
from tests.support.stores import score_small_store
from tests.support.toys import ROOT

OPENED: list[Counter[str]] = []
"""Of who listens: how often each file was opened. Python's hooks cannot be taken away again."""


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and OPENED and isinstance(arguments[0], str | Path):
        OPENED[-1][str(Path(arguments[0]).absolute())] += 1


sys.addaudithook(_listen)


@pytest.fixture
def opened() -> Any:
    OPENED.append(Counter())
    yield OPENED[-1]
    OPENED.pop()


def jsons(folder: Path, opened: Counter[str]) -> dict[str, int]:
    return {str(path): opened[str(path)] for path in folder.rglob("*.json")}


def test_a_site_with_all_plots(tmp_path: Path, opened: Counter[str]) -> None:
    score_small_store(tmp_path / "runs")
    opened.clear()
    results = read_results(tmp_path / "runs", warn=lambda _: None)
    counts = jsons(tmp_path / "runs", opened)
    assert len(counts) == 21 and set(counts.values()) == {1}
    options = SiteOptions(figures=draw_all(results))
    assert {"parameters", "positions", "speed"} <= {figure.name for figure in options.figures}
    build_site(results, tmp_path / "site", options)
    # The one that is not of a whole corpus is looked at once more, as a benchmark that it might be.
    assert sorted(jsons(tmp_path / "runs", opened).values()) == [1] * 20 + [2]


def test_the_published_site(tmp_path: Path, opened: Counter[str]) -> None:
    config = read_config(ROOT / "leaderboard.toml")
    drawn = site(config, tmp_path / "site", tell=lambda _: None)
    assert {"parameters", "positions", "speed", "probe-lengths"} <= set(drawn)
    counts = jsons(ROOT / "results", opened)
    assert len(counts) > 90 and set(counts.values()) == {1}, [path for path in counts if counts[path] != 1]
