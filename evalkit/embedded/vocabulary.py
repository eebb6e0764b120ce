"""Vocabularies of the embedded models: byte-level BPE, in which every text has tokens and every token bytes.

Byte-level BPE is GPT-2's (Radford et al. 2019): merges start from the 256 bytes, so that nothing is unknown.
The last id, `START_TOKEN`, stands before every document; where a text spells it, it is text.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import transformers
    from tokenizers import Tokenizer

START_TOKEN = "<|start|>"
VOCAB_SIZE = 2048


def train_vocabulary(texts: Iterable[str], vocab_size: int = VOCAB_SIZE) -> "Tokenizer":
    """A vocabulary of the pairs that are most frequent in the texts, `START_TOKEN` last.

    Args:
        texts: in any order; it does not matter.
        vocab_size: of all tokens, the bytes and `START_TOKEN` among them.
    """
    from tokenizers import pre_tokenizers, trainers

    tokenizer = _tokenizer({}, [], use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return _with_start(tokenizer)


def byte_vocabulary() -> "Tokenizer":
    """The 256 bytes, each its own id, and `START_TOKEN`."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    symbols = bytes_to_unicode()
    return _with_start(_tokenizer({symbols[byte]: byte for byte in range(256)}, [], use_regex=False))


def start_id(tokenizer: "Tokenizer") -> int:
    """The id that stands before a document.

    Raises:
        ValueError: the vocabulary has no `START_TOKEN`.
    """
    index = tokenizer.token_to_id(START_TOKEN)
    if index is None:
        raise ValueError(f"the vocabulary has no {START_TOKEN}")
    return index


def document_ids(tokenizer: "Tokenizer", texts: Sequence[str]) -> list[NDArray[np.int16]]:
    """Each text as ids: the start, then its tokens."""
    start = start_id(tokenizer)
    return [
        np.array([start, *encoding.ids], np.int16)
        for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    ]


def byte_lengths(tokenizer: "Tokenizer") -> NDArray[np.int64]:
    """Bytes by id, ``[V]``; none for the start. Every byte is one character of a token's spelling."""
    lengths = np.zeros(tokenizer.get_vocab_size(), np.int64)
    for token, index in tokenizer.get_vocab().items():
        lengths[index] = 0 if token == START_TOKEN else len(token)
    return lengths


def of_transformers(
    tokenizer: "Tokenizer", num_context_tokens: int
) -> "transformers.PreTrainedTokenizerFast":
    """The vocabulary as a tokenizer of transformers, for a model with this context."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START_TOKEN,
        eos_token=START_TOKEN,
        model_max_length=num_context_tokens,
    )


def _tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]], *, use_regex: bool) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _with_start(tokenizer: "Tokenizer") -> "Tokenizer":
    from tokenizers import AddedToken

    tokenizer.add_special_tokens([AddedToken(START_TOKEN, special=True)])
    return tokenizer
