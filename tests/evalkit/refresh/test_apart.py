"""What cannot be read or reached costs itself only; a new model is scored on what was published before."""

import datetime as dt
import shutil
from pathlib import Path

import pytest

from evalkit.corpora.store import make_corpus, make_document, save_corpus
from evalkit.errors import CorpusError, ScoringError, UsageError
from evalkit.refresh.config import LeaderboardConfig, PublicationWindow, last_window, read_config
from evalkit.refresh.corpora import gate, gate_lines, publish, published_names
from evalkit.refresh.results import backfill, score, scored_cells
from tests.support.leaderboard import CONFIG as SMALL_BOARD
from tests.support.toy_source import prose
from tests.support.toys import run_cli

CONFIG = f"{SMALL_BOARD}\n[gates]\nmax_length_distance = 1  # of twelve documents it says little\n"
OCTOBER, NOVEMBER = dt.date(2026, 10, 20), dt.date(2026, 11, 20)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LeaderboardConfig:
    """Of a leaderboard whose two sources were crawled in October and November."""
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "corpora"))
    monkeypatch.chdir(tmp_path)
    Path("leaderboard.toml").write_text(CONFIG)
    for name in ("toy-2026-10-01", "down-2026-10-01", "toy-2026-11-01", "down-2026-11-01"):
        documents = [make_document(prose(f"{name} {number}", 100), source="toy") for number in range(12)]
        save_corpus(make_corpus(name, documents, date_from=name[-10:], date_to=name[-10:]))
    return read_config(Path("leaderboard.toml"))


def with_models(*models: str) -> LeaderboardConfig:
    text = CONFIG.replace('always = ["xz", "zstd"]', f"always = {list(models)}")
    Path("leaderboard.toml").write_text(text)
    return read_config(Path("leaderboard.toml"))


def window(config: LeaderboardConfig, day: dt.date) -> PublicationWindow:
    return last_window(config, day)


def cells() -> list[str]:
    return sorted({"/".join(path.parts[-3:-1]) for path in Path("results/cells").glob("*/*/*.json")})


def test_a_corpus_that_cannot_be_read_costs_itself_only(config: LeaderboardConfig) -> None:
    publish(config, gate(config, window(config, OCTOBER)))
    Path("corpora/toy-2026-10-01/manifest.json").write_text("{")  # no longer to be compared with
    Path("corpora/down-2026-11-01/manifest.json").write_text("{")
    gated = gate(config, window(config, NOVEMBER))
    lines: list[str] = []
    assert [path.name for path in publish(config, gated, tell=lines.append)] == ["toy-2026-11-01"]
    assert any("not compared with toy-2026-10-01, which cannot be read" in line for line in lines)
    assert "down-2026-11-01: FAILED" in gate_lines(gated)
    with pytest.raises(ScoringError, match=r"toy-2026-10-01: manifest.json: it cannot be read"):
        score(config, window(config, OCTOBER), hardware="cpu")
    assert cells() == ["down-2026-10-01/xz", "down-2026-10-01/zstd"]


def test_a_profile_that_cannot_be_read_costs_its_source_only(config: LeaderboardConfig) -> None:
    publish(config, gate(config, window(config, OCTOBER)))
    Path("results/corpora/toy-2026-10-01/profile.json").write_text("{")
    november = window(config, NOVEMBER)
    publish(config, gate(config, november))
    assert published_names(config, november) == ["down-2026-11-01"]


def test_a_model_whose_file_is_gone_costs_itself_only(config: LeaderboardConfig) -> None:
    publish(config, gate(config, window(config, OCTOBER)))
    config = with_models("gguf:nowhere/model.gguf", "hf:elsewhere/step-*", "xz")
    with pytest.raises(ScoringError, match=r"nowhere.*elsewhere"):
        score(config, window(config, OCTOBER), hardware="cpu")
    assert cells() == ["down-2026-10-01/xz", "toy-2026-10-01/xz"]


def test_a_new_model_is_scored_on_every_published_window_that_is_at_hand(config: LeaderboardConfig) -> None:
    for day in (OCTOBER, NOVEMBER):
        publish(config, gate(config, window(config, day)))
    shutil.rmtree("corpora/down-2026-10-01")
    outcome = run_cli("leaderboard", "backfill", "--model", "brotli,ppmd", "--model", "zstd")
    assert outcome.exit_code == 0 and outcome.stdout == "9 cells, 9 of them scored now\n"
    assert "not in corpora, and so not scored: down-2026-10-01" in outcome.stderr.replace(
        str(Path.cwd()) + "/", ""
    )
    names = ("down-2026-11-01", "toy-2026-10-01", "toy-2026-11-01")
    assert cells() == [f"{name}/{model}" for name in names for model in ("brotli", "ppmd", "zstd")]
    assert backfill(config, ["zstd"], tell=lambda _: None) == (3, 0)
    with pytest.raises(UsageError, match="unknown model 'zsdt'"):
        backfill(config, ["zsdt"], tell=lambda _: None)
    shutil.rmtree("corpora")
    with pytest.raises(CorpusError, match=r"of the 4 corpora published .* none is in"):
        backfill(config, ["zstd"], tell=lambda _: None)
    with pytest.raises(UsageError, match="unknown model 'zsdt'"):  # before anything is fetched
        backfill(config, ["zsdt"], tell=lambda _: None)
    shutil.rmtree(config.results)
    with pytest.raises(CorpusError, match="no corpus was ever published in"):
        backfill(config, ["zstd"], tell=lambda _: None)
    with pytest.raises(UsageError, match="nothing was scored yet"):
        scored_cells(config)
    outcome = run_cli("leaderboard", "refresh", "--hardware", "tpu")
    assert outcome.exit_code == 2 and "unknown hardware 'tpu'" in outcome.stderr and not outcome.stdout
