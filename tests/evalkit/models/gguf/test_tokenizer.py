"""Tokenizers of GGUF files: the same ids as llama.cpp's, on texts that tokenizers have got wrong."""

import unicodedata
from pathlib import Path

import pytest

from evalkit.errors import LossyTextError, ModelError
from evalkit.models.gguf.header import read_header
from evalkit.models.gguf.pretokenizers import KINDS
from evalkit.models.gguf.tokenizer import read_tokenizer
from evalkit.models.hf.token_bytes import TokenBytes
from evalkit.models.llamacpp.library import LlamaCpp
from evalkit.models.loading import load_model
from evalkit.models.protocol import TokenModel
from tests.support.gguf_files import byte_level_metadata, random_model, sentencepiece_metadata
from tests.support.nasty_texts import nasty_texts

TEXTS = nasty_texts(300, seed=1)
SPECIAL_KINDS = {kind: name for name, kind in reversed(KINDS.items())}
"""A name for each way to cut texts."""


def has_marks(text: str) -> bool:
    return any(unicodedata.category(character).startswith("M") for character in text)


@pytest.mark.parametrize("pre", SPECIAL_KINDS.values())
def test_texts_are_cut_as_llama_cpp_cuts_them(tmp_path: Path, pre: str) -> None:
    """But for combining marks in two ways: llama.cpp's rewriting of their patterns leaves marks out."""
    path = random_model(tmp_path / "model.gguf", "llama", extra=byte_level_metadata(pre))
    llama_cpp = LlamaCpp(path, num_threads=1)
    ours = TokenBytes(read_tokenizer(read_header(path)), pre)
    differing = [text for text in TEXTS if ours.encode(text).ids.tolist() != llama_cpp.tokenize(text)]
    if pre in ("tekken", "gpt-4o"):
        assert differing
        assert all(map(has_marks, differing))
    else:
        assert differing == []


def test_every_name_stands_for_a_way_that_llama_cpp_has(tmp_path: Path) -> None:
    text = "It's 12345 ẞ\n\n  x"
    for name, kind in KINDS.items():
        path = random_model(tmp_path / "model.gguf", "llama", extra=byte_level_metadata(name))
        ours = TokenBytes(read_tokenizer(read_header(path)), name)
        llama_cpp = LlamaCpp(path, num_threads=1)
        assert ours.encode(text).ids.tolist() == llama_cpp.tokenize(text), name
        assert llama_cpp.adds_bos == kind.adds_bos, name


@pytest.mark.parametrize("add_space_prefix", [True, False])
def test_sentencepiece_joins_as_llama_cpp_does(tmp_path: Path, add_space_prefix: bool) -> None:
    """A text with ``▁``, which stands for a space, is another text to evalkit: there are bytes for it."""
    metadata = sentencepiece_metadata() | {"tokenizer.ggml.add_space_prefix": add_space_prefix}
    path = random_model(tmp_path / "model.gguf", "llama", extra=metadata, vocabulary=metadata)
    llama_cpp = LlamaCpp(path, num_threads=1)
    ours = TokenBytes(read_tokenizer(read_header(path)), "pieces")
    texts = [text for text in TEXTS if "▁" not in text]
    assert len(texts) > 200
    for text in texts:
        encoding = ours.encode(text)
        assert encoding.ids.tolist() == llama_cpp.tokenize(text), text
        assert int(encoding.ends[-1]) == len(text.encode())
    assert ours.encode("a▁b").is_literal


def test_user_defined_tokens_are_found_and_control_tokens_are_not(tmp_path: Path) -> None:
    metadata = byte_level_metadata()
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    assert isinstance(tokens, list)
    assert isinstance(types, list)
    tokens += ["<think>", "<tool>"]
    types += [4, 3]
    path = random_model(tmp_path / "model.gguf", "llama", extra=metadata, vocabulary=metadata)
    model = load_model(f"gguf:{path}")
    assert isinstance(model, TokenModel)
    llama_cpp = LlamaCpp(path, num_threads=1)
    for text in ("a <think>b", "a <tool>b", "<s>a</s>", "<think><think>"):
        ids = model.encode(text).ids.tolist()
        assert ids == llama_cpp.tokenize(text)
        assert (len(tokens) - 2 in ids) == ("<think>" in text)
        assert not {0, 1, len(tokens) - 1}.intersection(ids)


@pytest.mark.parametrize(
    ("extra", "prefix", "rule"),
    [
        ({}, (1,), "eos"),
        ({"tokenizer.ggml.add_bos_token": True}, (0,), "bos"),
        ({"tokenizer.ggml.pre": "llama-bpe"}, (0,), "bos"),
        ({"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": False}, (1,), "eos"),
    ],
)
def test_documents_begin_as_the_file_says(
    tmp_path: Path, extra: dict[str, object], prefix: tuple[int, ...], rule: str
) -> None:
    path = random_model(tmp_path / "model.gguf", "llama", extra=extra)
    model = load_model(f"gguf:{path}")
    assert isinstance(model, TokenModel)
    assert (model.prefix, model.identity.prefix) == (prefix, rule)
    assert LlamaCpp(path, num_threads=1).adds_bos == (rule == "bos")


def test_a_text_that_the_vocabulary_cannot_spell_is_told(tmp_path: Path) -> None:
    metadata = byte_level_metadata()
    tokens = metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list)
    tokens[tokens.index("ñ")] = "<gone>"  # GPT-2's name of byte 0xF1, which begins rare planes
    path = random_model(tmp_path / "model.gguf", "llama", extra=metadata)
    model = load_model(f"gguf:{path}")
    assert isinstance(model, TokenModel)
    assert len(model.encode("ñandú").ids)
    with pytest.raises(LossyTextError, match="cannot represent"):
        model.encode("rare: \U00075d4d")


def test_a_tokenizer_without_a_way_to_cut_is_refused(tmp_path: Path) -> None:
    path = random_model(tmp_path / "model.gguf", "llama", extra={"tokenizer.ggml.pre": ""})
    with pytest.raises(ModelError, match="does not say how it cuts texts"):
        load_model(f"gguf:{path}")


def test_pieces_that_take_forever_to_cut_are_refused(tmp_path: Path) -> None:
    metadata = sentencepiece_metadata()
    tokens = metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list)
    tokens[-1] = "a" * 40_000
    path = random_model(tmp_path / "model.gguf", "llama", vocabulary=metadata)
    with pytest.raises(ModelError, match="longer than any vocabulary's"):
        load_model(f"gguf:{path}")
