"""What a trained probe is about: strings of letters, and a label for each of their prefixes."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Strings = NDArray[np.int64]
"""``[num_strings, length]``."""


class ProbeTask(NamedTuple):
    """A task: letters 0 to ``num_letters - 1``, labels 0 to ``num_labels - 1``."""

    name: str
    num_letters: int
    num_labels: int
    draw: Callable[[int, int, np.random.Generator], Strings]
    """Strings of one length, without regard to training and test: ``(length, num_strings, generator)``."""
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

    @property
    def vocab_size(self) -> int:
        """How many tokens there are: letters, the one at the start, and the one that asks for an answer."""
        return self.num_letters + 2

    @property
    def start_token(self) -> int:
        """The token that is read before the first letter."""
        return self.num_letters

    @property
    def answer_token(self) -> int:
        """The token after the last letter that asks for the last label, where that alone is asked for."""
        return self.num_letters + 1
