"""What a trained probe is about: strings of letters, and a label for each of their prefixes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Strings = NDArray[np.int64]
"""``[num_strings, length]``."""

Draw = Callable[[int, int, np.random.Generator], Strings]
"""Strings of one length, without regard to training and test: ``(length, num_strings, generator)``."""


AS_THE_LONGEST = 1 << 62
"""`ProbeTask.shortest` where all strings of a training have the same length."""


class Part(NamedTuple):
    """Strings of one length that are a part of what a network is trained on."""

    length: int
    weight: float
    """Its share of the mixture, in any unit."""
    draw: Draw | None = None
    """None: as the task draws them."""
    is_tested: bool = True
    """False where no test has strings of this length, so that all of them are for training."""


class Mixture(NamedTuple):
    """What a network is trained on where that is not strings of all lengths equally often."""

    parts: Callable[[int, int], Sequence[Part]]
    """Those of a training on strings ``(shortest, longest)``; none where it has no string."""
    is_mixed_in_batches: bool
    """Whether every string of a batch is of a part of its own, or the batch of one."""


class TaskTest(NamedTuple):
    """A test of strings that are drawn otherwise than those in training, at a length of its own."""

    name: str
    """Follows the length in the test's name."""
    draw: Draw
    length: int | None = None
    """None: the longest in training."""


class ProbeTask(NamedTuple):
    """A task: letters 0 to ``num_letters - 1``, labels 0 to ``num_labels - 1``."""

    name: str
    num_letters: int
    num_labels: int
    draw: Draw
    label: Callable[[Strings], Strings]
    """The label after each letter, `evalkit_tasks.metrics.NOT_SCORED` where there is none."""
    parities: NDArray[np.int64] | None = None
    """``[num_labels]``, 0 for even and 1 for odd permutations; None where labels are no permutations, or
    all of one parity."""
    draw_kind: Callable[[int, int, np.random.Generator, bool], Strings] | None = None
    """Of a recognition task: members of one length, or strings that are none, ``(length, num_strings,
    generator, is_member)``; where it is there, both kinds are equally many in every batch and test."""
    has_both_kinds: Callable[[int], bool] | None = None
    """Of a recognition task: whether some strings of a length are members, and some are not."""
    train_label: Callable[[Strings], Strings] | None = None
    """What is trained on where that is more than what is asked about in tests, such as every next letter."""
    num_tokens: int | None = None
    """Letters from this on are the same tokens once more, with a question; None: each letter is a token."""
    shows_answers: bool = False
    """Whether the answers stand in the strings, each after its question: then the end can ask for nothing."""
    num_answers: int | None = None
    """How many labels are answers in tests, for the chance among them; None: all."""
    fit_length: Callable[[int], int] | None = None
    """The length, near one that is wanted, that strings of this task have; None where it is any.

    Raises `evalkit.errors.UsageError` where none is short enough.
    """
    shortest: int | None = None
    """Letters of the shortest strings in training, unless the user says it, and no more than those of the
    longest; None: a quarter of these."""
    mixture: Mixture | None = None
    """None: a batch's length is uniform from the shortest to the longest."""
    tests: tuple[TaskTest, ...] = ()
    """Beside those of strings as in training."""
    letter_names: tuple[str, ...] | None = None
    """What the letters are in text; None: numbers."""
    version: int = 1
    """Changes whenever the task's strings or labels do."""

    @property
    def vocab_size(self) -> int:
        """How many tokens there are: letters, the one at the start, and the one that asks for an answer."""
        return (self.num_tokens or self.num_letters) + 2

    @property
    def start_token(self) -> int:
        """The token that is read before the first letter."""
        return self.num_tokens or self.num_letters

    @property
    def answer_token(self) -> int:
        """The token after the last letter that asks for the last label, where that alone is asked for."""
        return self.start_token + 1

    def tokens(self, strings: Strings) -> Strings:
        """The tokens that a network reads for letters."""
        return strings if self.num_tokens is None else strings % self.num_tokens
