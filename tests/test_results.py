"""The committed results: whole, of today's versions, and what README and the model cards say of them.

Of crawled corpora, which the scheduled refresh adds, only that the site can be built of them: their texts are
not here, so a new version of the scorer leaves their cells as they are.
"""

import json
import re
from pathlib import Path

import pytest

from evalkit import plots
from evalkit.bench.profile import ProfileRow, profile_table
from evalkit.bench.score import PeerRow, ScoreRow
from evalkit.bench.score_lines import machine_line, score_lines
from evalkit.bench.whole_model import ModelBench, bench_lines
from evalkit.cells.reading import read_cell_of
from evalkit.cells.schema import CorpusCell
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from evalkit.refresh.config import read_config
from evalkit.refresh.results import site
from evalkit.scoring.documents import SCORER_VERSION
from evalkit_tasks.training.cells import read_cells as read_probe_cells
from evalkit_tasks.training.spec import TRAINER_VERSION
from tests.support.opened_files import counted, jsons
from tests.support.toys import ROOT, run_cli

RESULTS = ROOT / "results"
README, PERFORMANCE, PROBES = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/performance.md", "docs/probes.md")
)


@pytest.fixture(scope="module")
def cells() -> dict[tuple[str, str], CorpusCell]:
    paths = [
        path
        for corpus in ("python-stdlib", "held-out-*")
        for path in (RESULTS / "cells").glob(f"{corpus}/*/*.json")
    ]
    by_names = {
        (cell.corpus.name, cell.model.name): cell
        for cell in (read_cell_of(CorpusCell, path) for path in paths)
    }
    assert len(by_names) == len(paths)
    return by_names


def test_cells_are_whole_and_of_this_version(cells: dict[tuple[str, str], CorpusCell]) -> None:
    corpora, models = ({key[place] for key in cells} for place in (0, 1))
    assert set(cells) == {(corpus, model) for corpus in corpora for model in models}
    assert {"rwkv7-nano", "hybrid-nano", "llama-nano", "xz", "zstd", "brotli", "ppmd"} == models
    assert {cell.scorer_version for cell in cells.values()} == {SCORER_VERSION}
    probes = read_probe_cells(RESULTS / "cells")
    assert {probe.trainer_version for probe in probes} == {TRAINER_VERSION}
    for cell in [*cells.values(), *probes]:
        assert cell.environment.git is not None and not cell.environment.git.dirty


@pytest.mark.parametrize("name", ["rwkv7-nano", "hybrid-nano", "llama-nano"])
def test_model_cards_say_what_the_cells_say(name: str, cells: dict[tuple[str, str], CorpusCell]) -> None:
    card = json.loads((ROOT / "evalkit" / "embedded" / name / "card.json").read_text(encoding="utf-8"))
    [located] = locate_models([name], LoadOptions(device="cpu"))
    assert {row["corpus"] for row in card["scores"]} == {corpus for corpus, model in cells if model == name}
    for row in card["scores"]:
        cell = cells[row["corpus"], name]
        assert row["corpus_sha256"] == cell.corpus.sha256
        for part in ("weights", "tokenizer", "config"):
            assert getattr(cell.model, f"{part}_sha256") == getattr(located.identity, f"{part}_sha256")
        for bound in ("", "_low", "_high"):
            assert row[f"bits_per_byte{bound}"] == getattr(cell.metrics, f"bits_per_byte{bound}")
        for rival, beside in row["beside"].items():
            assert beside["bits_per_byte"] == cells[row["corpus"], rival].bits_per_byte


def test_readme_and_the_pages_show_these_numbers(cells: dict[tuple[str, str], CorpusCell]) -> None:
    rows = re.findall(r"^ ?\d(†?)  ([\w-]+) +(\d\.\d{4}) ± (\d\.\d{4})(†?)  ", README, re.MULTILINE)
    assert len(rows) == 6
    for rank_mark, model, level, half_width, mark in rows:
        assert rank_mark == mark == ("†" if model.endswith("-nano") else "")
        metrics = cells["python-stdlib", model].metrics
        assert metrics.interval is not None
        assert level == f"{metrics.bits_per_byte:.4f}"
        assert half_width == f"{metrics.interval.half_width:.4f}"
    speeds = json.loads((RESULTS / "bench" / "rwkv7.json").read_text(encoding="utf-8"))
    del speeds["environment"]
    for line in bench_lines(ModelBench(**speeds)):
        assert f"\n{line}\n" in PERFORMANCE
    for path in sorted((RESULTS / "bench").glob("score*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        num_threads = content["rows"][0]["num_threads"]
        assert f"\n{machine_line(content['processor'], content['gemm_gflops'], num_threads)}\n" in PERFORMANCE
        for row in content["rows"]:
            peers = tuple(PeerRow(**peer) for peer in row["peers"])
            for line in score_lines(ScoreRow(**row | {"peers": peers})):
                assert f"\n{line}\n" in PERFORMANCE
    for path in (RESULTS / "bench").glob("profile*.json"):
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        for line in profile_table([ProfileRow(**row) for row in rows]):
            assert f"\n{line}\n" in PERFORMANCE
    shown = re.search(r"\n(task +model +layers.*?)```", PROBES, re.DOTALL)
    assert shown is not None
    printed = run_cli("probe", "table", str(RESULTS / "cells")).stdout
    for line in shown[1].splitlines():
        # The page leaves out the last columns.
        assert any(printed_line.startswith(line.rstrip()) for printed_line in printed.splitlines()), line


def test_the_committed_curve_is_drawn_from_these_cells() -> None:
    committed = RESULTS / "pictures" / "positions.svg"
    assert (
        plots.figure_bytes(plots.positions(RESULTS / "cells", corpora=["python-stdlib"]), ".svg")
        == committed.read_bytes()
    )
    for name in ("leaderboard.png", "explorer.png"):
        assert (RESULTS / "pictures" / name).read_bytes().startswith(b"\x89PNG")


def test_the_site_of_the_committed_results(tmp_path: Path, cells: dict[tuple[str, str], CorpusCell]) -> None:
    lines: list[str] = []
    with counted() as opened:
        drawn = site(read_config(ROOT / "leaderboard.toml"), tmp_path / "site", tell=lines.append)
    counts = jsons(RESULTS, opened)
    assert len(counts) > 190 and set(counts.values()) == {1}, [path for path in counts if counts[path] != 1]
    # No training run is committed, no cell of several contexts, no panel of documents from before.
    undrawn = {"curve", "context-gain", "cutoffs"} & set(plots.find_plots().plots)
    assert {line.split(":")[0] for line in lines if "texts are not at hand" not in line} == {
        f"no plot {name}" for name in undrawn
    }
    assert set(drawn) == set(plots.find_plots().plots) - undrawn
    for corpus in {corpus for corpus, _ in cells}:
        page = (tmp_path / "site" / "corpora" / f"{corpus}.html").read_text(encoding="utf-8")
        assert "Its manifest was not at hand" not in page
    assert (tmp_path / "site" / "explorer" / "python-stdlib.html").is_file()
    # Most of these months have one corpus alone, so that they are no windows: the board opens with all.
    board = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert board.count('<th scope="col" class="corpus">') == len({corpus for corpus, _ in cells})
    assert 'id="by-month"' not in board
