"""Small random checkpoints with small trained tokenizers, in the file formats of the real ones."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from evalkit.models.catalog import CatalogEntry
from tests.support.architectures import random_model as random_model

BYTE_LEVEL_SPECIAL = ["<|endoftext|>", "<|startoftext|>"]
SENTENCEPIECE_SPECIAL = ["<unk>", "<s>", "</s>"]

TEXTS = [
    "The compression of a text is a bet on what comes next, and the stake is paid in bits.\n",
    "In the beginning there was the byte, and the byte was with the file, and the file was text.\n",
    "def add(first, second):\n    return first + second\n\n\nprint(add(1, 2))\n",
    "Die Größe eines Textes misst man in Bytes, nicht in Zeichen: „Straße“ hat acht davon.\n",
    "Le café coûte 3,50 € à l'été, naïvement parlant.\n",
    "文字を数える。字节才是单位。Байты, не буквы.\n",
]


def byte_level_tokenizer(
    *,
    texts: Iterable[str] = TEXTS,
    num_merged_tokens: int = 120,
    normalizer: Any = None,
    adds_bos: bool = False,
    add_prefix_space: bool = False,
) -> Tokenizer:
    """A GPT-2-style tokenizer: BPE over the bytes of words; ``<|endoftext|>`` and ``<|startoftext|>``."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=256 + len(BYTE_LEVEL_SPECIAL) + num_merged_tokens,
            special_tokens=BYTE_LEVEL_SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|startoftext|> $A", special_tokens=[("<|startoftext|>", 1)]
        )
    return tokenizer


def sentencepiece_tokenizer(
    *,
    texts: Iterable[str] = TEXTS,
    vocab_size: int = 420,
    space: str = "prepend",
    model: str = "bpe",
    byte_fallback: bool = True,
    adds_bos: bool = False,
) -> Tokenizer:
    """A SentencePiece-style tokenizer with ``<unk>``, ``<s>``, ``</s>`` and one token per byte.

    Args:
        texts: what to learn merges or pieces from.
        vocab_size: of which 259 are special or bytes.
        space: ``prepend`` (Llama 2's normaliser), ``metaspace`` (the same as a pre-tokenizer) or ``none``
            (Gemma).
        model: ``bpe`` or ``unigram``.
        byte_fallback: whether unknown characters become bytes rather than ``<unk>``.
        adds_bos: whether ``<s>`` is put before a text.
    """
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)] if byte_fallback else []
    tokenizer = Tokenizer(
        models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=byte_fallback)
        if model == "bpe"
        else models.Unigram()
    )
    if space == "metaspace":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        steps = [normalizers.Prepend("▁")] if space == "prepend" else []
        tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    strip = [] if space == "none" else [decoders.Strip(" ", 1, 0)]
    fallback = [decoders.ByteFallback()] if byte_fallback else []
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), *fallback, decoders.Fuse(), *strip])
    settings = {
        "vocab_size": vocab_size,
        "special_tokens": SENTENCEPIECE_SPECIAL + byte_tokens,
        "initial_alphabet": ["▁"],
        "show_progress": False,
    }
    words = [word for text in texts for word in text.split()]
    if model == "bpe":
        trainer: Any = trainers.BpeTrainer(**settings, max_token_length=8)
        tokenizer.train_from_iterator(words, trainer)
    else:
        trainer = trainers.UnigramTrainer(**settings, unk_token="<unk>")
        tokenizer.train_from_iterator(words, trainer)
        vocabulary = json.loads(tokenizer.to_str())["model"]["vocab"]
        tokenizer.model = models.Unigram(list(map(tuple, vocabulary)), unk_id=0, byte_fallback=byte_fallback)
    # Only the named ones are added tokens, as in real checkpoints; bytes are ordinary entries.
    tokenizer = _without_added(tokenizer, byte_tokens)
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def _without_added(tokenizer: Tokenizer, names: list[str]) -> Tokenizer:
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in names]
    return Tokenizer.from_str(json.dumps(state))


def as_fast(tokenizer: Tokenizer, **settings: Any) -> Any:
    """A tokenizer as transformers holds it, with the special tokens that its vocabulary has."""
    if tokenizer.token_to_id("<|endoftext|>") is not None:
        names = {"eos_token": "<|endoftext|>", "bos_token": "<|startoftext|>"}
    else:
        names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **(names | settings))


def save_checkpoint(folder: Path, model: transformers.PreTrainedModel, tokenizer: Any) -> Path:
    """Write model and tokenizer the way `save_pretrained` does; the folder is returned."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def entry(folder: Path, **fields: Any) -> CatalogEntry:
    """What the command line makes of ``hf:FOLDER``."""
    return CatalogEntry(name=f"hf:{folder.name}", loader="hf", target=str(folder), **fields)
