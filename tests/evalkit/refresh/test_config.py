"""What leaderboard.toml may say, and which window a day means."""

import dataclasses
import datetime as dt
from pathlib import Path

import pytest

from evalkit.corpora.gates import PROFILE_FILE
from evalkit.errors import UsageError
from evalkit.refresh.config import last_window, read_config
from evalkit.refresh.token_bits import without_token_bits
from tests.support.leaderboard import CONFIG
from tests.support.toys import ROOT


@pytest.mark.parametrize(
    ("today", "kind", "since", "until"),
    [
        ("2026-11-18", "half-month", "2026-11-01", "2026-11-15"),
        ("2026-11-17", "half-month", "2026-10-16", "2026-10-31"),  # the half-month ended too recently
        ("2026-11-03", "half-month", "2026-10-16", "2026-10-31"),
        ("2026-03-03", "half-month", "2026-02-16", "2026-02-28"),
        ("2026-01-03", "half-month", "2025-12-16", "2025-12-31"),
        ("2026-01-02", "month", "2025-11-01", "2025-11-30"),
        ("2026-01-03", "month", "2025-12-01", "2025-12-31"),
    ],
)
def test_the_last_window(today: str, kind: str, since: str, until: str, tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.toml"
    path.write_text(CONFIG.replace("half-month", kind))
    window = last_window(read_config(path), dt.date.fromisoformat(today))
    assert (window.since.isoformat(), window.until.isoformat()) == (since, until)


def test_nothing_is_taken_out_of_a_board_whose_file_does_not_say_so(tmp_path: Path) -> None:
    (tmp_path / "leaderboard.toml").write_text(CONFIG)
    config = dataclasses.replace(read_config(tmp_path / "leaderboard.toml"), token_bits=True)
    for name in ("toy-2026-01-01", "toy-2026-01-16"):
        (config.corpora_folder / name).mkdir(parents=True)
        (config.corpora_folder / name / PROFILE_FILE).write_text("{}")
    kept_by_default = without_token_bits(config)
    newest_only = without_token_bits(dataclasses.replace(config, token_bits_windows=1))
    assert (kept_by_default, newest_only) == (frozenset(), {"toy-2026-01-01", "toy-2026-01-01-partial"})


def test_the_projects_own_leaderboard_names_models_that_exist() -> None:
    from evalkit.models.catalog import load_catalog

    config = read_config(ROOT / "leaderboard.toml")
    catalog = load_catalog()
    assert {*config.models, *config.gpu_models, *config.anchors} <= set(catalog)
    assert set(config.anchors) <= set(config.models)  # scored on every window, GPU or not


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("title", "titel"), "Did you mean title"),
        (('window = "half-month"', 'window = "week"'), "unknown window 'week'"),
        (('always = ["xz", "zstd"]', ""), "at least one model"),
        (('source = "down"', 'source = "toy"'), "two sources are called toy"),
        (("delay_days = 2", "delay_days = true"), "delay_days must be a whole number, not True"),
        (("delay_days = 2", "delay_days = 99999999"), "delay_days must be from 0 to 366"),
        (("delay_days = 2", 'policies = ["documnt"]'), "unknown policy 'documnt'. Did you mean document"),
        (("[models]", "[gates]\nmax_overlap = 1\n[models]"), "Did you mean max_overlap_rate"),
        (("[models]", "[models"), "is not TOML"),
        (("delay_days = 2", "dataset = 'me'"), "leaderboard.toml: dataset 'me' is not the name of a dataset"),
        (("delay_days = 2", "token_bits_windows = -1"), "token_bits_windows must be 0, for all, or"),
        (
            ('source = "down"', 'source = "down"\ncorpora = ["cs", "cs"]'),
            "each once: cs, cs",
        ),
        (('source = "down"', 'source = "down"\ncorpora = ["a/b"]'), "corpora of down must be names"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(change: tuple[str, str], says: str, tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.toml"
    path.write_text(CONFIG.replace(*change))
    with pytest.raises(UsageError, match=says):
        read_config(path)
