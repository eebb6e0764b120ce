"""Tokenizers that can take any time or memory do so in a child process, and are named."""

import base64
import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.decoders import ByteLevel

from evalkit.errors import ModelError
from evalkit.models.gguf.pretokenizers import KINDS, pre_tokenizer
from evalkit.models.hf import apart
from evalkit.models.hf.token_bytes import TokenBytes
from evalkit.models.hf.tokenizer_bounds import is_bounded
from evalkit.models.hf.tokenizer_files import read_tokenizer
from tests.support import tiny_models

State = dict[str, Any]
ENDLESS = r"(a+)+$| ?\p{L}+|\P{L}"
"""Twice as long for each letter more in a row that something follows."""
SLOW_TEXT = ("a" * 20 + "!") * 1000
"""A thousand times a million steps."""


def state_of(tokenizer: Tokenizer) -> State:
    state: State = json.loads(tokenizer.to_str())
    return state


def cutting(*patterns: str) -> Tokenizer:
    """A byte-level tokenizer that cuts texts by regular expressions."""
    tokenizer = tiny_models.byte_level_tokenizer()
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, level])
    return tokenizer


def split(pattern: str) -> State:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def charsmap(num_trie_bytes: int) -> State:
    data = struct.pack("<I", num_trie_bytes) + b"\0" * 64
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(data).decode()}


def padding(length: int) -> State:
    fields = {"pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "a"}
    return {"strategy": {"Fixed": length}, "direction": "Right", **fields}


UNBOUNDED: dict[str, State] = {
    "regular expression": {"pre_tokenizer": split(ENDLESS)},
    "one in a sequence": {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split(ENDLESS)]}},
    "one that replaces": {"normalizer": {"type": "Replace", "pattern": {"Regex": "(x+x+)+y"}, "content": ""}},
    "in the decoder": {"decoder": {"type": "Replace", "pattern": {"Regex": "(x+x+)+y"}, "content": ""}},
    "character map": {"normalizer": charsmap(16)},
    "nothing to split at": {"pre_tokenizer": {**split(""), "pattern": {"String": ""}}},
    "new kind of rule": {"pre_tokenizer": {"type": "FixedLength", "length": 5}},
    "padding": {"padding": padding(10**12)},
    "stripping": {"decoder": {"type": "Strip", "content": "a", "start": 10**15, "stop": 0}},
}


@pytest.mark.parametrize("kind", UNBOUNDED)
def test_a_file_that_can_ask_for_anything_is_not_trusted(kind: str) -> None:
    state = state_of(tiny_models.byte_level_tokenizer())
    assert is_bounded(state)
    assert not is_bounded(state | UNBOUNDED[kind])


def test_words_of_any_length_are_not_trusted() -> None:
    model = {"type": "WordPiece", "vocab": {}, "max_input_chars_per_word": 100}
    assert is_bounded({"model": model})
    assert not is_bounded({"model": model | {"max_input_chars_per_word": 10**9}})


@pytest.mark.parametrize("name", KINDS)
def test_the_patterns_of_published_models_need_no_child(name: str) -> None:
    tokenizer = tiny_models.byte_level_tokenizer()
    tokenizer.pre_tokenizer = pre_tokenizer(KINDS[name])
    assert is_bounded(state_of(tokenizer))
    assert is_bounded(state_of(tiny_models.sentencepiece_tokenizer()))


FATAL: dict[str, tuple[State, str]] = {
    "a terabyte of padding": ({"padding": padding(10**12)}, r"crashed \(SIGABRT\)"),
    "gigabytes of characters": ({"normalizer": charsmap(2**32 - 8)}, r"crashed \(SIGABRT\)"),
    "pieces of no length": (
        {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
        "cannot be read: chunk size",
    ),
    "endless for sixty letters": ({"pre_tokenizer": split("(?:a|aa)+b")}, "cannot be read: Onig"),
}


@pytest.mark.parametrize("kind", FATAL)
def test_a_file_that_would_end_the_process_is_told(tmp_path: Path, kind: str) -> None:
    fields, reason = FATAL[kind]
    state = state_of(tiny_models.byte_level_tokenizer()) | fields
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    with pytest.raises(ModelError, match=rf"^m: the tokenizer in .*tokenizer\.json {reason}"):
        read_tokenizer(tmp_path, "m", trust_remote_code=False)


def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "LIMITS", apart.LIMITS._replace(max_cpu_s=0.3))


def test_a_text_that_takes_years_is_told_and_the_next_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    token_bytes = TokenBytes(tiny_models.as_fast(cutting(ENDLESS)), "m")
    before = token_bytes.encode("banana bread")
    hasty(monkeypatch)
    told = "the tokenizer of m took more than .* s of processor time for a text of 21,000 characters"
    with pytest.raises(ModelError, match=told):
        token_bytes.encode(SLOW_TEXT)
    monkeypatch.undo()
    after = token_bytes.encode("banana bread")
    assert before.ids.tolist() == after.ids.tolist() and before.ends.tolist() == after.ends.tolist()


def test_what_the_library_says_of_a_text_is_told() -> None:
    token_bytes = TokenBytes(tiny_models.as_fast(cutting(ENDLESS)), "m")
    with pytest.raises(ModelError, match="the tokenizer of m fails on a text of 41 characters: Onig"):
        token_bytes.encode("a" * 40 + "b")


def test_a_library_that_panics_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever rule is wrongly thought to be harmless."""
    monkeypatch.setattr("evalkit.models.hf.token_bytes.is_bounded", lambda state: True)
    token_bytes = TokenBytes(tiny_models.as_fast(cutting(ENDLESS)), "m")
    with pytest.raises(ModelError, match="the tokenizer of m fails on a text of 41 characters: Onig"):
        token_bytes.encode("a" * 40 + "b")


@pytest.mark.parametrize("make", [lambda: cutting(r"\w+|\W"), lambda: cutting(r"[aeiou]+", ENDLESS)])
def test_encoding_apart_gives_what_it_gives_here(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Tokenizer]
) -> None:
    fast = tiny_models.as_fast(make())
    texts = [*tiny_models.TEXTS, "", " ", "<|endoftext|>", "".join(tiny_models.TEXTS) * 5]
    apart_bytes = TokenBytes(fast, "m")
    encodings = [apart_bytes.encode(text) for text in texts]
    assert isinstance(apart_bytes._backend, apart.ApartTokenizer)
    monkeypatch.setattr("evalkit.models.hf.token_bytes.is_bounded", lambda state: True)
    token_bytes = TokenBytes(fast, "m")
    assert isinstance(token_bytes._backend, Tokenizer)
    assert token_bytes.num_ids == apart_bytes.num_ids
    for text, encoding in zip(texts, encodings, strict=True):
        expected = token_bytes.encode(text)
        assert encoding.ids.tolist() == expected.ids.tolist()
        assert encoding.ends.tolist() == expected.ends.tolist()
        assert encoding.is_literal == expected.is_literal


def test_a_tokenizer_apart_has_the_members_of_one() -> None:
    tokenizer = cutting(r"\w+|\W")
    tokenizer.decoder = ByteLevel()
    tokenizer.encode_special_tokens = True
    child = apart.ApartTokenizer(state_of(tokenizer), "m")
    text = "Straße <|endoftext|> 文字\n"
    expected = tokenizer.encode(text, add_special_tokens=False)
    encoded = child.encode(text, add_special_tokens=False)
    assert encoded.ids == expected.ids
    assert encoded.offsets == expected.offsets
    assert child.decode(encoded.ids, skip_special_tokens=False) == text
    assert child.get_vocab(with_added_tokens=True) == tokenizer.get_vocab(with_added_tokens=True)
    assert child.id_to_token(3) == tokenizer.id_to_token(3)
    assert child.token_to_id("nothing of the sort") is None
    assert state_of(Tokenizer.from_str(child.to_str())) == state_of(tokenizer)


def test_more_tokenizers_than_the_child_remembers() -> None:
    tokenizers = [cutting(rf"\w{{{number}}}|\W") for number in range(1, 11)]
    children = [apart.ApartTokenizer(state_of(tokenizer), "m") for tokenizer in tokenizers]
    for child, tokenizer in zip(children, tokenizers, strict=True):
        expected = tokenizer.encode("banana bread", add_special_tokens=False).ids
        assert child.encode("banana bread", add_special_tokens=False).ids == expected


def test_a_function_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(b"slow")
    monkeypatch.setattr(apart, "LIMITS", apart.LIMITS._replace(max_wall_s=0.1))
    with pytest.raises(ModelError, match=r"m: the tokenizer in .*tokenizer\.model took more than 0\.1 s for"):
        apart.try_once(path, "m", time.sleep, 600)


def test_a_program_of_sentencepiece_is_tried_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise ModelError(f"tried {path.name}")

    (tmp_path / "tokenizer.model").write_bytes(b"\x0a\x05")
    # Whether or not that package is there.
    monkeypatch.setattr("evalkit.models.hf.tokenizer_files.importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("evalkit.models.hf.tokenizer_files.try_once", refuse)
    with pytest.raises(ModelError, match=r"^tried tokenizer\.model$"):
        read_tokenizer(tmp_path, "m", trust_remote_code=False)
