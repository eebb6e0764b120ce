import itertools
import time
import unicodedata
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from evalkit.errors import LossyTextError, ModelError
from evalkit.models.hf.token_bytes import TokenBytes
from tests.support.tiny_models import TEXTS, as_fast, byte_level_tokenizer, sentencepiece_tokenizer

TOKENIZERS = {
    "byte-level": byte_level_tokenizer(),
    "byte-level with a space before the text": byte_level_tokenizer(add_prefix_space=True),
    "byte-level with NFC": byte_level_tokenizer(normalizer=normalizers.NFC()),
    "byte-level with lower case": byte_level_tokenizer(normalizer=normalizers.Lowercase()),
    "SentencePiece as in Llama 2": sentencepiece_tokenizer(),
    "SentencePiece by Metaspace": sentencepiece_tokenizer(space="metaspace"),
    "SentencePiece as in Gemma": sentencepiece_tokenizer(space="none"),
    "SentencePiece unigram": sentencepiece_tokenizer(model="unigram"),
    "SentencePiece unigram by Metaspace": sentencepiece_tokenizer(model="unigram", space="metaspace"),
}
TOKEN_BYTES = {name: TokenBytes(as_fast(tokenizer)) for name, tokenizer in TOKENIZERS.items()}
BYTE_LEVEL = [name for name in TOKENIZERS if name.startswith("byte-level")]
SENTENCEPIECE = [name for name in TOKENIZERS if name.startswith("SentencePiece")]

ADD_A_SPACE = {"byte-level with a space before the text", *SENTENCEPIECE} - {"SentencePiece as in Gemma"}

SPECIAL_STRINGS = ("<|endoftext|>", "<|startoftext|>", "<s>", "</s>", "<unk>")
MISLEADING = [
    "▁",
    "▁▁",
    " ▁ ",
    "<0x0A>",
    "<<0x41>",
    "<0xff>",
    "0x0A>",
    "\ufdd0",
    "\ufdd00",
    "\ufdd01",
    "\ufdd02",
]
"""What a SentencePiece-style vocabulary, or our copy of it, writes for something else."""
PIECES = [
    *MISLEADING,
    *SPECIAL_STRINGS,
    "\x00",
    "\x1b[1m",
    "\u0378",
    "\ue000",
    "\U0010ffff",
    " ",
    "  ",
    "\n",
    "é",
    "e\u0301",
    "\uff46\uff55ll",
    "\U0001f9ee",
    "the ",
    "def ",
]
ANY_TEXT = st.one_of(
    st.text(), st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3))).map("".join)
)


def pieces(name: str, text: str) -> list[bytes]:
    """The document's bytes cut where its tokens end."""
    encoding = TOKEN_BYTES[name].encode(text)
    ends = [0, *encoding.ends.tolist()]
    assert len(encoding.ids) == len(encoding.ends)
    assert encoding.ids.dtype == encoding.ends.dtype == np.int64
    return [text.encode()[start:end] for start, end in itertools.pairwise(ends)]


def spelled(name: str, token: int) -> bytes:
    """An id's bytes, from the vocabulary and by other means than the code under test."""
    symbol = TOKENIZERS[name].id_to_token(token)
    if name in BYTE_LEVEL:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        plain = [c for c in alphabet if ord(c) < 256]
        unprintable = sorted(set(range(256)) - set(map(ord, plain)))
        table = {c: ord(c) for c in plain} | {chr(256 + i): byte for i, byte in enumerate(unprintable)}
        return bytes(table[character] for character in symbol)
    if symbol.startswith("<0x"):
        return bytes.fromhex(symbol[3:5])
    return symbol.replace("▁", " ").encode()


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(deadline=None, max_examples=150)
@given(text=ANY_TEXT)
@example(text="")
@example(text=" ")
@example(text="  two blanks")
@example(text="e\u0301 and é")
@example(text="<|endoftext|><s></s><unk>")
@example(text="\x00\ufdd0\uffff")
@example(text="▁")
@example(text="wandb: loss ▁▂▃▅▇█\nwandb: step ▁▁▃▃▅")
@example(text="a literal <0x0A> and <0x0A><0x0A>, ▁<0xE2>")
@example(text="\ufdd01 and \ufdd00\ufdd02")
def test_any_text_is_tiled_by_what_its_tokens_spell(name: str, text: str) -> None:
    encoding = TOKEN_BYTES[name].encode(text)
    words = [spelled(name, token) for token in encoding.ids.tolist()]
    joined = b"".join(words)
    if name in (
        "SentencePiece as in Gemma",
        "byte-level",
        "byte-level with NFC",
        "byte-level with lower case",
    ):
        assert joined == text.encode()
        assert pieces(name, text) == words
    elif text:
        assert joined == b" " + text.encode()
        assert pieces(name, text) == [words[0][1:], *words[1:]]
    assert encoding.ends.tolist() == np.cumsum([len(piece) for piece in pieces(name, text)]).tolist()
    assert not text or encoding.ends[-1] == len(text.encode())


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("special", SPECIAL_STRINGS)
def test_special_strings_in_a_text_are_text(name: str, special: str) -> None:
    text = f"before {special} after"
    tokenizer = TOKENIZERS[name]
    special_ids = {tokenizer.token_to_id(token) for token in SPECIAL_STRINGS} - {None}
    encoding = TOKEN_BYTES[name].encode(text)
    assert special_ids.isdisjoint(encoding.ids.tolist())
    assert b"".join(pieces(name, text)) == text.encode()
    # The same tokenizer used as it comes does parse what is special to it.
    assert special_ids.isdisjoint(tokenizer.encode(text).ids) == (tokenizer.token_to_id(special) is None)


@pytest.mark.parametrize("name", ["byte-level", "byte-level with NFC", *SENTENCEPIECE])
def test_ordinary_text_gets_the_ids_that_transformers_gives(name: str) -> None:
    fast = as_fast(TOKENIZERS[name])
    for text in (*TEXTS, "".join(TEXTS)):
        expected = fast(text, add_special_tokens=False)["input_ids"]
        assert TOKEN_BYTES[name].encode(text).ids.tolist() == expected


def test_the_given_tokenizer_is_left_as_it_was() -> None:
    fast = as_fast(byte_level_tokenizer(adds_bos=True))
    fast.backend_tokenizer.enable_truncation(max_length=7)
    fast.backend_tokenizer.enable_padding(length=9)
    before = fast.backend_tokenizer.to_str()
    token_bytes = TokenBytes(fast)
    assert len(token_bytes.encode("a text that is longer than seven tokens").ids) > 7
    assert fast.backend_tokenizer.to_str() == before
    assert fast.backend_tokenizer.encode_special_tokens is False


@pytest.mark.parametrize("text", ["e\u0301", "Amélie: e\u0301t\u00e9", "\u212b \u1100\u1161"])
def test_text_that_a_normaliser_would_compose_keeps_its_bytes(text: str) -> None:
    name = "byte-level with NFC"
    assert unicodedata.normalize("NFC", text) != text
    assert b"".join(pieces(name, text)) == text.encode()
    composed = unicodedata.normalize("NFC", text)
    assert TOKEN_BYTES[name].encode(text).ids.tolist() != TOKEN_BYTES[name].encode(composed).ids.tolist()
    # Where the normaliser changes nothing, it stays: the model reads what it was trained on.
    plain = TOKEN_BYTES["byte-level"].encode(text)
    assert TOKEN_BYTES[name].encode(text).ids.tolist() == plain.ids.tolist()


def test_a_folding_normaliser_with_byte_fallback_keeps_full_width_characters() -> None:
    tokenizer = sentencepiece_tokenizer()
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), tokenizer.normalizer])
    text = "\uff46\uff55ll width\uff01"
    encoding = TokenBytes(as_fast(tokenizer)).encode(text)
    assert encoding.ends[-1] == len(text.encode())
    assert tokenizer.decode(encoding.ids.tolist()) == text


def _with_added_token(tokenizer: Tokenizer, token: AddedToken) -> Tokenizer:
    tokenizer.add_tokens([token])
    return tokenizer


@pytest.mark.parametrize("make", [byte_level_tokenizer, sentencepiece_tokenizer])
def test_added_tokens_that_are_not_special_stay_tokens(make: Any) -> None:
    tokenizer = _with_added_token(make(), AddedToken("<thïnk>", normalized=False))
    token_id = tokenizer.token_to_id("<thïnk>")
    encoding = TokenBytes(as_fast(tokenizer)).encode("<thïnk>")
    if make is byte_level_tokenizer:  # a piece of text, not symbols of the byte alphabet
        assert encoding.ids.tolist() == [token_id]
        assert encoding.ends.tolist() == [len("<thïnk>".encode())]


@pytest.mark.parametrize("make", [byte_level_tokenizer, sentencepiece_tokenizer])
def test_an_added_token_that_swallows_blanks_is_spelled_out(make: Any) -> None:
    tokenizer = _with_added_token(make(), AddedToken("<end>", rstrip=True, normalized=False))
    text = "a <end>   b"
    encoding = TokenBytes(as_fast(tokenizer)).encode(text)
    assert encoding.ends[-1] == len(text)
    assert tokenizer.token_to_id("<end>") not in encoding.ids


def test_an_end_of_text_token_that_its_file_does_not_call_special_is_text_all_the_same() -> None:
    tokenizer = _with_added_token(byte_level_tokenizer(), AddedToken("</end>", special=False))
    encoding = TokenBytes(as_fast(tokenizer, eos_token="</end>")).encode("a </end> b")
    assert tokenizer.token_to_id("</end>") not in encoding.ids
    assert encoding.ends[-1] == len("a </end> b")


def test_other_decoders_use_offsets_that_tile_the_text_and_decode_to_it() -> None:
    symbols = ["[UNK]", "a", "##b", "##é", "##\U0001f9ee"]
    tokenizer = Tokenizer(
        models.WordPiece({symbol: i for i, symbol in enumerate(symbols)}, unk_token="[UNK]")
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    token_bytes = TokenBytes(as_fast(tokenizer, unk_token="[UNK]", bos_token=None, eos_token=None))
    encoding = token_bytes.encode("abé\U0001f9eeb")
    assert encoding.ids.tolist() == [1, 2, 3, 4, 2]
    assert encoding.ends.tolist() == [1, 2, 4, 8, 9]
    with pytest.raises(LossyTextError, match="at byte 0 "):
        token_bytes.encode("xyz")


def test_without_a_decoder_tokens_stand_for_themselves() -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2, "é": 3}, [("a", "b")]))
    encoding = TokenBytes(as_fast(tokenizer, unk_token=None, bos_token=None, eos_token=None)).encode("aabé")
    assert encoding.ids.tolist() == [0, 2, 3]
    assert encoding.ends.tolist() == [1, 3, 5]


LOSSY = {
    "a literal ▁": (
        sentencepiece_tokenizer(byte_fallback=False),
        "a b▁c",
        r"at byte 3 \('▁', U\+2581\); its vocabulary has no tokens of bytes$",
    ),
    "a literal ▁ of unigram": (
        sentencepiece_tokenizer(byte_fallback=False, model="unigram"),
        "a a▁a",
        r"at byte 3 \('▁', U\+2581\); its vocabulary has no tokens of bytes$",
    ),
    "the new name of a control piece": (
        sentencepiece_tokenizer(byte_fallback=False, model="unigram"),
        "a \ufdd01",
        r"at byte 2 \('\\ufdd0', U\+FDD0\); its vocabulary has no tokens of bytes$",
    ),
    "an unknown character": (
        sentencepiece_tokenizer(byte_fallback=False),
        "ab \U0001f9ee",
        r"at byte 3 .*U\+1F9EE",
    ),
    "no unknown token": (Tokenizer(models.Unigram([("D", -1.0)])), "xyz", "no unknown token"),
    "characters that are dropped": (Tokenizer(models.BPE({"a": 0}, [])), "aXa", "at byte 1 "),
}


@pytest.mark.parametrize("case", LOSSY)
def test_a_text_that_cannot_be_told_from_its_tokens_is_refused(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.models.hf.token_bytes._PROBE", "D" if case == "no unknown token" else "a")
    tokenizer, text, message = LOSSY[case]
    token_bytes = TokenBytes(as_fast(tokenizer, name_or_path="tiny/tokenizer"))
    with pytest.raises(LossyTextError, match=message) as caught:
        token_bytes.encode(text)
    assert "tiny/tokenizer" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", SENTENCEPIECE)
def test_what_has_another_meaning_is_paid_for_by_the_byte(name: str) -> None:
    tokenizer, around = TOKENIZERS[name], "the price of a text"
    encoding = TOKEN_BYTES[name].encode(f"{around}▁{around}")
    symbols = [tokenizer.id_to_token(token) for token in encoding.ids.tolist()]
    place = symbols.index("<0xE2>")
    assert symbols[place : place + 3] == ["<0xE2>", "<0x96>", "<0x81>"]  # U+2581
    assert encoding.is_literal
    # The text before it is read as it is in any document.
    ordinary = TOKEN_BYTES[name].encode(around)
    assert encoding.ids[:place].tolist() == ordinary.ids.tolist()
    assert not ordinary.is_literal
    # Two halves of the name of a byte are not that byte.
    symbols = [tokenizer.id_to_token(token) for token in TOKEN_BYTES[name].encode("<0x0A>").ids.tolist()]
    assert "<0x0A>" not in symbols


def test_no_text_has_the_id_of_a_control_piece() -> None:
    tokenizer = sentencepiece_tokenizer(model="unigram")
    control = [tokenizer.token_to_id(token) for token in ("<unk>", "<s>", "</s>")]
    for index in control:
        encoding = TokenBytes(as_fast(tokenizer)).encode(f"a \ufdd0{index} b")
        assert not set(control).intersection(encoding.ids.tolist())


def test_byte_fallback_that_only_the_model_states_is_byte_fallback() -> None:
    tokenizer = sentencepiece_tokenizer(space="metaspace")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    encoding = TokenBytes(as_fast(tokenizer)).encode("a \U0001f9ee▁")
    assert encoding.ends[-1] == len("a \U0001f9ee▁".encode())


def test_an_encoding_without_the_tokenizers_own_normaliser_says_so() -> None:
    for text, is_literal in (("e\u0301", True), ("é", False), ("plain", False)):
        assert TOKEN_BYTES["byte-level with NFC"].encode(text).is_literal == is_literal
        assert not TOKEN_BYTES["byte-level"].encode(text).is_literal


def test_thousands_of_misleading_characters_take_no_quadratic_time() -> None:
    token_bytes = TOKEN_BYTES["SentencePiece unigram"]
    assert token_bytes.encode("▁<0x0A>\ufdd01" * 4000).ends[-1] == 4000 * 13


def test_a_lone_surrogate_has_no_bytes() -> None:
    with pytest.raises(LossyTextError, match="lone surrogate at 1"):
        TOKEN_BYTES["byte-level"].encode("a\ud800")


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow(transformers.PythonBackend):
        vocab_size = 1

        def get_vocab(self) -> dict[str, int]:
            return {"a": 0}

    with pytest.raises(ModelError, match=r"Slow is not a fast tokenizer.*tokenizer\.json"):
        TokenBytes(Slow())


def test_a_tokenizer_with_ways_of_its_own_is_refused() -> None:
    class Shouting(transformers.PreTrainedTokenizerFast):
        def __call__(self, text: str, **settings: Any) -> Any:
            return super().__call__(text.upper(), **settings)

    with pytest.raises(ModelError, match=r"Shouting does more than its tokenizer\.json"):
        TokenBytes(Shouting(tokenizer_object=byte_level_tokenizer()))


def test_dropout_is_off() -> None:
    tokenizer = byte_level_tokenizer()
    tokenizer.model.dropout = 0.9
    fast = as_fast(tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TokenBytes, "_check_against", lambda *_: None)  # which would see the dropout
        token_bytes = TokenBytes(fast)
    text = "".join(TEXTS)
    assert token_bytes.encode(text).ids.tolist() == TOKEN_BYTES["byte-level"].encode(text).ids.tolist()


def test_num_ids_leaves_out_tokens_that_no_text_gives() -> None:
    tokenizer = byte_level_tokenizer()
    size = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens(["<pad>"])
    assert TokenBytes(as_fast(tokenizer)).num_ids == size
    tokenizer.add_tokens(["<think>"])
    assert TokenBytes(as_fast(tokenizer)).num_ids == size + 2


def test_byte_accounting_adds_little_to_tokenization() -> None:
    text = ("".join(TEXTS) * 20)[:5000]
    backend = TOKENIZERS["byte-level"]
    token_bytes = TOKEN_BYTES["byte-level"]
    token_bytes.encode(text)

    def seconds(function: Any) -> float:
        times = []
        for _ in range(15):
            start = time.thread_time()
            function()
            times.append(time.thread_time() - start)
        return min(times)

    # Of this thread, and beside the tokenizer itself, so that a busy machine does not matter.
    assert seconds(lambda: token_bytes.encode(text)) < 3 * seconds(lambda: backend.encode(text).ids)
