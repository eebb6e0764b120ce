"""What continuations of a text cost, with every shared beginning read once.

A question with ten answers, or a hundred questions behind the same examples, are texts that begin alike.
`continuation_nats` takes them as pairs of token ids (context, continuation), finds by itself what the
contexts share, and reads it once: depth first through the tree of their common beginnings, with what the
model knows at a branching carried over (an RNN's state, a Transformer's key-value cache).

That needs two more methods than `evalkit.models.protocol.TokenModel` has, those of `ReadingModel`. A model
without them is asked through `nats`, each pair from its start: the same numbers, more tokens read.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ScoringError
from evalkit.models.protocol import ModelIdentity, TokenModel


class Request(NamedTuple):
    """A continuation to pay for, and what stands before it."""

    context: tuple[int, ...]
    """Ids that are read and not paid for, the model's prefix included."""
    continuation: tuple[int, ...]
    """Ids that are paid for; at least one."""

    @property
    def num_positions(self) -> int:
        """Token positions of a forward pass: the last id is predicted and never read."""
        return len(self.context) + len(self.continuation) - 1


class ContinuationCosts(NamedTuple):
    """What `continuation_nats` found, and what it took."""

    nats: list[NDArray[np.float32]]
    """For each request the cost of every id of its continuation."""
    num_tokens_read: int
    """Token positions that went through the model, padding not counted."""
    num_tokens_unshared: int
    """The same if every request had been read from its start."""


Reading = TypeVar("Reading")
"""What a model knows after some text: a value of the model's own choosing."""


@runtime_checkable
class ReadingModel(Protocol[Reading]):
    """A `TokenModel` that can stop reading, and go on from there more than once.

    What it knows after some text must not be changed by what is read from it later.
    """

    identity: ModelIdentity

    @property
    def carries_state(self) -> bool:
        """Whether this very model can: False sends its requests through `nats`."""
        ...

    def read_on(self, ids: Sequence[int], reading: Reading | None = None) -> Reading:
        """What is known after ``ids``, at least one, that follow what ``reading`` knows (None: nothing)."""
        ...

    def branch_nats(self, reading: Reading, endings: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Cost of every id of every ending, each ending on its own directly after what ``reading`` knows.

        Args:
            reading: from `read_on`.
            endings: at least one id each.

        Returns:
            For each ending float32 nats of its length.
        """
        ...


def continuation_nats(model: TokenModel, requests: Sequence[Request]) -> ContinuationCosts:
    """Cost of every continuation, in the order of ``requests``.

    Args:
        model: a `TokenModel`; where it is a `ReadingModel` too, shared beginnings are read once.
        requests: contexts and continuations.

    Raises:
        ScoringError: a request is longer than the model's context, or the model breaks its protocol.
    """
    check_lengths(model, requests)
    unshared = sum(request.num_positions for request in requests)
    if isinstance(model, ReadingModel) and model.carries_state:
        nats, num_read = _read_tree(model, requests)
    else:
        nats, num_read = _read_each(model, requests), unshared
    for request, cost in zip(requests, nats, strict=True):
        if cost.shape != (len(request.continuation),) or not np.isfinite(cost).all():
            raise ScoringError(
                f"{model.identity.name}: a continuation got costs that are not {len(request.continuation)} "
                "finite numbers; the weights or the precision are broken"
            )
    return ContinuationCosts(nats, num_read, unshared)


def distinct_inputs(endings: Sequence[Sequence[int]]) -> tuple[list[tuple[int, ...]], list[int | None]]:
    """What has to be read to pay for some endings: each without its last id, and each only once.

    Returns:
        The distinct inputs, and for each ending its place among them, None where nothing is read.
    """
    places: dict[tuple[int, ...], int] = {}
    of_ending = []
    for ending in endings:
        read = tuple(ending[:-1])
        of_ending.append(places.setdefault(read, len(places)) if read else None)
    return list(places), of_ending


def check_lengths(model: TokenModel, requests: Sequence[Request]) -> None:
    """Refuse requests that a model cannot read.

    Raises:
        ScoringError: one is longer than the model's context, or has nothing to pay for.
    """
    longest = max((request.num_positions for request in requests), default=0)
    if model.context_limit is not None and longest > model.context_limit:
        raise ScoringError(
            f"{model.identity.name}: the longest question has {longest} tokens, the model's context holds "
            f"{model.context_limit}; ask with fewer examples (--shots) or shorter stories (--lengths)"
        )
    if any(not request.continuation for request in requests):
        raise ScoringError(f"{model.identity.name}: an answer has no token of its own")


def _read_each(model: TokenModel, requests: Sequence[Request]) -> list[NDArray[np.float32]]:
    nats: dict[int, NDArray[np.float32]] = {}
    for batch in _batches(requests, model.tokens_per_batch):
        costs = model.nats(
            [requests[i].continuation for i in batch], contexts=[requests[i].context for i in batch]
        )
        nats.update(zip(batch, map(np.asarray, costs), strict=True))
    return [nats[i] for i in range(len(requests))]


def _batches(requests: Sequence[Request], tokens_per_batch: int) -> Iterator[list[int]]:
    """Requests of like length together, longest first, padding counted."""
    batch: list[int] = []
    for i in sorted(range(len(requests)), key=lambda i: -requests[i].num_positions):
        if batch and (len(batch) + 1) * requests[batch[0]].num_positions > tokens_per_batch:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _read_tree(
    model: ReadingModel[Reading], requests: Sequence[Request]
) -> tuple[list[NDArray[np.float32]], int]:
    """Nats in the order of ``requests``, and the number of token positions read."""
    of_context: dict[tuple[int, ...], list[int]] = {}
    for i, request in enumerate(requests):
        of_context.setdefault(request.context, []).append(i)
    contexts = sorted(of_context)
    nats: dict[int, NDArray[np.float32]] = {}
    num_read = 0
    # Slices of the sorted contexts that share their first ``depth`` ids, which ``reading`` knows.
    open_slices: list[tuple[int, int, int, Reading | None]] = (
        [(0, len(contexts), 0, None)] if contexts else []
    )
    while open_slices:
        first, stop, depth, reading = open_slices.pop()
        # In sorted order, what the first and the last share all share.
        shared = _num_shared(contexts[first], contexts[stop - 1])
        if shared > depth:
            reading = model.read_on(contexts[first][depth:shared], reading)
            num_read += shared - depth
        if len(contexts[first]) == shared:
            indices = of_context[contexts[first]]
            costs, num_branch = _branch(model, reading, [requests[i].continuation for i in indices])
            nats.update(zip(indices, costs, strict=True))
            num_read += num_branch
            first += 1
        while first < stop:
            end = first
            while end < stop and contexts[end][shared] == contexts[first][shared]:
                end += 1
            open_slices.append((first, end, shared, reading))
            first = end
    return [nats[i] for i in range(len(requests))], num_read


def _branch(
    model: ReadingModel[Reading], reading: Reading | None, endings: Sequence[tuple[int, ...]]
) -> tuple[list[NDArray[np.float32]], int]:
    if reading is None:  # an empty context: there is nothing to carry
        assert isinstance(model, TokenModel)
        costs = model.nats(endings, contexts=[()] * len(endings))
        return [np.asarray(cost) for cost in costs], sum(len(ending) - 1 for ending in endings)
    inputs, _ = distinct_inputs(endings)
    costs = [np.asarray(cost) for cost in model.branch_nats(reading, endings)]
    return costs, sum(map(len, inputs))


def _num_shared(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """Length of the common beginning."""
    shorter = min(len(first), len(second))
    return next((i for i in range(shorter) if first[i] != second[i]), shorter)
