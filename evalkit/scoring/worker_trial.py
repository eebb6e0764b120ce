"""Whether single-threaded processes compute a model faster than one process with all threads, measured.

Processes do not wait for one another after every operator; threads share what is in the cache, and a model
whose weights are many and whose rows are few may be faster by them. Which it is depends on the processor, the
model and the precision. The trial computes the same tokens in both ways; its costs are thrown away.
"""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evalkit.corpora.document import Document
from evalkit.errors import LossyTextError
from evalkit.models.protocol import TokenModel
from evalkit.scoring.parts import longest_first
from evalkit.scoring.workers import BYTES_PER_TOKEN, Job, WorkerEndedError, Workers, compute

NUM_TRIAL_TOKENS = 512
"""In a job of the trial."""
_NUM_ROUNDS = 2
"""Of which the faster counts: the first of a process prepares for its shapes."""
_NUM_DOCUMENTS = 2
_MOST_OF_THE_WORK = 0.02
"""What a trial may cost at most of what it is for."""


class WorkerTrial(NamedTuple):
    """What the same jobs took, one for each process."""

    num_workers: int
    processes_s: float
    """In that many single-threaded processes at a time; infinite where they did not fit into memory."""
    threads_s: float
    """One after the other in one process with all threads."""

    @property
    def processes_speed(self) -> float:
        """Of the processes, in multiples of the threads'."""
        return self.threads_s / self.processes_s


def is_worth_a_trial(documents: Sequence[Document], num_workers: int) -> bool:
    """Whether there is so much to compute that a trial is a small part of it."""
    num_tokens = sum(document.num_read_bytes for document in documents) / BYTES_PER_TOKEN
    return trial_tokens(num_workers) <= _MOST_OF_THE_WORK * num_tokens


def trial_tokens(num_workers: int) -> int:
    """Tokens that a trial computes in all, those of all processes together."""
    return _NUM_ROUNDS * (num_workers + 1) * NUM_TRIAL_TOKENS


def measure(model: TokenModel, documents: Sequence[Document], num_workers: int) -> WorkerTrial | None:
    """Compute a little of some documents in both ways, in turn.

    Args:
        model: one of which forks can compute.
        documents: those that are to be scored; the middle ones by length are tried with.
        num_workers: processes.

    Returns:
        None where the model can represent none of the texts.
    """
    job = _job(model, documents)
    if not job.sequences:
        return None
    processes_s, threads_s = [], []
    # Before this process computes with threads of its own: what an OpenMP library knows of them is no longer
    # true in a fork.
    with Workers(model, num_workers) as workers:
        for _ in range(_NUM_ROUNDS):
            processes_s.append(_seconds_side_by_side(workers, job, num_workers))
            started_s = time.perf_counter()
            compute(model, job)
            threads_s.append(num_workers * (time.perf_counter() - started_s))
            if math.isinf(processes_s[-1]):
                return WorkerTrial(num_workers, math.inf, min(threads_s))
    return WorkerTrial(num_workers, min(processes_s), min(threads_s))


def _seconds_side_by_side(workers: Workers, job: Job, num_workers: int) -> float:
    """How long the job takes in every process at a time; without end where memory holds fewer of them."""
    started_s = time.perf_counter()
    try:
        for number in range(num_workers):
            workers.send(number, job)
        answers = [workers.receive()[1] for _ in range(num_workers)]
    except WorkerEndedError:
        return math.inf
    for answer in answers:
        if answer.error is not None and not answer.ran_out_of_memory:
            raise answer.error
    if any(answer.ran_out_of_memory for answer in answers):
        return math.inf
    return time.perf_counter() - started_s


def _job(model: TokenModel, documents: Sequence[Document]) -> Job:
    num_tokens = min(NUM_TRIAL_TOKENS, model.tokens_per_batch) // _NUM_DOCUMENTS
    if model.context_limit is not None:
        num_tokens = min(num_tokens, model.context_limit - len(model.prefix))
    places = longest_first(documents)
    middle = max(0, (len(places) - _NUM_DOCUMENTS) // 2)
    sequences = []
    for place in places[middle : middle + _NUM_DOCUMENTS]:
        try:
            ids = model.encode(documents[place].text[: 2 * BYTES_PER_TOKEN * num_tokens]).ids
        except LossyTextError:
            continue
        sequences.append(np.asarray(ids[:num_tokens]))
    prefix = np.asarray(model.prefix, np.int64)
    return Job(sequences, [prefix] * len(sequences))
