"""What the tokens of windows cost, batch by batch."""

import itertools
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.corpora.document import Document
from evalkit.errors import ScoringError
from evalkit.models.protocol import TokenModel
from evalkit.scoring.batches import BatchPlan, Piece
from evalkit.scoring.workers import Answer, Job, Workers, compute


class ScoredBatch(NamedTuple):
    """Windows that were computed side by side."""

    pieces: list[Piece]
    nats: list[NDArray[np.float32]]
    """Of every target of every window."""
    num_computed: int | None
    """Token positions that were computed, padding included; None where the model does not count them."""


def scored_batches(
    model: TokenModel,
    documents: Sequence[Document],
    pieces: Iterable[Piece],
    finished: Container[int],
    *,
    num_workers: int,
) -> Iterator[ScoredBatch]:
    """The windows with their costs, batch by batch, in batches of half the size where memory runs out.

    Args:
        model: what computes them.
        documents: those that the windows belong to.
        pieces: the windows, the longest first or about so.
        finished: documents whose costs are not needed. Batches of such alone are passed over, so that the
            rest are what they would have been.
        num_workers: processes that compute; 1: this one.

    Raises:
        ScoringError: a cost is no finite number; a single window does not fit in memory; or a process that
            computed has ended.
    """
    plan = BatchPlan(pieces, model.tokens_per_batch, getattr(model, "max_padding", None))
    for batch, answer in _answers(model, plan, finished, num_workers):
        if answer.ran_out_of_memory:
            if len(batch) == 1:
                document, num_positions = documents[batch[0].document], batch[0].window.num_positions
                raise ScoringError(
                    f"{model.identity.name}: document {document.id} does not fit in memory: {num_positions} "
                    f"tokens are read at once; pass --max-context {num_positions // 2}"
                ) from answer.error
            plan.split(batch)
        elif answer.error is not None:
            raise answer.error
        else:
            _check_costs(model, documents, batch, answer.nats)
            yield ScoredBatch(batch, answer.nats, answer.num_computed)


def _answers(
    model: TokenModel, plan: BatchPlan, finished: Container[int], num_workers: int
) -> Iterator[tuple[list[Piece], Answer]]:
    """Every batch with what came of it; what the caller gives back to the plan comes again."""
    if num_workers == 1:
        while batch := _next_batch(plan, finished):
            yield batch, compute(model, _job(batch))
        return
    under_way: dict[int, list[Piece]] = {}
    keys = itertools.count()
    with Workers(model, num_workers) as workers:

        def send(batch: list[Piece]) -> None:
            key = next(keys)
            under_way[key] = batch
            workers.send(key, _job(batch))

        # The next batch is made of its documents before it is needed, while the processes compute.
        ahead = _next_batch(plan, finished)
        while ahead or workers.are_busy:
            while ahead and workers.have_room:
                send(ahead)
                ahead = _next_batch(plan, finished)
            key, answer = workers.receive()
            if ahead:
                send(ahead)
                ahead = None
            yield under_way.pop(key), answer
            ahead = ahead or _next_batch(plan, finished)


def _next_batch(plan: BatchPlan, finished: Container[int]) -> list[Piece] | None:
    """The next with a document that is not finished."""
    return next((batch for batch in plan if any(piece.document not in finished for piece in batch)), None)


def _job(batch: Sequence[Piece]) -> Job:
    return Job(
        [piece.window.targets for piece in batch],
        [piece.window.context for piece in batch],
    )


def _check_costs(
    model: TokenModel,
    documents: Sequence[Document],
    batch: Sequence[Piece],
    costs: Sequence[NDArray[np.float32]],
) -> None:
    """Refuse costs that are no finite numbers, or not as many as the targets."""
    for (index, window), nats in zip(batch, costs, strict=True):
        # A NaN would pass for an unpaid token below, and cost nothing.
        if nats.shape != window.targets.shape or not np.isfinite(nats).all():
            raise ScoringError(
                f"{model.identity.name}: document {documents[index].id} got costs that are not "
                f"{len(window.targets)} finite numbers; the weights or the precision are broken"
            )
