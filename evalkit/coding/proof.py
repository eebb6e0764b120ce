"""Documents that are coded and decoded again, side by side, by the very windows that they were scored by."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evalkit.coding.rounds import Layout
from evalkit.corpora.document import Corpus, Document
from evalkit.errors import LossyTextError, ScoringError, UsageError
from evalkit.models.compressors import ClassicalCodec
from evalkit.models.protocol import Model
from evalkit.scoring.policy import POLICIES

if TYPE_CHECKING:  # these need torch, and compressors do not
    from evalkit.coding.lanes import LaneCode
    from evalkit.coding.symbols import Ids

_NUM_ROWS = 32


class Decoded(NamedTuple):
    """Documents that came back to the last bit."""

    num_documents: int
    num_bytes: int
    num_code_bytes: int
    """Of one code for all of them, without any header."""
    ideal_bits: float
    """What they cost by the distributions that the code was made by."""


def check_decodable(policy: str) -> None:
    """Refuse a policy that does not pay for every token.

    Raises:
        UsageError: nothing can be decoded under it.
    """
    if not POLICIES[policy].pays_for_all:
        raise UsageError(
            f"--prove: under policy {policy} some tokens are not paid for, so that nothing can be decoded; "
            "take another --policy"
        )


def check_no_contexts(corpora: Iterable[Corpus]) -> None:
    """Refuse corpora with contexts: who decodes a text does not have them.

    Raises:
        UsageError: there is one; the message names it.
    """
    for corpus in corpora:
        if corpus.has_contexts:
            raise UsageError(f"--prove: corpus {corpus.name} has documents with a context; leave --prove out")


def decode_again(
    model: Model,
    documents: Sequence[Document],
    policy: str,
    prefix: Sequence[int] | None = None,
    *,
    most: int | None = None,
) -> Decoded:
    """Code documents by a model's distributions, decode them, and compare every byte.

    Args:
        model: one that shows distributions and what its tokens stand for, or a compressor of evalkit's.
        documents: those that its tokens cannot represent are left out.
        policy: see `check_decodable`.
        prefix: ids that are read before each; None: the model's own.
        most: the first so many that have tokens; None: all.

    Raises:
        ModelError: the model shows no distributions.
        ScoringError: a document did not come back, or none has tokens.
    """
    if isinstance(model, ClassicalCodec):
        return _decode_codec(model, documents[:most])
    from evalkit.coding.lanes import decode_lanes, encode_lanes
    from evalkit.models.lanes import lane_reader

    check_decodable(policy)
    reader = lane_reader(model)
    coded: list[tuple[Document, Ids]] = []
    for document in documents:
        if len(coded) == most:
            break
        try:
            ids = np.asarray(reader.model.encode(document.text).ids, np.int64)
        except LossyTextError:  # it has no score either
            continue
        if len(ids):
            coded.append((document, ids))
    if not coded:
        raise ScoringError(f"{model.identity.name}: no document has tokens, so that none can be decoded")
    start = tuple(reader.model.prefix if prefix is None else prefix)
    lengths = tuple(len(ids) for _, ids in coded)
    layout = Layout(lengths, policy, start, reader.model.context_limit, min(_NUM_ROWS, len(coded)))
    code: LaneCode = encode_lanes(reader, layout, [ids for _, ids in coded])
    try:
        lanes = decode_lanes(lane_reader(model), layout, code.words)
        texts = [reader.model.decode(ids.tolist()) for ids in lanes]
    except (ValueError, KeyError, IndexError) as error:
        raise ScoringError(f"{model.identity.name}: its code cannot be decoded: {error}") from error
    for (document, _), text in zip(coded, texts, strict=True):
        if text not in (document.data, b" " + document.data):  # with the space before it of SentencePiece
            raise ScoringError(
                f"{model.identity.name}: document {document.id} was coded and came back as another text"
            )
    num_bytes = sum(document.num_bytes for document, _ in coded)
    return Decoded(len(coded), num_bytes, len(code.words), code.ideal_bits)


def check_shows_distributions(model: Model) -> None:
    """Refuse a model of which nothing can be decoded.

    Raises:
        ModelError: it does not show the distribution of its next token.
    """
    if not isinstance(model, ClassicalCodec):
        from evalkit.models.lanes import lane_reader

        lane_reader(model)


def _decode_codec(model: ClassicalCodec, documents: Sequence[Document]) -> Decoded:
    num_bytes, num_code_bytes = 0, 0
    for document in documents:
        code = model.encode(document.data)
        if model.decode(code, document.num_bytes) != document.data:
            raise ScoringError(
                f"{model.identity.name}: document {document.id} was coded and came back as other bytes"
            )
        num_bytes, num_code_bytes = num_bytes + document.num_bytes, num_code_bytes + len(code)
    return Decoded(len(documents), num_bytes, num_code_bytes, 8.0 * num_code_bytes)
