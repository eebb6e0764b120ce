"""How far the distributions of two models of one vocabulary lie apart, token by token.

Both read the same tokens in lockstep, a few at a time, and of their distributions only sums are kept: memory
holds two blocks of logits, whatever a text is long, and nothing goes to disk. llama.cpp's way to the same
number writes the logits of one model to a file first (``llama-perplexity --kl-divergence``).
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.corpora.document import Document
from evalkit.errors import LossyTextError, ScoringError, UsageError
from evalkit.models.distributions import DistributionModel, recut
from evalkit.models.prefixes import prefix_under
from evalkit.models.protocol import Encoding, TokenModel
from evalkit.scoring.document_windows import document_windows, encoded_if_possible
from evalkit.scoring.documents import BITS_PER_NAT, Progress
from evalkit.scoring.encoding import Encode
from evalkit.scoring.policy import Window

POSITION_EDGES = (0, *(64 << doubling for doubling in range(24)))
"""Numbers of tokens before a token, between which positions are taken together; the last has no end."""
_NUM_LOGITS = 1 << 22
"""Of one model at a time: 32 MB in float64."""


class TokenDivergences(NamedTuple):
    """What two models make of a few tokens, ``[N]`` each."""

    nats: Tensor
    """Kullback-Leibler divergence of the model from the reference, float64."""
    agrees: Tensor
    """Whether both hold the same token for the likeliest."""
    reference_nats: Tensor
    """What the text's own tokens cost the reference, float64."""


@dataclasses.dataclass(frozen=True)
class DocumentDivergence:
    """Sums over the tokens of a document that its policy pays for, by `POSITION_EDGES`, ``[num_bins]``."""

    document: Document
    num_tokens: NDArray[np.int64]
    bits: NDArray[np.float64]
    """Of the divergences, in bits."""
    num_agreeing: NDArray[np.int64]
    max_bits: float
    """The greatest divergence of a token; 0 where no token is paid for."""


def token_divergences(logits: Tensor, reference_logits: Tensor, targets: Tensor) -> TokenDivergences:
    """Sum over all tokens t of p(t) ln(p(t) / q(t)), where p is the reference's distribution.

    Args:
        logits: of the model, ``[N, V]``.
        reference_logits: of the reference, the same.
        targets: the text's own tokens, ``[N]``.
    """
    expected = torch.log_softmax(reference_logits.double(), -1)
    log_ratio = expected - torch.log_softmax(logits.double(), -1)
    # Where p is 0, also as exp(-inf), a token adds nothing.
    terms = torch.where(expected == -torch.inf, 0.0, expected.exp() * log_ratio)
    return TokenDivergences(
        terms.sum(-1),
        logits.argmax(-1) == reference_logits.argmax(-1),
        -expected.gather(-1, targets[:, None]).squeeze(-1),
    )


def check_same_tokens(
    documents: Sequence[Document], names: tuple[str, str], encoders: tuple[Encode, Encode]
) -> None:
    """Refuse two models that cut a text into different tokens.

    Raises:
        UsageError: they do; the message names a document and the place.
    """
    for document in documents:
        first, second = (_encoded_whole(document, encode) for encode in encoders)
        if first is None or second is None:  # whoever scores them says which
            continue
        shared = min(len(first.ids), len(second.ids))
        differs = (first.ids[:shared] != second.ids[:shared]) | (first.ends[:shared] != second.ends[:shared])
        if len(first.ids) == len(second.ids) and not differs.any():
            continue
        place = int(np.argmax(differs)) if differs.any() else shared
        start = 0 if place == 0 else int(first.ends[place - 1])
        raise UsageError(
            f"{names[0]} and {names[1]} have different vocabularies: of document {document.id} they make "
            f"{len(first.ids)} and {len(second.ids)} tokens, which part at byte {start}; --kl compares "
            "distributions over the same tokens: leave it out"
        )


def check_same_distributions(
    models: tuple[TokenModel, TokenModel], documents: Sequence[Document], policy: str
) -> None:
    """Refuse models whose distributions are not over the same tokens after the same text.

    Raises:
        UsageError: they are not; the message says which option would make them so, if there is one.
    """
    names = models[0].identity.name, models[1].identity.name
    both = f"{names[0]} and {names[1]}"
    sizes = models[0].vocab_size, models[1].vocab_size
    if sizes[0] != sizes[1]:
        raise UsageError(
            f"{both} have different vocabularies, of {sizes[0]} and {sizes[1]} tokens; --kl compares "
            "distributions over the same tokens: leave it out"
        )
    prefixes = [prefix_under(model, policy) for model in models]
    if prefixes[0].ids != prefixes[1].ids or prefixes[0].chunk_ids != prefixes[1].chunk_ids:
        raise UsageError(
            f"{both} read different tokens before a document, {prefixes[0].rule} and {prefixes[1].rule}; "
            "give both the same with --prefix"
        )
    check_same_tokens(documents, names, (models[0].encode, models[1].encode))
    limits = models[0].context_limit, models[1].context_limit
    if limits[0] != limits[1]:
        for document in documents:
            encoding = encoded_if_possible(document, models[0], policy)
            first, second = (document_windows(model, encoding, policy) for model in models)
            if [(len(x.context), len(x.targets)) for x in first] != [
                (len(x.context), len(x.targets)) for x in second
            ]:
                raise UsageError(
                    f"{both} see different parts of document {document.id}: their contexts hold "
                    f"{limits[0]} and {limits[1]} tokens (None: any number); give both the same with "
                    "--max-context"
                )


def score_divergence(
    model: DistributionModel,
    reference: DistributionModel,
    documents: Sequence[Document],
    policy: str,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> list[DocumentDivergence]:
    """How far a model's distributions lie from a reference's, in the order of ``documents``.

    Documents that a model cannot represent are left out. The progress tells of the reference's bits.

    Args:
        model: whose distributions are judged.
        reference: by whose; both see the same, see `check_same_distributions`.
        documents: what both read.
        policy: one of `evalkit.scoring.policy.POLICIES`.
        progress: called after every document.

    Raises:
        ScoringError: a divergence is no finite number.
    """
    started_s = time.perf_counter()
    all_bytes = sum(document.num_bytes for document in documents)
    num_bytes, total_bits = 0, 0.0
    scores: list[DocumentDivergence] = []
    for number, document in enumerate(documents, 1):
        first, second = (encoded_if_possible(document, of_model, policy) for of_model in (model, reference))
        if first is not None and second is not None:
            score, bits = _score_document(
                model, reference, document, document_windows(reference, second, policy)
            )
            scores.append(score)
            total_bits += bits
        num_bytes += document.num_bytes
        if progress is not None:
            elapsed_s = time.perf_counter() - started_s
            progress(Progress(number, num_bytes, total_bits, num_bytes / max(1, all_bytes), elapsed_s))
    return scores


def _score_document(
    model: DistributionModel, reference: DistributionModel, document: Document, cut: Sequence[Window]
) -> tuple[DocumentDivergence, float]:
    """A document's sums, and what it costs the reference in bits."""
    num_bins = len(POSITION_EDGES)
    num_tokens, num_agreeing = np.zeros(num_bins, np.int64), np.zeros(num_bins, np.int64)
    total_bits = np.zeros(num_bins)
    max_bits = reference_bits = 0.0
    for window in cut:
        first = window.first
        if not len(window.context):  # nothing stands before the first token: all are equally likely to both
            num_tokens[0] += 1
            num_agreeing[0] += 1
            first += 1
            reference_bits += float(np.log2(reference.vocab_size))
        for part in _lockstep(model, reference, window):
            bits = part.nats.cpu().numpy() * BITS_PER_NAT
            if not np.isfinite(bits).all():
                raise ScoringError(
                    f"{model.identity.name}: its distribution in document {document.id} is no finite "
                    f"divergence from that of {reference.identity.name}; the weights or the precision are "
                    "broken"
                )
            positions = np.arange(first, first + len(bits))
            bins = np.searchsorted(POSITION_EDGES, positions, side="right") - 1
            num_tokens += np.bincount(bins, minlength=num_bins)
            total_bits += np.bincount(bins, weights=bits, minlength=num_bins)
            agrees = part.agrees.cpu().numpy()
            num_agreeing += np.bincount(bins[agrees], minlength=num_bins)
            max_bits = max(max_bits, float(bits.max()))
            reference_bits += float(part.reference_nats.sum()) * BITS_PER_NAT
            first += len(bits)
    return DocumentDivergence(document, num_tokens, total_bits, num_agreeing, max_bits), reference_bits


def _lockstep(
    model: DistributionModel, reference: DistributionModel, window: Window
) -> Iterator[TokenDivergences]:
    """The divergences of a window's targets that have something before them, a few at a time."""
    context, targets = window.context.tolist(), window.targets.tolist()
    if not context:
        context, targets = targets[:1], targets[1:]
    if not targets:
        return
    num_rows = max(1, _NUM_LOGITS // model.vocab_size)
    pieces = (recut(reader.head_inputs(context, targets), num_rows) for reader in (model, reference))
    done = 0
    for inputs, reference_inputs in zip(*pieces, strict=True):
        logits, reference_logits = model.logits(inputs), reference.logits(reference_inputs)
        ids = torch.tensor(targets[done : done + len(inputs)], device=reference_logits.device)
        yield token_divergences(logits.to(reference_logits.device), reference_logits, ids)
        done += len(inputs)
    if done != len(targets):
        raise ScoringError(
            f"{model.identity.name}: head_inputs() gives {done} rows for {len(targets)} targets"
        )


def _encoded_whole(document: Document, encode: Encode) -> Encoding | None:
    try:
        return encode((document.context or "") + document.text)
    except LossyTextError:
        return None
