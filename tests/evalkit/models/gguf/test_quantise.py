"""Making quantised files: what is in them, against the tests' own writer of the same formats."""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from evalkit.errors import ModelError, UsageError
from evalkit.models.gguf.header import read_header
from evalkit.models.gguf.quantise import main, quantise
from evalkit.models.loading import load_model
from evalkit.models.rwkv7.checkpoint import read_tensors
from evalkit.models.rwkv7.model import RWKV7Model
from tests.support.gguf_files import random_model, write_parts, write_rwkv7
from tests.support.rwkv7_files import random_tensors, save_official

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


@pytest.mark.parametrize("world", [False, True])
def test_an_rwkv7_checkpoint_is_written_as_llama_cpps_converter_writes_it(
    tmp_path: Path, world: bool
) -> None:
    path = tmp_path / "model.pth"
    save_official(path, vocab_size=65536 if world else 257, num_channels=64, num_layers=2)
    official = {key: tensor.float().numpy() for key, tensor in read_tensors(path).items()}
    expected = write_rwkv7(tmp_path / "expected.gguf", official, quantisation=KIND, world=world)
    quantise(f"rwkv7:{path}", "Q4_1", tmp_path / "ours.gguf")
    if not world:  # gguf's reader takes a minute over 65,536 tokens
        assert_same_tensors(tmp_path / "ours.gguf", expected)
    ours, theirs = (read_header(file).metadata for file in (tmp_path / "ours.gguf", expected))
    assert set(ours) - set(theirs) == {"general.name"}
    for key, value in theirs.items():
        np.testing.assert_array_equal(np.asarray(ours[key]), np.asarray(value), err_msg=key)


def test_a_vocabulary_of_its_own_comes_along(tmp_path: Path) -> None:
    """Until now a checkpoint with a tokenizer.json was written with the tokens of bytes."""
    texts = ["the cat sat on the mat, naïve\n"] * 9
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(
        texts, BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens([AddedToken("<|start|>", special=True)])
    num_tokens = tokenizer.get_vocab_size()
    tensors = random_tensors(vocab_size=num_tokens + 4, num_channels=64, num_layers=2)
    save_file(tensors, tmp_path / "model.safetensors")
    packaged = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|start|>", eos_token="<|start|>"
    )
    packaged.save_pretrained(tmp_path)
    spec = f"rwkv7:{tmp_path / 'model.safetensors'}"
    quantise(spec, "F16", tmp_path / "ours.gguf")
    loaded = [load_model(name, device="cpu") for name in (spec, f"gguf:{tmp_path / 'ours.gguf'}")]
    assert all(isinstance(model, RWKV7Model) for model in loaded)
    assert loaded[0].prefix == loaded[1].prefix == (num_tokens - 1,)
    for text in (texts[0], "", "\0 <|start|>  Ωé"):
        original, written = (model.encode(text) for model in loaded)
        np.testing.assert_array_equal(written.ids, original.ids)
        np.testing.assert_array_equal(written.ends, original.ends)
    ids = loaded[0].encode(texts[0]).ids.tolist()
    assert len(ids) < 20
    np.testing.assert_allclose(*(model.nats([ids])[0] for model in loaded), atol=0.02)
    settings = json.loads((tmp_path / "tokenizer.json").read_text())
    settings["pre_tokenizer"]["use_regex"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=r"tokenizer.json is not GPT-2's way to cut a text"):
        quantise(spec, "F16", tmp_path / "other.gguf")


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
