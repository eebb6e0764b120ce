"""Vocabularies of the embedded models."""

import numpy as np

from evalkit.embedded.vocabulary import (
    START_TOKEN,
    byte_lengths,
    byte_vocabulary,
    document_ids,
    of_transformers,
    start_id,
    train_vocabulary,
)

TEXTS = [
    "the cat sat on the mat; the cat ate. " * 4,
    "le château — «déjà vu»\r\n\t\0",
    "def f(x):\n    return x\n" * 3,
]


def test_bytes_are_their_own_ids_after_the_start() -> None:
    [ids] = document_ids(byte_vocabulary(), ["é\0"])
    assert ids.tolist() == [256, 0xC3, 0xA9, 0]


def test_a_trained_vocabulary_has_its_size_and_spells_every_text() -> None:
    tokenizer = train_vocabulary(TEXTS, 300)
    assert tokenizer.get_vocab_size() == 300
    assert start_id(tokenizer) == 299
    lengths = byte_lengths(tokenizer)
    assert (lengths[:299] > 0).all() and lengths[299] == 0
    unseen = ["the chat: 東京 🦜 \x7f", *TEXTS]
    for text, ids in zip(unseen, document_ids(tokenizer, unseen), strict=True):
        assert ids[0] == 299
        assert tokenizer.decode(ids[1:].tolist(), skip_special_tokens=False) == text
        assert lengths[ids].sum() == len(text.encode())
    assert len(document_ids(tokenizer, TEXTS)[0]) < len(TEXTS[0]) / 2


def test_the_start_in_a_text_is_text() -> None:
    """What a document says must not be able to end it."""
    for tokenizer in (byte_vocabulary(), train_vocabulary(TEXTS, 300)):
        [ids] = document_ids(tokenizer, [f"a{START_TOKEN}b"])
        assert start_id(tokenizer) not in ids[1:]


def test_the_order_of_the_texts_changes_nothing() -> None:
    assert train_vocabulary(TEXTS, 300).to_str() == train_vocabulary(TEXTS[::-1], 300).to_str()


def test_transformers_reads_the_same_ids() -> None:
    tokenizer = train_vocabulary(TEXTS, 300)
    other = of_transformers(tokenizer, 64)
    assert (other.bos_token_id, other.eos_token_id, other.model_max_length) == (299, 299, 64)
    for text in TEXTS:
        ids = other(text, add_special_tokens=False)["input_ids"]
        assert np.array_equal(ids, document_ids(tokenizer, [text])[0][1:])
