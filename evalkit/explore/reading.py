"""What a text costs a model, and what the model held for likelier at one of its tokens."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from evalkit.coding.segmentations import token_bytes
from evalkit.corpora.document import Document, make_document
from evalkit.errors import ModelError, ScoringError, UsageError
from evalkit.models.lanes import DecodingModel
from evalkit.models.prefixes import prefix_under
from evalkit.models.protocol import TokenModel
from evalkit.scoring.documents import score_documents
from evalkit.scoring.policy import windows
from evalkit.scoring.tokens import Tokens, TokenSpool

POLICY = "document"
MAX_TEXT_BYTES = 20_000
"""Of a text on the page: models on a processor answer while one types."""
NUM_PREDICTIONS = 10


@dataclasses.dataclass(frozen=True)
class Reading:
    """A text as a model read it."""

    num_bytes: int
    total_bits: float
    tokens: Tokens


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A token that might have come."""

    data: bytes
    """What it stands for; nothing where no text has it."""
    probability: float
    is_texts_own: bool


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A model's distribution at a token of a text, the likeliest first."""

    rank: int
    """Of the text's own token, from 1."""
    probability: float
    """Of the text's own token."""
    likeliest: tuple[Prediction, ...]


def document_of(text: str) -> Document:
    """A typed text as a document.

    Raises:
        UsageError: it is longer than `MAX_TEXT_BYTES`, or holds a lone surrogate and so has no bytes.
    """
    try:
        document = make_document(text, source="typed")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"character {error.start + 1} of the text is half of one, which has no bytes"
        ) from None
    if document.num_bytes > MAX_TEXT_BYTES:
        raise UsageError(
            f"the text has {document.num_bytes:,} bytes, and this page reads at most {MAX_TEXT_BYTES:,}; "
            "score longer ones with evalkit run"
        )
    return document


def read(model: TokenModel, text: str) -> Reading:
    """Score a text as ``evalkit run`` scores a document of the same bytes.

    Raises:
        UsageError: the text is too long, see `document_of`.
        ScoringError: the model's tokens cannot represent it, or it gives a cost that is no number.
    """
    document = document_of(text)
    if not text:
        return Reading(0, 0.0, Tokens(np.zeros(0, np.float32), np.zeros(0, np.int64)))
    [score] = score_documents(model, [document], POLICY, spool=TokenSpool(), num_workers=1)
    if score.total_bits is None or score.load_tokens is None:
        raise ScoringError(f"{model.identity.name} cannot represent this text: {score.lossy}")
    return Reading(document.num_bytes, score.total_bits, score.load_tokens())


def predictions(model: TokenModel, text: str, token: int) -> Predictions:
    """What a model held for likely at a token of a text, after what it had read when it paid for that token.

    Args:
        model: one that shows distributions.
        text: as for `read`.
        token: its place among the text's tokens, from 0.

    Raises:
        UsageError: the text has no such token, or is too long.
        ModelError: the model shows no distributions.
        ScoringError: nothing stood before the token, the model's tokens cannot represent the text, or a logit
            is no number.
    """
    reader = decoding_model(model)
    ids = encoded(reader, text)
    if not 0 <= token < len(ids):
        raise UsageError(
            f"the text has {len(ids)} tokens for {model.identity.name}, and none has place {token}"
        )
    context = _context(reader, ids, token)
    if not context:
        raise ScoringError(
            f"nothing stands before the first token of {model.identity.name}: all are equally likely to it"
        )
    inputs = torch.cat(list(reader.head_inputs(context, [ids[token]])))
    probabilities = torch.softmax(last_logits(reader, inputs), -1).numpy()
    # Of equal ones the lower id first, on every machine.
    order = np.argsort(-probabilities, kind="stable")[:NUM_PREDICTIONS].tolist()
    before = spelling_context(reader)
    return Predictions(
        rank=1 + int((probabilities > probabilities[ids[token]]).sum()),
        probability=float(probabilities[ids[token]]),
        likeliest=tuple(
            Prediction(text_bytes(reader, place, before), float(probabilities[place]), place == ids[token])
            for place in order
        ),
    )


def decoding_model(model: TokenModel) -> DecodingModel:
    """The model as one that shows distributions.

    Raises:
        ModelError: it does not.
    """
    if not isinstance(model, DecodingModel):
        raise ModelError(
            f"{model.identity.name} does not show the distribution of its next token; models that are loaded "
            "by rwkv7, hf, gguf or llamacpp do"
        )
    return model


def last_logits(model: DecodingModel, inputs: torch.Tensor) -> torch.Tensor:
    """``[vocab_size]``, in float64 on the processor: what a model makes of the last of a head's inputs.

    Raises:
        ScoringError: one is no number.
    """
    logits = model.logits(inputs)[-1].double().cpu()
    if torch.isnan(logits).any() or torch.isposinf(logits).any():
        raise ScoringError(
            f"a logit of {model.identity.name} is no number; the weights or the precision are broken"
        )
    return logits


def encoded(model: TokenModel, text: str) -> list[int]:
    """The ids of a text's tokens.

    Raises:
        UsageError: the text is too long, see `document_of`.
        LossyTextError: the model's tokens cannot represent it.
    """
    ids: list[int] = model.encode(document_of(text).text).ids.tolist()
    return ids


def spelling_context(model: DecodingModel) -> list[int]:
    """Ids to read a token's bytes behind: SentencePiece takes a space from a text's first token."""
    ids: list[int] = model.encode("a").ids.tolist()
    return ids


def text_bytes(model: DecodingModel, token: int, before: Sequence[int]) -> bytes:
    """What a token stands for in a text: nothing where no text has it, as those that stand between texts.

    Args:
        model: whose token it is.
        token: its id.
        before: from `spelling_context`.
    """
    return b"" if token in prefix_under(model, POLICY).ids else token_bytes(model, token, before)


def _context(model: TokenModel, ids: Sequence[int], token: int) -> list[int]:
    """What was read before a token when it was paid for."""
    prefix = prefix_under(model, POLICY)
    cut = windows(POLICY, ids, prefix=prefix.ids, context_limit=model.context_limit)
    window = next(part for part in cut if part.first <= token < part.first + len(part.targets))
    return [*window.context.tolist(), *window.targets[: token - window.first].tolist()]
