"""From documents to bits: windows are sorted and batched, and each document's costs are summed.

What is paid for is decided in `evalkit.scoring.policy`; this module only decides in which batches it is
computed, which must not change a document's bits beyond 1e-5 relative in float32.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.corpora.document import Document
from evalkit.errors import LossyTextError, ScoringError
from evalkit.models.prefixes import WITH_CONTEXT, Prefix, prefix_under
from evalkit.models.protocol import Codec, Model, TokenModel
from evalkit.scoring.batch_costs import ScoredBatch, scored_batches
from evalkit.scoring.batches import Piece
from evalkit.scoring.encoding import EncodedDocument, encode_document
from evalkit.scoring.log import NoLog, ScoreLog
from evalkit.scoring.parts import Part, longest_first, places_of_part
from evalkit.scoring.policy import HARNESS_POLICY, check_request_fits, windows
from evalkit.scoring.tokens import Tokens, TokenSpool
from evalkit.scoring.workers import num_suited_workers

SCORER_VERSION = 2
"""Part of every cell's key; raised by any change that can change a document's bits or a cell's interval."""

BITS_PER_NAT = 1 / math.log(2)


@dataclasses.dataclass(frozen=True)
class DocumentScore:
    """What one document cost under a policy, in bits."""

    document: Document
    num_tokens: int | None
    """None for a codec, or where the tokens do not decode to the text."""
    total_bits: float | None
    """None where the tokens do not decode to the text: such a document counts nowhere."""
    lossy: str | None = None
    """Why `total_bits` is None."""
    load_tokens: Callable[[], Tokens] | None = None
    """Gives the bits of the tokens; None where they were not asked for, or there are none."""
    is_literal: bool = False
    """Whether the tokens are not those that the model's tokenizer gives, see `Encoding.is_literal`."""


class Progress(NamedTuple):
    """How far the scoring of one corpus is."""

    num_documents: int
    """Documents finished."""
    num_bytes: int
    """Bytes of the finished documents."""
    total_bits: float
    """Bits of the finished documents."""
    done: float
    """Share of the work that is done, 0 to 1."""
    elapsed_s: float
    tokens_per_s: float | None = None
    """Token positions of the windows that were read, without padding; None for a codec."""
    padding: float | None = None
    """Share of the computed token positions that belong to no window; None where they are not counted."""


def score_documents(
    model: Model,
    documents: Sequence[Document],
    policy: str,
    *,
    spool: TokenSpool | None = None,
    progress: Callable[[Progress], None] | None = None,
    prefix: Prefix | None = None,
    log: ScoreLog | None = None,
    num_workers: int | None = None,
) -> list[DocumentScore]:
    """Bits of every document, in the order of ``documents``.

    Args:
        model: tokens or a codec; a codec knows no policy and codes each document whole.
        documents: what to score.
        policy: one of `evalkit.scoring.policy.POLICIES`.
        spool: keeps the bits and byte offsets of every token; None: they are not kept.
        progress: called now and then.
        prefix: what to read before a document; None: what the model reads under the policy. Before a
            context ``lm-eval`` reads the model's `WITH_CONTEXT`, whatever this is.
        log: has what was finished before, which is not scored again, and is told what is finished now.
        num_workers: at most so many processes compute, see `evalkit.scoring.workers.num_suited_workers`;
            None: as many as there are processors for. The bits are the same.

    Raises:
        ScoringError: the model gives a cost that is no number, or breaks its protocol; or a process that
            computed has ended.
    """
    progress = progress or (lambda _: None)
    log = log or NoLog()
    if isinstance(model, TokenModel):
        scoring = _Scoring(model, documents, policy, prefix, spool=spool, log=log)
        _compute(scoring, progress, num_suited_workers(model, documents, num_workers))
        return [scoring.scores[index] for index in range(len(scoring.scores))]
    return _score_codec(model, documents, progress, log)


def score_part(
    model: Model,
    documents: Sequence[Document],
    policy: str,
    part: Part,
    *,
    log: ScoreLog,
    spool: TokenSpool | None = None,
    progress: Callable[[Progress], None],
    prefix: Prefix | None = None,
    num_workers: int | None = None,
) -> None:
    """Score the documents of one part, each with the bits that `score_documents` gives it; ``log`` is told.

    Args:
        model: see `score_documents`, as the next ones.
        documents: all of them.
        policy: likewise.
        part: whose documents are scored.
        log: likewise.
        spool: likewise.
        progress: called now and then; it counts the part's documents.
        prefix: likewise.
        num_workers: likewise.

    Raises:
        ScoringError: as by `score_documents`.
    """
    places = places_of_part(documents, part)
    if not isinstance(model, TokenModel):
        _score_codec(model, documents, progress, log, places)
        return
    scoring = _Scoring(model, documents, policy, prefix, spool=spool, log=log, places=places)
    of_part = [documents[place] for place in places]
    _compute(scoring, progress, num_suited_workers(model, of_part, num_workers))


def _score_codec(
    model: Codec,
    documents: Sequence[Document],
    progress: Callable[[Progress], None],
    log: ScoreLog,
    places: Collection[int] | None = None,
) -> list[DocumentScore]:
    scores = []
    started = time.perf_counter() - log.seconds
    places = range(len(documents)) if places is None else places
    num_bytes, total_bits, all_bytes = 0, 0.0, sum(documents[place].num_bytes for place in places)
    if any(document.context for document in documents):
        raise ScoringError(
            f"{model.identity.name}: a compressor has nothing to read a context with; give documents with a "
            "context to language models only"
        )
    for place in sorted(places):
        document = documents[place]
        score = log.scores.get(place)
        if score is None:
            score = DocumentScore(document, None, 8.0 * model.code_length_bytes(document.data))
            log.add(place, score)
        scores.append(score)
        bits = score.total_bits or 0.0
        num_bytes, total_bits = num_bytes + document.num_bytes, total_bits + bits
        elapsed_s = time.perf_counter() - started
        progress(Progress(len(scores), num_bytes, total_bits, num_bytes / max(1, all_bytes), elapsed_s))
    return scores


@dataclasses.dataclass
class _Open:
    """A document whose windows are still being scored."""

    ends: NDArray[np.int64]
    nats: NDArray[np.float64]
    """``[num_tokens]``, NaN until paid for."""
    num_windows: int
    num_windows_left: int
    is_literal: bool


class _Scoring:
    """Scores that fill up: memory holds the tokens of the documents that are open, and no others."""

    def __init__(
        self,
        model: TokenModel,
        documents: Sequence[Document],
        policy: str,
        prefix: Prefix | None,
        *,
        spool: TokenSpool | None,
        log: ScoreLog,
        places: frozenset[int] | None = None,
    ) -> None:
        """``places``: of the documents that are scored, where others come into batches with them alone."""
        self._places = frozenset(range(len(documents))) if places is None else places
        self._model, self._documents = model, documents
        self._policy, self._spool, self._log = policy, spool, log
        self._prefix = prefix or prefix_under(model, policy)
        is_harness = policy == HARNESS_POLICY
        self._before_context = prefix_under(model, WITH_CONTEXT) if is_harness else self._prefix
        self._opened: dict[int, _Open] = {}
        self._num_bytes, self._num_lossy_bytes, self._total_bits = 0, 0, 0.0
        self._all_bytes = sum(documents[place].num_bytes for place in self._places)
        self._started_s = time.perf_counter()
        self._seconds_before = log.seconds
        self._num_positions = 0
        self._num_computed: int | None = 0
        self.scores: dict[int, DocumentScore] = {}
        for place in log.scores.keys() & self._places:
            self._count(place, log.scores[place])

    def pieces(self) -> Iterator[Piece]:
        """The windows of all documents, the longest document first, each encoded when its turn comes."""
        self._check_requests_fit()
        if len(self.scores) == len(self._places):
            return
        for index in longest_first(self._documents):
            document = self._documents[index]
            if index in self.scores and self.scores[index].lossy is not None:
                continue
            try:
                encoding = self._encode(document)
            except LossyTextError as error:
                if index not in self._places:
                    continue
                self._finish(index, DocumentScore(document, None, None, lossy=str(error)))
                continue
            prefix = self._before_context if len(encoding.context) else self._prefix
            cut = windows(
                self._policy,
                encoding.ids,
                prefix=prefix.ids,
                context_limit=self._model.context_limit,
                chunk_prefix=prefix.chunk_ids,
                context=encoding.context,
            )
            if index in self._places and index not in self.scores:
                self._opened[index] = _Open(
                    encoding.ends, np.full(len(encoding.ids), np.nan), len(cut), len(cut), encoding.is_literal
                )
                if not cut:  # nothing to pay for: no token, or a single one under the uncheatable policy
                    self._close(index)
            yield from (Piece(index, window) for window in cut)

    def _encode(self, document: Document) -> EncodedDocument:
        return encode_document(self._model.encode, document, self._policy, self._model.identity.name)

    def _check_requests_fit(self) -> None:
        """Refuse a request that is too long now: its turn may come after hours."""
        limit = self._model.context_limit
        if self._policy != HARNESS_POLICY or limit is None:
            return
        for index, document in enumerate(self._documents):
            # So few bytes make no more tokens than the limit has; SentencePiece adds one of its own.
            if document.context is None or document.num_bytes < limit or index in self.scores:
                continue
            with contextlib.suppress(LossyTextError):  # left out and named when its turn comes
                check_request_fits(len(self._encode(document).ids), limit)

    def batches(self, num_workers: int) -> Iterator[ScoredBatch]:
        """The batches of `pieces`; see `scored_batches`."""
        return scored_batches(
            self._model,
            self._documents,
            self.pieces(),
            self._log.scores.keys() | (set(range(len(self._documents))) - self._places),
            num_workers=num_workers,
        )

    def add(self, batch: ScoredBatch) -> None:
        """Take a batch's costs; a document is closed with the last of its windows."""
        for (index, window), nats in zip(batch.pieces, batch.nats, strict=True):
            self._num_positions += window.num_positions
            state = self._opened.get(index)
            if state is None:  # finished before, and in a batch with one that was not
                continue
            state.nats[window.first : window.first + len(nats)] = nats
            state.num_windows_left -= 1
            if not state.num_windows_left:
                self._close(index)
        if batch.num_computed is None or self._num_computed is None:
            self._num_computed = None
        else:
            self._num_computed += batch.num_computed

    def progress(self) -> Progress:
        """How far it is; an open document counts by the share of its windows that are scored."""
        done_bytes = float(self._num_bytes + self._num_lossy_bytes)
        for index, state in self._opened.items():
            done_bytes += self._documents[index].num_bytes * (1 - state.num_windows_left / state.num_windows)
        is_done = len(self.scores) == len(self._places)
        elapsed_s = time.perf_counter() - self._started_s
        return Progress(
            len(self.scores),
            self._num_bytes,
            self._total_bits,
            1.0 if is_done else done_bytes / self._all_bytes,
            elapsed_s + self._seconds_before,
            self._num_positions / elapsed_s if elapsed_s > 0 else None,
            1 - self._num_positions / self._num_computed if self._num_computed else None,
        )

    def _close(self, index: int) -> None:
        self._finish(index, _close(self._documents[index], self._opened.pop(index), self._spool))

    def _finish(self, index: int, score: DocumentScore) -> None:
        self._count(index, score)
        self._log.add(index, score)

    def _count(self, index: int, score: DocumentScore) -> None:
        self.scores[index] = score
        if score.lossy is None:
            self._num_bytes += score.document.num_bytes
            self._total_bits += score.total_bits or 0.0
        else:
            self._num_lossy_bytes += score.document.num_bytes


def _compute(scoring: _Scoring, progress: Callable[[Progress], None], num_workers: int) -> None:
    last = None
    for batch in scoring.batches(num_workers):
        scoring.add(batch)
        last = scoring.progress()
        progress(last)
    if last is not None and last.done < 1:  # the last documents had nothing to score
        progress(scoring.progress())


def _close(document: Document, state: _Open, spool: TokenSpool | None) -> DocumentScore:
    """A document's score, from its tokens' costs.

    What is NaN still belongs to no window: the policy reads it without paying. The sum is one of float64, as
    a float32 sum over a long document would lose the fifth digit.
    """
    load_tokens = None
    if spool is not None:
        load_tokens = spool.keep(Tokens((state.nats * BITS_PER_NAT).astype(np.float32), state.ends))
    return DocumentScore(
        document,
        len(state.nats),
        float(np.nansum(state.nats)) * BITS_PER_NAT,
        load_tokens=load_tokens,
        is_literal=state.is_literal,
    )
