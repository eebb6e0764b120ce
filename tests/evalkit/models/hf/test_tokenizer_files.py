"""A tokenizer is read once, and again as soon as a file of it is another."""

import json
import shutil
from pathlib import Path

import pytest

from evalkit.models.hf import tokenizer_files
from evalkit.models.hf.tokenizer_files import read_tokenizer
from tests.support.tiny_models import as_fast, byte_level_tokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    as_fast(byte_level_tokenizer()).save_pretrained(tmp_path / "first")
    return tmp_path / "first"


def test_the_same_files_are_read_once(folder: Path, tmp_path: Path) -> None:
    tokenizer = read_tokenizer(folder, "m", trust_remote_code=False)
    assert read_tokenizer(folder, "m", trust_remote_code=False) is tokenizer
    copied = shutil.copytree(folder, tmp_path / "second")  # as the checkpoints of a training are
    assert read_tokenizer(copied, "m", trust_remote_code=False) is tokenizer
    (copied / "config.json").write_text("{}")  # of which transformers takes the tokenizer's class
    assert read_tokenizer(copied, "m", trust_remote_code=False) is not tokenizer


def test_another_content_is_read_whatever_its_size_and_date(folder: Path) -> None:
    tokenizer = read_tokenizer(folder, "m", trust_remote_code=False)
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"eos_token": "a"}))
    changed = read_tokenizer(folder, "m", trust_remote_code=False)
    assert (tokenizer.eos_token, changed.eos_token) != ("a", "a") and changed.eos_token == "a"


def test_only_so_many_bytes_of_files_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_files, "_MOST_KEPT_BYTES", 1)
    tokenizer = read_tokenizer(folder, "m", trust_remote_code=False)
    assert read_tokenizer(folder, "m", trust_remote_code=False) is tokenizer  # whatever its size
    (folder / "added_tokens.json").write_text("{}")
    read_tokenizer(folder, "m", trust_remote_code=False)
    (folder / "added_tokens.json").unlink()
    assert read_tokenizer(folder, "m", trust_remote_code=False) is not tokenizer
