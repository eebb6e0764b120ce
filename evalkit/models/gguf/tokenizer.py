"""The tokenizer that a GGUF file has in its metadata, for texts as they stand.

| ``tokenizer.ggml.model`` | what it is |
|---|---|
| ``gpt2`` | BPE over bytes; how texts are cut is in `evalkit.models.gguf.pretokenizers` |
| ``llama`` | SentencePiece's BPE: pieces with scores, bytes where there is no piece |
| ``rwkv`` | greedy longest match; only RWKV World and bytes (`evalkit.models.gguf.rwkv7`) |
"""

from typing import TYPE_CHECKING

import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

from evalkit.errors import ModelError, first_line
from evalkit.models.document_start import TokenizerStart
from evalkit.models.gguf.header import Header
from evalkit.models.gguf.pretokenizers import KINDS, pre_tokenizer
from evalkit.models.hf.tokenizer_state import SPACE_SYMBOL

if TYPE_CHECKING:
    from collections.abc import Mapping

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Values of ``tokenizer.ggml.token_type``."""
_KEY = "tokenizer.ggml."
_MAX_CUTS = 1 << 30
"""Squares of pieces' lengths, summed: what it takes to try all pairs."""
_ROLES = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token"}


def read_tokenizer(header: Header) -> "transformers.PreTrainedTokenizerFast":
    """The tokenizer of a file; it puts BOS before a text where the file says so, or its kind does.

    Raises:
        ModelError: its kind is unknown here (the message names it), or its parts do not fit together.
    """
    kind = header.text(f"{_KEY}model")
    if kind not in ("gpt2", "llama"):
        raise ModelError(
            f"{header.path}: evalkit reads no tokenizer of kind {kind!r}, only gpt2, llama and rwkv; "
            "score the checkpoint that the file was made of with hf:"
        )
    tokens = header.strings(f"{_KEY}tokens")
    types = token_types(header, len(tokens))
    ids = _ids(header, tokens, types)
    try:
        backend = _byte_level(header, ids) if kind == "gpt2" else _sentencepiece(header, tokens, types, ids)
        added = [
            AddedToken(token, normalized=False, special=kind_of_token == CONTROL)
            for token, kind_of_token in zip(tokens, types, strict=True)
            if kind_of_token in (CONTROL, USER_DEFINED) and token
        ]
        backend.add_tokens(added)
    except ModelError:
        raise
    except Exception as error:  # the library raises nothing more specific
        raise ModelError(f"{header.path}: its tokenizer cannot be built: {first_line(error)}") from error
    roles = {
        role: tokens[index] for key, role in _ROLES.items() if (index := special_id(header, key, tokens)) >= 0
    }
    if "bos_token" in roles and adds_bos(header):
        bos = roles["bos_token"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, ids[bos])]
        )
    roles["chat_template"] = header.text("tokenizer.chat_template", "")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **roles)


def header_start(header: Header) -> TokenizerStart:
    """What a file's metadata say of the tokens before a document, whatever kind of tokenizer it is.

    Raises:
        ModelError: a special token lies outside the vocabulary, or there is no BOS to be put before a text.
    """
    tokens = header.strings(f"{_KEY}tokens")
    special_ids = {
        role: index if (index := special_id(header, role, tokens)) >= 0 else None for role in ("bos", "eos")
    }
    bos = special_ids["bos"]
    if adds_bos(header) and bos is None:
        raise ModelError(f"{header.path}: it says that BOS stands before a text, and has none")
    special = {token for token in special_ids.values() if token is not None}
    names = {
        index: tokens[index]
        for index, kind_of_token in enumerate(token_types(header, len(tokens)))
        if kind_of_token == CONTROL or index in special
    }
    template = (bos,) if bos is not None and adds_bos(header) else ()
    # As a tokenizer of bytes, one with pieces for bytes and one of plain texts spell it.
    line_breaks = [tokens.index(token) for token in ("Ċ", "<0x0A>", "\n") if token in tokens]
    return TokenizerStart(
        template,
        special_ids,
        names,
        header.text("tokenizer.chat_template", ""),
        next(iter((*template, *line_breaks)), None),
    )


def token_types(header: Header, num_tokens: int) -> list[int]:
    """``tokenizer.ggml.token_type``, all normal where the file has none.

    Raises:
        ModelError: there are more or fewer than tokens.
    """
    if f"{_KEY}token_type" not in header.metadata:
        return [NORMAL] * num_tokens
    types: list[int] = header.numbers(f"{_KEY}token_type").tolist()
    if len(types) != num_tokens:
        raise ModelError(f"{header.path}: it has {num_tokens} tokens and {len(types)} types of tokens")
    return types


def _ids(header: Header, tokens: list[str], types: list[int]) -> "Mapping[str, int]":
    ids: dict[str, int] = {}
    for index, token in enumerate(tokens):
        if token in ids and NORMAL in (types[index], types[ids[token]]):
            raise ModelError(f"{header.path}: its vocabulary has {token!r} twice; convert the model again")
        ids.setdefault(token, index)
    if not ids:
        raise ModelError(f"{header.path}: its vocabulary is empty; convert the model again")
    return ids


def special_id(header: Header, key: str, tokens: list[str]) -> int:
    """The id of a special token (``bos``, ``eos``, …); -1 where the file has none.

    Raises:
        ModelError: it lies outside the vocabulary.
    """
    index = header.integer(f"{_KEY}{key}_token_id", -1)
    if index == 2**32 - 1:  # what llama.cpp writes for none
        return -1
    if index >= len(tokens):
        raise ModelError(f"{header.path}: {_KEY}{key}_token_id is {index}, of {len(tokens)} tokens")
    return index


def adds_bos(header: Header) -> bool:
    """Whether BOS stands before a text: by the file, or as llama.cpp does where the file does not say."""
    by_kind = header.text(f"{_KEY}model") == "llama"
    kind = KINDS.get(header.text(f"{_KEY}pre", ""))
    return header.flag(f"{_KEY}add_bos_token", by_kind or (kind is not None and kind.adds_bos))


def _byte_level(header: Header, ids: "Mapping[str, int]") -> Tokenizer:
    pre = header.text(f"{_KEY}pre", "")
    if pre not in KINDS:
        name = (
            f"cuts texts in a way that evalkit does not know, {pre!r}"
            if pre
            else "does not say how it cuts texts"
        )
        raise ModelError(
            f"{header.path}: its tokenizer {name} (tokenizer.ggml.pre); known: {', '.join(sorted(KINDS))}; "
            "score the checkpoint that the file was made of with hf:"
        )
    pairs = [merge.split(" ") for merge in header.strings(f"{_KEY}merges")]
    if any(len(pair) != 2 for pair in pairs):
        raise ModelError(f"{header.path}: a merge of its tokenizer is no pair; convert the model again")
    kind = KINDS[pre]
    backend = Tokenizer(
        models.BPE(dict(ids), [(head, tail) for head, tail in pairs], ignore_merges=kind.ignores_merges)
    )
    backend.pre_tokenizer = pre_tokenizer(kind)
    backend.decoder = decoders.ByteLevel()
    return backend


def _sentencepiece(
    header: Header, tokens: list[str], types: list[int], ids: "Mapping[str, int]"
) -> Tokenizer:
    scores: list[float] = header.numbers(f"{_KEY}scores").tolist()
    if len(scores) != len(tokens):
        raise ModelError(f"{header.path}: it has {len(tokens)} tokens and {len(scores)} scores")
    if missing := [byte for byte in range(256) if f"<0x{byte:02X}>" not in ids]:
        raise ModelError(f"{header.path}: its vocabulary has no token for byte 0x{missing[0]:02X}")
    unknown = next((token for token, kind in zip(tokens, types, strict=True) if kind == UNKNOWN), None)
    backend = Tokenizer(
        models.BPE(
            dict(ids),
            _merges(header, tokens, types, scores, ids),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    adds_space = header.flag(f"{_KEY}add_space_prefix", True)
    backend.normalizer = normalizers.Sequence(
        [*([normalizers.Prepend(SPACE_SYMBOL)] if adds_space else []), normalizers.Replace(" ", SPACE_SYMBOL)]
    )
    steps = [decoders.Replace(SPACE_SYMBOL, " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] if adds_space else [])])
    return backend


def _merges(
    header: Header, tokens: list[str], types: list[int], scores: list[float], ids: "Mapping[str, int]"
) -> list[tuple[str, str]]:
    """Pairs of pieces that make a piece, the best piece's first: so SentencePiece joins."""
    if sum(len(token) ** 2 for token in tokens) > _MAX_CUTS:
        raise ModelError(f"{header.path}: its pieces are longer than any vocabulary's; convert it again")
    pairs = []
    for index, (token, kind) in enumerate(zip(tokens, types, strict=True)):
        if kind not in (NORMAL, UNUSED):
            continue
        for cut in range(1, len(token)):
            head, tail = token[:cut], token[cut:]
            if head in ids and tail in ids:
                pairs.append((-scores[index], index, ids[head], ids[tail], (head, tail)))
    return [pair for *_, pair in sorted(pairs)]
