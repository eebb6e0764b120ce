"""`evalkit compress` and `evalkit decompress`, as they are called."""

import dataclasses
import os
from pathlib import Path

import pytest

from evalkit.coding.compression import compress_bytes
from evalkit.coding.container import read_container
from evalkit.models import loading
from tests.faults.coded_files import ByteBigram
from tests.support.rwkv7_files import TINY, save_official
from tests.support.toys import run_cli

DATA = "Was man misst, muss man auch entziffern können.\n".encode() + b"\xff\xfe\x00"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_bytes(DATA)
    return path


def test_a_file_comes_back(file: Path) -> None:
    outcome = run_cli("compress", file, "--model", f"rwkv7:{TINY}", "--verify", "--device", "cpu")
    assert outcome.exit_code == 0, outcome.stderr
    packed = file.with_name("notes.txt.ek")
    assert f"{len(DATA)} bytes to {len(packed.read_bytes())} in" in outcome.stdout
    # It tells of no folder, so that a path has to be given again.
    assert str(TINY.parent).encode() not in packed.read_bytes()
    assert read_container(packed.read_bytes(), "x").header.model.name == f"rwkv7:{TINY.name}"
    outcome = run_cli("decompress", packed, "-o", file.with_name("back"))
    assert outcome.exit_code != 0 and "say where it is with --model" in outcome.stderr
    file.unlink()
    outcome = run_cli("decompress", packed, "--model", f"rwkv7:{TINY}")
    assert outcome.exit_code == 0, outcome.stderr
    assert file.read_bytes() == DATA


def test_what_cannot_be_is_refused_in_a_line(file: Path, tmp_path: Path) -> None:
    packed = tmp_path / "notes.ek"
    assert run_cli("compress", file, "--model", f"rwkv7:{TINY}", "-o", packed).exit_code == 0
    save_official(tmp_path / "b.pth", num_channels=64, num_layers=1)
    save_official(tmp_path / "c.pth", num_channels=64, num_layers=1)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "cut.ek").write_bytes(packed.read_bytes()[:-1])
    for arguments, reason in (
        (["decompress", packed, "--model", f"rwkv7:{tmp_path}/b.pth"], "they differ in weights_sha256"),
        (["decompress", tmp_path / "cut.ek", "--model", f"rwkv7:{TINY}"], "was cut or changed"),
        (["decompress", file, "-o", tmp_path / "x"], "is no file of `evalkit compress`"),
        (["decompress", file], "does not end in .ek"),
        (["decompress", tmp_path / "none.ek"], "No such file"),
        (["decompress", packed, "-o", packed], "is the file itself"),
        (["compress", file, "--model", "xz"], "xz does not show the distribution"),
        (["compress", tmp_path, "--model", "rwkv7-nano"], "Is a directory"),
        (["compress", file, "--model", "rwkv7-nano", "-o", tmp_path], "is a folder"),
        (["compress", file, "--model", "rwkv7-nano", "-o", file / "x"], "does not allow it"),
        (["decompress", packed, "-o", file / "x"], "does not allow it"),
        (["compress", "/dev/zero", "--model", "rwkv7-nano", "-o", tmp_path / "x"], "a pipe or a device"),
        (["decompress", tmp_path / "pipe", "-o", tmp_path / "x"], "a pipe or a device"),
        (["compress", file, "--model", f"rwkv7:{tmp_path}/*.pth"], "matches 2 models, and one is needed"),
    ):
        outcome = run_cli(*arguments)
        assert outcome.exit_code in (1, 2) and reason in outcome.stderr, outcome.stderr
        assert len(outcome.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "name", ["openai:http://127.0.0.1:9/v1#m", "hf:owner/name", f"rwkv7:{TINY}", "../evil"]
)
def test_a_file_cannot_say_what_is_looked_at(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever made it may name a server, a repository with code, or a file here."""
    model = ByteBigram()
    model.identity = dataclasses.replace(model.identity, name=name)
    packed = tmp_path / "foreign.ek"
    packed.write_bytes(compress_bytes(b"a text of somebody", model).content)
    monkeypatch.setattr(loading, "_identify", lambda *_: pytest.fail("it was looked at"))
    outcome = run_cli("decompress", packed, "--trust-remote-code")
    assert outcome.exit_code == 2 and "say where it is with --model" in outcome.stderr
    assert not (tmp_path / "foreign").exists()


@pytest.mark.parametrize("prefix", ["token:", "token:1,", "cheapest", "bos\x1b[31m"])
def test_a_prefix_of_a_file_is_one_that_could_be_asked_for(prefix: str, tmp_path: Path) -> None:
    model = ByteBigram()
    model.identity = dataclasses.replace(model.identity, name="rwkv7-nano", prefix=prefix, dtype="float32")
    packed = tmp_path / "forged.ek"
    packed.write_bytes(compress_bytes(b"a text of somebody", model).content)
    outcome = run_cli("decompress", packed)
    assert outcome.exit_code == 2 and f"{packed}: its prefix must be bos, eos, none or" in outcome.stderr
    assert "\x1b" not in outcome.stderr and not (tmp_path / "forged").exists()
