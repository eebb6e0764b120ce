"""Tests of what is remembered of models, and of what makes it be asked again."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evalkit.errors import ModelError
from evalkit.models import loading, remembered_identities
from evalkit.models.catalog import load_catalog
from evalkit.models.loading import LocatedModel, locate_models
from evalkit.models.protocol import LoadOptions
from tests.support.commands import PATIENCE_S
from tests.support.rwkv7_files import TINY

NANO = ("rwkv7-nano", "llama-nano")


@pytest.fixture
def identified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that their loaders were asked about."""
    names: list[str] = []
    identify = loading._identify
    monkeypatch.setattr(
        loading, "_identify", lambda entry, options: (names.append(entry.name), identify(entry, options))[1]
    )
    return names


@pytest.fixture
def llama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of llama-nano, files of which count as settled although they were written just now."""
    monkeypatch.setattr(remembered_identities, "is_settled", lambda _: True)
    folder = tmp_path / "llama"
    shutil.copytree(load_catalog()["llama-nano"].target, folder)
    return folder


def locate(*specs: str, **options: str) -> list[LocatedModel]:
    return locate_models(specs, LoadOptions(**options))


def test_a_model_that_was_identified_is_planned_without_its_libraries(identified: list[str]) -> None:
    first = locate(*NANO)
    assert locate(*NANO) == first
    assert identified == [*NANO]
    assert all(located.identity.files[0].stamp is not None for located in first)
    script = """
import sys
from evalkit.cli.main import main
sys.argv = ["evalkit", "run", "--dry-run", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print([name for name in ("torch", "transformers", "tokenizers", "pandas") if name in sys.modules])
"""
    command = [sys.executable, "-c", script, "--models", ",".join(NANO)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "config.json").write_text(
            (folder / "config.json").read_text(encoding="utf-8") + "\n", encoding="utf-8"
        ),
        lambda folder: (folder / "added_tokens.json").write_text("{}", encoding="utf-8"),
        lambda folder: (folder / "generation_config.json").unlink(missing_ok=True),
        lambda _: remembered_identities._software.cache_clear(),
    ],
    ids=["changed", "added", "removed", "same"],
)
def test_what_changes_in_the_folder_is_asked_again(
    change: Callable[[Path], object], llama: Path, identified: list[str], request: pytest.FixtureRequest
) -> None:
    (llama / "generation_config.json").write_text("{}", encoding="utf-8")
    before = locate(f"hf:{llama}")
    change(llama)
    after = locate(f"hf:{llama}")
    is_same = request.node.callspec.id == "same"
    assert len(identified) == (1 if is_same else 2)
    assert (before == after) is is_same


def test_the_next_checkpoint_of_a_training_leaves_what_is_remembered_of_the_others(
    tmp_path: Path, identified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered_identities, "is_settled", lambda _: True)
    for step in (1, 2):
        shutil.copy(TINY, tmp_path / f"rwkv-{step}.pth")
        locate(f"rwkv7:{tmp_path}/rwkv-*.pth")
    assert len(identified) == 2
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    locate(f"rwkv7:{tmp_path}/rwkv-*.pth")
    assert len(identified) == 4


def test_options_software_and_damage_are_no_memory(
    llama: Path, identified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = f"hf:{llama}"
    [first] = locate(spec)
    assert locate(spec, dtype="bfloat16")[0].identity.dtype == "bfloat16"
    assert len(identified) == 2
    monkeypatch.setattr(remembered_identities, "_software", lambda: "another version")
    locate(spec)
    assert len(identified) == 3
    cache = remembered_identities.cache_dir() / "identities"
    for path in cache.iterdir():
        path.write_text('{"origin": 3}', encoding="utf-8")
    assert locate(spec) == [first]
    assert len(identified) == 4


@pytest.mark.parametrize("library", ["sentencepiece", "tiktoken"])
def test_a_library_that_is_installed_later_is_other_software(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it transformers may read the same files as another tokenizer."""
    before = remembered_identities._software.__wrapped__()
    metadata = tmp_path / f"{library}-999.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: 999\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert remembered_identities._software.__wrapped__() != before


def test_a_young_file_is_not_trusted(
    llama: Path, identified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered_identities, "is_settled", lambda _: False)
    assert locate(f"hf:{llama}") == locate(f"hf:{llama}")
    assert len(identified) == 2


def test_nothing_is_imported_for_a_repository_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_loader", lambda name: pytest.fail(f"{name} was imported"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for spec in ("hf:nobody/nothing", "rwkv7:nobody/nothing", "hub:nobody/nothing"):
        with pytest.raises(ModelError, match="cannot reach the hub for nobody/nothing"):
            locate(spec)
