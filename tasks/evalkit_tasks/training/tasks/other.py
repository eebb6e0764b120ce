"""The negative controls of the trained probes: tasks that are no regular language.

No finite-state machine can solve them at all lengths: what is right everywhere is a leak.
"""

from collections.abc import Callable

import numpy as np

from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.tasks.task import ProbeTask, Strings

COPY_LETTERS = 4


def _majority() -> ProbeTask:
    """Over 0 and 1: whether a prefix has more ones than zeros. No finite automaton can."""

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        return generator.integers(2, size=(num_strings, length))

    return ProbeTask("majority", 2, 2, draw, lambda s: ((2 * s - 1).cumsum(1) > 0).astype(np.int64))


def _anbn() -> ProbeTask:
    """``a^n b^n``: 0 while a prefix can still become a member, 1 where it is one, 2 where it cannot any more.

    Half the strings turn to b in their middle or one letter beside it, a quarter anywhere, and a quarter
    have a wrong letter too. No finite automaton can.
    """

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        turn = generator.integers(length + 1, size=num_strings)
        near = generator.random(num_strings) < 0.5
        turn[near] = np.clip((length + generator.integers(-1, 2, size=near.sum())) // 2, 0, length)
        strings = (np.arange(length) >= turn[:, None]).astype(np.int64)
        wrong = np.flatnonzero(~near & (generator.random(num_strings) < 0.5))
        strings[wrong, generator.integers(length, size=len(wrong))] ^= 1
        return strings

    def label(strings: Strings) -> Strings:
        num_b = strings.cumsum(1)
        num_a = np.arange(1, strings.shape[1] + 1) - num_b
        a_after_b = ((strings == 0) & (num_b > 0)).cumsum(1) > 0
        dead = a_after_b | (num_b > num_a)
        return np.where(dead, 2, np.where(num_a == num_b, 1, 0))

    return ProbeTask("anbn", 2, 3, draw, label)


def _copy() -> ProbeTask:
    """``w # w``: after the mark and each letter that follows, the next letter of w. No finite automaton can.

    An odd length holds a whole copy; of an even one, w is one letter longer than what is said of it.
    """

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        size = length // 2
        word = generator.integers(COPY_LETTERS, size=(num_strings, size))
        mark = np.full((num_strings, 1), COPY_LETTERS)
        return np.concatenate((word, mark, word), 1)[:, :length]

    def label(strings: Strings) -> Strings:
        size = strings.shape[1] // 2
        labels = np.full(strings.shape, NOT_SCORED)
        num_asked = min(size, strings.shape[1] - size)
        labels[:, size : size + num_asked] = strings[:, :num_asked]
        return labels

    return ProbeTask("copy", COPY_LETTERS + 1, COPY_LETTERS, draw, label)


OTHER_TASKS: dict[str, Callable[[], ProbeTask]] = {
    "majority": _majority,
    "anbn": _anbn,
    "copy": _copy,
}
NEGATIVE_CONTROLS = ("majority", "anbn", "copy")
"""Tasks that no finite-state machine solves at all lengths."""
