"""Making quantised files: what is in them, against the tests' own writer of the same formats."""

import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

from evalkit.errors import ModelError, UsageError
from evalkit.models.catalog import load_catalog
from evalkit.models.gguf.header import read_header
from evalkit.models.gguf.quantise import main, quantise
from evalkit.models.rwkv7.checkpoint import read_tensors
from tests.support.gguf_files import random_model, write_parts, write_rwkv7
from tests.support.rwkv7_files import save_official

KIND = gguf.GGMLQuantizationType.Q4_1


def assert_same_tensors(path: Path, expected: Path) -> None:
    ours, theirs = ({t.name: t for t in gguf.GGUFReader(file).tensors} for file in (path, expected))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.tensor_type == theirs[name].tensor_type, name
        np.testing.assert_array_equal(tensor.data, theirs[name].data)


@pytest.mark.parametrize("architecture", ["llama", "mamba", "qwen35"])
def test_a_file_is_quantised_as_one_of_the_same_weights(tmp_path: Path, architecture: str) -> None:
    source = random_model(tmp_path / "F32.gguf", architecture)
    expected = random_model(tmp_path / "expected.gguf", architecture, quantisation=KIND)
    quantise(str(source), "Q4_1", tmp_path / "ours.gguf")
    assert_same_tensors(tmp_path / "ours.gguf", expected)
    metadata = [read_header(path).metadata for path in (tmp_path / "ours.gguf", source)]
    assert metadata[0].keys() == metadata[1].keys()
    for key, value in metadata[0].items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(metadata[1][key]))


def test_parts_become_one_file(tmp_path: Path) -> None:
    source = random_model(tmp_path / "F32.gguf", "llama")
    parts = write_parts(source, tmp_path / "parts" / "model", 3)
    quantise(str(source), "Q8_0", tmp_path / "of_whole.gguf")
    quantise(str(parts[0]), "Q8_0", tmp_path / "of_parts.gguf")
    assert (tmp_path / "of_parts.gguf").read_bytes() == (tmp_path / "of_whole.gguf").read_bytes()


@pytest.mark.parametrize(("name", "world"), [("rwkv7-nano", False), ("world", True)])
def test_an_rwkv7_checkpoint_is_written_as_llama_cpps_converter_writes_it(
    tmp_path: Path, name: str, world: bool
) -> None:
    path = load_catalog()["rwkv7-nano"].local_path
    if world:
        path = tmp_path / "world.pth"
        save_official(path, vocab_size=65536, num_channels=64, num_layers=2)
        name = f"rwkv7:{path}"
    assert path is not None
    official = {key: tensor.float().numpy() for key, tensor in read_tensors(path).items()}
    expected = write_rwkv7(tmp_path / "expected.gguf", official, quantisation=KIND, world=world)
    quantise(name, "Q4_1", tmp_path / "ours.gguf")
    if not world:  # gguf's reader takes a minute over 65,536 tokens
        assert_same_tensors(tmp_path / "ours.gguf", expected)
    ours, theirs = (read_header(file).metadata for file in (tmp_path / "ours.gguf", expected))
    assert set(ours) - set(theirs) == {"general.name"}
    for key, value in theirs.items():
        np.testing.assert_array_equal(np.asarray(ours[key]), np.asarray(value), err_msg=key)


def test_what_cannot_be_quantised_is_refused(tmp_path: Path) -> None:
    source = random_model(tmp_path / "F32.gguf", "llama")
    target = tmp_path / "target.gguf"
    for name in ("Q4_K", "Q99"):  # the package reads the first, and writes it not
        with pytest.raises(UsageError, match=f"no quantiser for '{name}'"):
            quantise(str(source), name, target)
    with pytest.raises(ModelError, match=r"there is no file nowhere.gguf"):
        quantise("nowhere.gguf", "Q8_0", target)
    with pytest.raises(UsageError, match="llama-nano is neither a GGUF file nor an RWKV-7 checkpoint"):
        quantise("llama-nano", "Q8_0", target)
    source.write_bytes(source.read_bytes()[:-9])
    with pytest.raises(ModelError, match="is cut off"):
        quantise(str(source), "Q8_0", target)
    assert not target.exists()


def test_the_command_says_what_it_wrote_or_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = random_model(tmp_path / "F32.gguf", "llama")
    monkeypatch.setattr(sys, "argv", ["quantise", str(source), "Q4_0", str(tmp_path / "small.gguf")])
    main()
    assert capsys.readouterr().out == f"{tmp_path / 'small.gguf'}: 0.1 MB\n"
    monkeypatch.setattr(sys, "argv", ["quantise", str(source), "Q3", str(tmp_path / "x.gguf")])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.startswith("gguf has no quantiser for 'Q3'")
