"""Processes that compute with copies of a model: the same bits, and a fault in one is told."""

import math
import os
import signal
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evalkit import Document, ScoringError
from evalkit.models.loading import load_model
from evalkit.scoring.documents import Progress, score_documents
from evalkit.scoring.tokens import TokenSpool
from evalkit.scoring.worker_trial import is_worth_a_trial, measure
from evalkit.scoring.workers import Job, Workers, num_suited_workers
from tests.evalkit.scoring.test_documents import Cramped, Unigram, documents, tokens_of
from tests.support.rwkv7_files import TINY

TEXT = "a text that everybody knows, and then some more of it"
TEXTS = documents(*(TEXT[:length] * 5 for length in (40, 7, 19, 40, 3, 28, 51, 33, 12, 4)))


class Forkable(Unigram):
    """Counts what it computes, and does not compute in the process that made it."""

    is_forkable = True

    def __init__(self) -> None:
        super().__init__()
        self.num_computed = 0
        self.first_process = os.getpid()

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        assert os.getpid() != self.first_process
        self.num_computed += len(sequences) * max(map(len, sequences))
        return super().nats(sequences, contexts=contexts)


def test_processes_give_the_bits_of_one() -> None:
    expected = score_documents(Unigram(), TEXTS, "document", spool=TokenSpool())
    seen: list[Progress] = []
    scores = score_documents(
        Forkable(), TEXTS, "document", spool=TokenSpool(), progress=seen.append, num_workers=3
    )
    assert [score.total_bits for score in scores] == [score.total_bits for score in expected]
    for score, reference in zip(scores, expected, strict=True):
        assert np.array_equal(tokens_of(score).bits, tokens_of(reference).bits, equal_nan=True)
    assert seen[-1].num_documents == len(TEXTS)
    # 237 x 5 bytes, the first of each read for nothing; alone in a batch but for the shortest, 20 and 15.
    assert seen[-1].padding == pytest.approx(1 - (1185 - 10) / (1185 + 5))


def test_a_network_computes_in_processes_what_it_computes_in_one() -> None:
    model = load_model(f"rwkv7:{TINY}", device="cpu", dtype="float32")
    texts = documents(*((TEXT * 8)[: 150 + 17 * number] for number in range(6)))
    model.tokens_per_batch = 128
    assert num_suited_workers(model, texts, 2) == 2
    alone, together = (score_documents(model, texts, "document", num_workers=number) for number in (1, 2))
    assert [score.total_bits for score in together] == [score.total_bits for score in alone]


def test_lack_of_memory_in_a_process_halves_the_batch() -> None:
    class CrampedFork(Cramped):
        is_forkable = True

    texts = documents(*["a text that everybody knows"[:8]] * 200)
    expected = [score.total_bits for score in score_documents(Unigram(), texts, "document")]
    scores = score_documents(CrampedFork(20), texts, "document", num_workers=2)
    assert [score.total_bits for score in scores] == expected


@pytest.mark.parametrize("fault", ["killed", "raises", "unpicklable"])
def test_a_fault_in_a_process_is_told(fault: str) -> None:
    class Unpicklable(Exception):  # a class of a function cannot be found by its name
        pass

    class Faulty(Forkable):
        def nats(
            self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
        ) -> list[NDArray[np.float32]]:
            if len(sequences[0]) < 100:
                if fault == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise ValueError("a value") if fault == "raises" else Unpicklable("of its own")
            return super().nats(sequences, contexts=contexts)

    error, message = {
        "killed": (ScoringError, "^unigram: a process .* .SIGKILL, as the system does .* --workers 1"),
        "raises": (ValueError, "^a value"),
        "unpicklable": (RuntimeError, "^Unpicklable: of its own"),
    }[fault]
    with pytest.raises(error, match=message):
        score_documents(Faulty(), TEXTS, "document", num_workers=2)


def test_processes_have_one_thread_each_however_many_there_are() -> None:
    """More would wait for ever after this process has computed with its own (GNU's OpenMP library)."""

    class Counting(Forkable):
        def nats(
            self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
        ) -> list[NDArray[np.float32]]:
            return [np.array([torch.get_num_threads()], np.float32)]

    num_threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with Workers(Counting(), 2) as workers:
            workers.send(7, Job([np.array([1])], [np.array([])]))
            key, answer = workers.receive()
    finally:
        torch.set_num_threads(num_threads)
    assert (key, answer.nats) == (7, [1.0])


def test_a_trial_computes_the_same_tokens_in_both_ways() -> None:
    model = load_model(f"rwkv7:{TINY}", device="cpu", dtype="float32")
    texts = documents(*(TEXT * 20 for _ in range(4)))
    trial = measure(model, texts, 2)
    assert trial is not None and trial.num_workers == 2
    assert 0 < trial.processes_s < math.inf and 0 < trial.threads_s < math.inf
    # Two rounds of two texts of 256 tokens in this process; the others' are counted elsewhere.
    assert model.num_computed == 2 * 2 * 256
    assert measure(Forkable(), documents("a ▁ text"), 2) is None
    # 2 rounds of 512 tokens in two processes and in this one are 2 % of 153,600 tokens.
    assert is_worth_a_trial(documents("x" * 614_400), 2)
    assert not is_worth_a_trial(documents("x" * 614_399), 2)


def test_processes_that_memory_does_not_hold_are_never_faster() -> None:
    class Killed(Forkable):
        def nats(
            self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
        ) -> list[NDArray[np.float32]]:
            if os.getpid() != self.first_process:
                os.kill(os.getpid(), signal.SIGKILL)
            return Unigram.nats(self, sequences, contexts=contexts)

    trial = measure(Killed(), TEXTS, 2)
    assert trial is not None
    assert trial.processes_speed == 0


def test_there_are_no_more_processes_than_have_work(monkeypatch: pytest.MonkeyPatch) -> None:
    model, bytes_per_batch = Forkable(), 4 * Unigram.tokens_per_batch

    def of_sizes(*sizes: int) -> list[Document]:
        return documents(*("x" * size for size in sizes))

    assert num_suited_workers(model, of_sizes(*[bytes_per_batch] * 5), 4) == 4
    assert num_suited_workers(model, of_sizes(*[bytes_per_batch] * 5), 9) == 5
    num_cores = torch.get_num_threads()
    # Where it would leave half of the cores or more without work, one process uses all.
    suited = min(5, num_cores) if num_cores < 2 * 5 else 1
    assert num_suited_workers(model, of_sizes(*[bytes_per_batch] * 5), None) == suited
    assert num_suited_workers(model, of_sizes(bytes_per_batch - 1), 4) == 1
    assert num_suited_workers(model, of_sizes(9000, 5000, 4500), 4) == 2  # two finish with the longest
    assert num_suited_workers(model, [], 4) == 1
    assert num_suited_workers(Unigram(), of_sizes(*[bytes_per_batch] * 5), 4) == 1
    monkeypatch.setattr(model, "context_limit", 1000)  # windows of the longest are read by all
    assert num_suited_workers(model, of_sizes(20000), 4) == 4
