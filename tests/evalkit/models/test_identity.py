"""The key says what was really loaded: a file that changes at any moment never gets the old key."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from evalkit import files
from evalkit.cells.schema import CorpusCell
from evalkit.errors import ModelError
from evalkit.models import loading
from evalkit.models.identity import check_untouched
from evalkit.models.protocol import LoadOptions
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.runner.ranking import RunResult
from evalkit.runner.reporter import Silent
from tests.support import tiny_models
from tests.support.rwkv7_files import random_tensors, save_fla_folder
from tests.support.toys import ROOT, corpus_of

CORPUS = corpus_of(["a text of a few words", "and another"])
REMOTE_CODE = """
from transformers import LlamaForCausalLM


class TinyForCausalLM(LlamaForCausalLM):
    pass
"""


def _save_hf(folder: Path) -> str:
    fast = tiny_models.as_fast(tiny_models.byte_level_tokenizer(), eos_token="<|endoftext|>")
    tiny_models.save_checkpoint(folder, tiny_models.random_model("llama", len(fast)), fast)
    return f"hf:{folder}"


def _save_hf_bin(folder: Path) -> str:
    spec = _save_hf(folder)
    torch.save(tiny_models.random_model("llama", 378).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return spec


def _save_rwkv7(folder: Path) -> str:
    folder.mkdir()
    torch.save(random_tensors(vocab_size=257, num_channels=64, num_layers=1), folder / "model.pth")
    return f"rwkv7:{folder / 'model.pth'}"


def _save_fla(folder: Path) -> str:
    save_fla_folder(folder, random_tensors(vocab_size=257, num_channels=64, num_layers=1))
    return f"rwkv7:{folder}"


KINDS: dict[str, Callable[[Path], str]] = {
    "hf": _save_hf,
    "hf-bin": _save_hf_bin,
    "rwkv7": _save_rwkv7,
    "rwkv7-fla": _save_fla,
}


@pytest.fixture(autouse=True)
def copies_of_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers runs copies of a model's code, which are to stay the test's own."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    for kind, save in KINDS.items():
        save(folder / kind)
    return folder


def copied(originals: Path, kind: str, tmp_path: Path) -> tuple[Path, str]:
    """A fresh copy of a model's folder, and the name by which it is run."""
    folder = tmp_path / "model"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(originals / kind, folder)
    target = folder / "model.pth" if kind == "rwkv7" else folder
    return folder, f"{kind.partition('-')[0]}:{target}"


def change(path: Path) -> None:
    """Flip a bit of the byte in the middle, in place."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(content)


class After(Silent):
    """Does something once the plan is made, before anything is loaded."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def plan(self, lines: Sequence[str]) -> None:
        self.act()


def score(spec: str, output: Path, act: Callable[[], None] = lambda: None, **options: bool) -> RunResult:
    return run([spec], [CORPUS], options=RunOptions(output=output, reporter=After(act), **options))


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_changed_after_planning_fails_the_cell_and_names_the_file(
    kind: str, originals: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in (originals / kind).iterdir())
    assert names
    for name in names:
        folder, spec = copied(originals, kind, tmp_path)
        output = tmp_path / name
        result = score(spec, output, lambda path=folder / name: change(path))  # type: ignore[misc]
        assert result.cells == ()
        assert list(output.rglob("*.json")) == []
        [failure] = result.failures
        if not name.endswith(".json"):  # a bit of JSON may also make it unreadable
            assert f"{name} changed between planning and loading; run again" in failure.reason
        try:  # and what is loaded from now on has a key of its own, or is refused
            changed = score(spec, tmp_path / "runs")
        except ModelError:
            continue
        copied(originals, kind, tmp_path)
        [cell] = score(spec, tmp_path / "runs").cells
        assert all(path.name != cell.path.name for path in (item.path for item in changed.cells))


_hook: list[Callable[[str], None]] = []


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if _hook and event == "open" and isinstance(arguments[0], str | os.PathLike):
        _hook[0](os.fspath(arguments[0]))


@pytest.fixture
def opened() -> Iterator[list[Callable[[str], None]]]:
    """What is put in here hears of every file that Python opens."""
    if not _hook_is_installed:
        sys.addaudithook(_audit)
        _hook_is_installed.append(True)
    yield _hook
    _hook.clear()


_hook_is_installed: list[bool] = []


@pytest.mark.parametrize("kind", ["hf", "rwkv7-fla"])
def test_a_file_changed_at_any_moment_of_loading_gives_no_other_number_under_the_key(
    kind: str, originals: Path, tmp_path: Path, opened: list[Callable[[str], None]]
) -> None:
    """Changed when the n-th file of the folder is opened, for n further and further until all were opened."""
    folder, spec = copied(originals, kind, tmp_path)
    [expected] = score(spec, tmp_path / "expected").cells
    weights = next(folder.glob("*.safetensors")).name
    for name in ("config.json", weights):
        for moment in range(0, 100, 3):
            copied(originals, kind, tmp_path)
            num_opened = 0

            def hear(path: str, name: str = name, moment: int = moment) -> None:
                nonlocal num_opened
                if path.startswith(str(folder)):
                    num_opened += 1
                    if num_opened == moment + 1:
                        _hook.clear()
                        change(folder / name)

            output = tmp_path / f"{name} {moment}"
            result = score(spec, output, lambda hear=hear: opened.append(hear))  # type: ignore[misc]
            opened.clear()
            for cell in result.cells:
                assert cell.path.name == expected.path.name
                assert cell.totals == expected.totals
            if num_opened <= moment:  # the moment was after everything
                assert result.cells
                break
        assert moment > 0


def test_everything_that_is_opened_is_in_the_identity(
    originals: Path, tmp_path: Path, opened: list[Callable[[str], None]]
) -> None:
    for kind in KINDS:
        folder, spec = copied(originals, kind, tmp_path)
        names: set[str] = set()
        opened.append(
            lambda path, folder=folder, names=names: names.update(  # type: ignore[misc]
                [os.path.relpath(path, folder)] if path.startswith(f"{folder}{os.sep}") else []
            )
        )
        model = loading.load_model(spec)
        opened.clear()
        assert names
        assert names <= {file.name for file in model.identity.files}, kind


def test_a_link_that_leads_elsewhere_and_files_that_come_or_go_are_told(
    originals: Path, tmp_path: Path
) -> None:
    folder, spec = copied(originals, "rwkv7-fla", tmp_path)
    later = tmp_path / "step-2"
    save_fla_folder(later, random_tensors(vocab_size=257, num_channels=64, num_layers=1, seed=1))
    latest = tmp_path / "latest"
    latest.symlink_to(folder)

    def repoint() -> None:
        latest.unlink()
        latest.symlink_to(later)

    changes = {
        "model-00001-of-00001.safetensors": (f"rwkv7:{latest}", repoint),
        "tokenizer.json": (spec, lambda: (folder / "tokenizer.json").write_text("{}")),
        "config.json": (spec, (folder / "config.json").unlink),
    }
    for name, (model, act) in changes.items():
        result = score(model, tmp_path / "runs", act)
        assert result.cells == ()
        assert f"{name} changed between planning and loading; run again" in result.failures[0].reason


def test_what_changes_back_while_it_is_loaded_is_told_by_its_times(originals: Path, tmp_path: Path) -> None:
    folder, spec = copied(originals, "hf", tmp_path)
    [before] = loading.locate_models([spec], LoadOptions())
    change(folder / "config.json")
    change(folder / "config.json")
    [after] = loading.locate_models([spec], LoadOptions())
    with pytest.raises(ModelError, match=r"config\.json was written to while it was loaded; run again"):
        check_untouched(before.identity, after.identity)
    check_untouched(after.identity, after.identity)


def _edit(path: Path, **settings: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def _only(result: RunResult) -> CorpusCell:
    [cell] = result.cells
    return cell


def test_a_changed_config_is_another_model(originals: Path, tmp_path: Path) -> None:
    folder, spec = copied(originals, "hf", tmp_path)
    first = _only(score(spec, tmp_path / "runs"))
    _edit(folder / "config.json", rms_norm_eps=0.1)
    again = score(spec, tmp_path / "runs")
    assert again.num_scored == 1
    assert _only(again).bits_per_byte != first.bits_per_byte
    assert _only(again).model.weights_sha256 == first.model.weights_sha256


def test_weights_that_the_config_names_are_those_in_the_key(originals: Path, tmp_path: Path) -> None:
    folder, spec = copied(originals, "hf", tmp_path)
    _edit(folder / "config.json", transformers_weights="alt.safetensors")
    with pytest.raises(ModelError, match=r"the weights alt\.safetensors, which are not there"):
        score(spec, tmp_path / "runs")
    other = tmp_path / "other"
    tiny_models.random_model("llama", 378, seed=1).save_pretrained(other)
    shutil.copy(other / "model.safetensors", folder / "alt.safetensors")
    alternative = _only(score(spec, tmp_path / "runs"))
    shutil.copy(other / "model.safetensors", folder / "model.safetensors")
    assert score(spec, tmp_path / "runs").num_scored == 0  # it is not read
    change(folder / "alt.safetensors")
    changed = score(spec, tmp_path / "runs")
    assert changed.num_scored == 1
    assert _only(changed).model.weights_sha256 != alternative.model.weights_sha256


def test_weights_in_memory_do_not_change_with_their_file(originals: Path, tmp_path: Path) -> None:
    for kind in KINDS:
        folder, spec = copied(originals, kind, tmp_path)
        model = loading.load_model(spec)
        ids = [list(range(40, 60))]
        before = model.nats(ids)[0]  # type: ignore[union-attr]
        for path in folder.iterdir():
            if path.suffix != ".json":
                with path.open("r+b") as file:
                    file.seek(1000)
                    file.write(b"\x11" * (path.stat().st_size - 1000))
        assert (model.nats(ids)[0] == before).all(), kind  # type: ignore[union-attr]


def test_a_digest_is_not_remembered_across_a_change_that_hides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same size, at the same time, in the same file; or under a name that is a digest."""
    monkeypatch.setattr(files, "_TICK_NS", -(10**18))  # so that what was written just now is remembered too
    path = tmp_path / "blobs" / ("0" * 64)
    path.parent.mkdir()
    path.write_bytes(b"first")
    status = path.stat()
    digest = files.file_sha256(path)
    assert digest != path.name
    remembered = list((files.cache_dir() / "sha256").iterdir())
    assert len(remembered) == 1
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert files.file_sha256(path) not in (digest, path.name)


def test_the_key_of_another_generation_is_another_and_may_be_accepted(
    originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, spec = copied(originals, "rwkv7", tmp_path)
    first = _only(score(spec, tmp_path / "runs"))
    assert first.model.numerics == "evalkit_kernels 1"
    monkeypatch.setattr("evalkit.models.rwkv7.model.NUMERICS_VERSION", 2)
    accepted = score(spec, tmp_path / "runs", accept_versions=True)
    assert (accepted.num_scored, _only(accepted)) == (0, first)
    again = score(spec, tmp_path / "runs")
    assert (again.num_scored, _only(again).totals) == (1, first.totals)
    assert _only(again).path != first.path
    assert _only(score(spec, tmp_path / "runs", accept_versions=True)).path == _only(again).path
    change(folder / "model.pth")
    assert score(spec, tmp_path / "runs", accept_versions=True).num_scored == 1


def _rows() -> list[tuple[list[str], str, str]]:
    """Of the table in docs/cells.md: file names of a row, and what becomes of the cell."""
    page = (ROOT / "docs" / "cells.md").read_text(encoding="utf-8")
    table = page.partition("| What changes |")[2].partition("\n\n")[0]
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return [(re.findall(r"`([\w.]+\.\w+)`", row[0]), row[1], row[2]) for row in rows]


CASES = [(name, since, meanwhile) for names, since, meanwhile in _rows() for name in names]


@pytest.mark.parametrize(("name", "since", "meanwhile"), CASES)
def test_the_table_of_the_page_is_true(
    name: str, since: str, meanwhile: str, originals: Path, tmp_path: Path
) -> None:
    kind = {"model.pth": "rwkv7", "pytorch_model.bin": "hf-bin"}.get(name, "hf")
    folder, spec = copied(originals, kind, tmp_path)
    path = folder / name
    if name == "modeling_tiny.py":
        auto_map = {"AutoModelForCausalLM": "modeling_tiny.TinyForCausalLM"}
        _edit(folder / "config.json", auto_map=auto_map)
        path.write_text(REMOTE_CODE)
    elif not path.exists() and name != "adapter_config.json":
        path.write_text("{}" if path.suffix == ".json" else "a\nb\n")

    def touch() -> None:
        if not path.exists():
            path.write_text("{}")
        elif path.suffix in (".json", ".py", ".txt", ".md"):
            path.write_text(path.read_text() + "\n")
        else:
            change(path)

    def act(output: Path, during: Callable[[], None] = lambda: None) -> tuple[str, ...]:
        try:
            result = score(spec, output, during, trust_remote_code=True)
        except ModelError:
            return ("refused",)
        return tuple(cell.path.name for cell in result.cells) or ("refused",)

    before = act(tmp_path / "runs")
    assert before != ("refused",)
    during = act(tmp_path / "others", touch)
    after = act(tmp_path / "runs")
    outcomes = {before: "the same cell", ("refused",): "refused"}
    assert outcomes.get(after, "another cell") == since
    assert outcomes.get(during, "another cell") == meanwhile


def test_the_table_has_every_kind_of_file() -> None:
    assert len(CASES) >= 12
    assert {since for _, since, _ in CASES} == {"another cell", "the same cell", "refused"}
