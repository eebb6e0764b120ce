"""The vocabulary of an RWKV-7 checkpoint, as llama.cpp's converters write vocabularies into GGUF files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import UsageError
from evalkit.models.gguf.tokenizer import CONTROL, NORMAL, UNUSED, USER_DEFINED
from evalkit.models.rwkv7.places import tokenizer_of, tokenizer_place
from evalkit.models.rwkv7.tokenizer import WORLD_VOCAB_SIZE, is_built_in, world_token_bytes

if TYPE_CHECKING:
    from gguf import GGUFWriter

    from evalkit.models.catalog import CatalogEntry


def add_vocabulary(writer: "GGUFWriter", entry: "CatalogEntry", path: Path, vocab_size: int) -> None:
    """Add the tokens that a checkpoint of ``vocab_size`` rows means.

    Raises:
        ModelError: its tokenizer cannot be read.
        UsageError: its tokenizer is none that GGUF has a name for here.
    """
    tokenizer_of(entry, path, vocab_size)  # what evalkit does not read is not written
    if entry.tokenizer:
        _add_bpe(writer, tokenizer_place(entry.tokenizer, entry.name).folder / "tokenizer.json", vocab_size)
    elif is_built_in(vocab_size):
        _add_built_in(writer, vocab_size)
    else:
        folder = path if path.is_dir() else path.parent
        _add_bpe(writer, folder / "tokenizer.json", vocab_size)


def _add_built_in(writer: "GGUFWriter", vocab_size: int) -> None:
    """World's tokens or bytes."""
    if vocab_size == WORLD_VOCAB_SIZE:
        of_world = world_token_bytes()
        tokens = ["<s>", *(repr(of_world[index])[2:-1] for index in range(1, len(of_world) + 1))]
        types = [CONTROL, *[NORMAL] * len(of_world)]
    else:
        tokens = [repr(bytes([byte]))[2:-1] for byte in range(256)]
        types = [NORMAL] * 256
    writer.add_tokenizer_model("rwkv")
    _add_tokens(writer, tokens, types, vocab_size)


def _add_bpe(writer: "GGUFWriter", path: Path, vocab_size: int) -> None:
    """BPE over bytes that cuts texts as GPT-2 does, from a ``tokenizer.json``."""
    tokenizer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    cut, model = tokenizer.get("pre_tokenizer") or {}, tokenizer["model"]
    cuts_as_gpt2 = cut.get("type") == "ByteLevel" and cut.get("use_regex", True)
    is_plain = not (cut.get("add_prefix_space") or tokenizer.get("normalizer") or model.get("ignore_merges"))
    if model.get("type", "BPE") != "BPE" or not (cuts_as_gpt2 and is_plain):
        raise UsageError(
            f"{path} is not GPT-2's way to cut a text; only that, RWKV World and bytes are written for RWKV-7"
        )
    texts: dict[int, str] = {index: text for text, index in model["vocab"].items()}
    kinds = dict.fromkeys(texts, NORMAL)
    for token in tokenizer.get("added_tokens", ()):
        texts[token["id"]] = token["content"]
        kinds[token["id"]] = CONTROL if token["special"] else USER_DEFINED
    num_tokens = max(texts) + 1
    tokens = [texts.get(index, f"[PAD{index}]") for index in range(num_tokens)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    _add_tokens(writer, tokens, [kinds.get(index, UNUSED) for index in range(num_tokens)], vocab_size)
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    writer.add_token_merges([" ".join(pair) for pair in pairs])
    settings_path = path.parent / "tokenizer_config.json"
    settings = json.loads(settings_path.read_text(encoding="utf-8")) if settings_path.is_file() else {}
    for role, add in (("bos_token", writer.add_bos_token_id), ("eos_token", writer.add_eos_token_id)):
        named = settings.get(role)
        text = named.get("content") if isinstance(named, dict) else named
        if text in tokens:
            add(tokens.index(text))
    writer.add_add_bos_token(False)


def _add_tokens(writer: "GGUFWriter", tokens: list[str], types: list[int], vocab_size: int) -> None:
    """The tokens, and rows that stand for none."""
    padding = range(len(tokens), vocab_size)
    writer.add_token_list([*tokens, *(f"[PAD{index}]" for index in padding)])
    writer.add_token_types([*types, *[UNUSED] * len(padding)])
