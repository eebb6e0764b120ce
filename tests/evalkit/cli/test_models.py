import json
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from evalkit.cli.models import app
from evalkit.errors import ModelError, UsageError
from evalkit.models.catalog import load_catalog
from evalkit.models.gguf.architectures import ARCHITECTURES


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def put_in_cache(cache: Path, repo: str, *files: str) -> Path:
    """A repository as the hub client leaves it in its cache."""
    commit = "ab" * 20
    folder = cache / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    for file in files:
        (snapshot / file).write_text("weights")
    return snapshot


def test_list_has_one_line_per_model_with_its_facts() -> None:
    *lines, legend = run("list").splitlines()
    assert len(lines) == len(load_catalog()) + 1
    assert legend.startswith("? read in no copy of what the maker says")
    by_name = {line.split()[0]: line.split() for line in lines}
    assert by_name["gemma-3-270m"] == [
        *("gemma-3-270m", "hf", "268M", "2025-08-14", "2024-08", "gemma", "google/gemma-3-270m")
    ]
    assert by_name["rwkv7-2.9b"][2:7] == ["2.95B", "2025-02-11", "not", "stated", "Apache-2.0"]
    assert "Falcon-Mamba License" in " ".join(by_name["falcon-mamba-7b"])


def test_list_as_json_is_the_catalog() -> None:
    entries = json.loads(run("list", "--json"))
    assert [entry["name"] for entry in entries] == list(load_catalog())
    [entry] = [entry for entry in entries if entry["name"] == "rwkv7-0.1b"]
    assert entry["num_parameters"] == 191_084_544
    assert "knowledge_cutoff" in entries[0]


def test_list_shows_the_users_models() -> None:
    Path("evalkit.toml").write_text(
        '[models.mine]\nloader = "hf"\ntarget = "me/mine"\ncontext_limit = 4096\n'
    )
    [line] = [line for line in run("list").splitlines() if line.startswith("mine")]
    assert line.split() == ["mine", "hf", "4,096", "me/mine"]


def test_show_says_what_is_known_and_only_that(hub_cache: Path) -> None:
    shown = dict(line.split(":", 1) for line in run("show", "llama-3.2-1b").splitlines())
    shown = {key: value.strip() for key, value in shown.items()}
    assert shown["target"] == "meta-llama/Llama-3.2-1B"
    assert shown["revision"] == "main"
    assert shown["num_parameters"] == "1,235,814,400"
    assert shown["knowledge_cutoff"] == "2023-12"
    assert shown["trust_remote_code"] == "false"
    assert shown["local_copy"] == "none"
    assert "tokenizer" not in shown
    assert hub_cache.exists()


def test_show_of_a_codec_knows_no_revision_and_no_copy() -> None:
    shown = run("show", "xz")
    assert "loader:" in shown
    assert "revision" not in shown
    assert "local_copy" not in shown


def test_show_finds_copies_in_the_hubs_cache(hub_cache: Path) -> None:
    entry = load_catalog()["rwkv7-0.1b"]
    assert entry.file is not None
    snapshot = put_in_cache(hub_cache, entry.target, entry.file)
    assert json.loads(run("show", "rwkv7-0.1b", "--json"))["local_copy"] == str(snapshot / entry.file)
    # The same repository, another file: that one is not here.
    assert json.loads(run("show", "rwkv7-0.4b", "--json"))["local_copy"] is None

    snapshot = put_in_cache(hub_cache, "Qwen/Qwen3-4B-Base", "config.json")
    assert json.loads(run("show", "qwen3-4b", "--json"))["local_copy"] is None
    (snapshot / "model.safetensors").write_text("weights")
    assert json.loads(run("show", "qwen3-4b", "--json"))["local_copy"] == str(snapshot)


def test_show_takes_paths() -> None:
    Path("x.pth").touch()
    assert json.loads(run("show", "rwkv7:x.pth", "--json"))["local_copy"] == str(Path("x.pth").absolute())
    with pytest.raises(ModelError, match="there is no file or folder"):
        run("show", "rwkv7:y.pth")


def test_unknown_names_are_usage_errors() -> None:
    with pytest.raises(UsageError, match=r"Did you mean qwen2\.5-3b"):
        run("show", "qwen2.5-3")


def test_show_refuses_what_the_hub_would_not_take_for_a_name() -> None:
    with pytest.raises(ModelError, match="'a/b--c' is not the name of a hub repository"):
        run("show", "hf:a/b--c")


def test_importing_the_commands_loads_nothing_heavy() -> None:
    script = (
        "import sys, evalkit.cli.models; heavy = {'torch', 'transformers', 'huggingface_hub', 'httpx2'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_narrow_terminal_squeezes_no_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert len(run("list").splitlines()) == len(load_catalog()) + 2  # with the head and a legend


def test_formats_are_the_table_of_the_page_and_each_row_has_its_test() -> None:
    root = Path(__file__).parents[3]
    table = run("formats")
    assert table in (root / "docs" / "models.md").read_text(encoding="utf-8")
    rows = json.loads(run("formats", "--json"))
    assert len(rows) == len(table.splitlines()) - 2
    assert all((root / row["test"]).is_file() for row in rows)
    names = ", ".join(row["architecture"] for row in rows if row["format"] == "GGUF").split(", ")
    assert {*ARCHITECTURES, "rwkv7"} <= set(names)
