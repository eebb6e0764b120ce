"""One network of a training: how fast it learns at each step, how validation goes, and when it ends.

There are two ways to end. With a number of steps alone the learning rate falls along a cosine to a tenth of
its peak at the last of them. With an accuracy to reach it stays at its peak (the schedule of
arXiv 2404.06395) until the validation strings are answered so well, until their loss has not fallen for as
many steps as there is patience for, or until no more steps are left than the decay takes. Then it falls in a
straight line to a tenth, in a fifth of the steps taken so far, and the training is over.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

HISTORY_STEPS = 25
"""Steps over which the loss in the history is averaged."""

LOOK_STEPS = 25
"""Steps between two looks at the validation strings."""

_LAST_LEARNING_RATE = 0.1
"""As a share of its peak."""

_DECAY_SHARE = 0.2
"""Steps of the decay, as a share of those before it."""

_CHOICE_SHARE = 0.25
"""Of the steps: after these one of several learning rates is chosen."""

_SMALLEST_GAIN = 1e-3
"""By what share the loss has to fall to count as fallen."""


class Look(NamedTuple):
    """How a network did with the validation strings, none of which it is trained on or tested with."""

    step: int
    accuracy: float
    """Share of the strings with every label right."""
    loss_nats: float
    """Per label."""


class Try(NamedTuple):
    """What became of one of several learning rates."""

    learning_rate: float
    ended_by: str
    """``accuracy``, ``patience``, ``steps``; ``diverged``; ``dropped``: another one was better."""
    num_steps: int
    accuracy: float | None
    """Of its last look; None where there was none."""


@dataclasses.dataclass
class Member:
    """One network of a stack, which is one learning rate of one seed."""

    cell: int
    """Which of the specs that are trained together it belongs to."""
    learning_rate: float
    """At its peak."""
    history: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    losses: list[float] = dataclasses.field(default_factory=list)
    """Of the steps since the last entry of the history."""
    looks: list[Look] = dataclasses.field(default_factory=list)
    num_steps: int = 0
    lowest: tuple[int, float] = (0, math.inf)
    """The step of the lowest validation loss, and that loss."""
    decay: tuple[int, int] | None = None
    """After how many steps the decay begins and ends; None where it has not begun."""
    ending: str | None = None
    """Why the decay began, or the training ended."""
    is_over: bool = False

    def factor(self, num_steps: int, warmup_steps: int, *, until: bool) -> float:
        """By what the peak learning rate is multiplied at the next step.

        Args:
            num_steps: of the training, at most.
            warmup_steps: over which it rises in a straight line.
            until: whether it ends when an accuracy is reached.
        """
        warmup = min(1.0, (self.num_steps + 1) / max(1, warmup_steps))
        if not until:
            cosine = 0.5 * (1 + math.cos(math.pi * self.num_steps / num_steps))
            return warmup * (_LAST_LEARNING_RATE + (1 - _LAST_LEARNING_RATE) * cosine)
        if self.decay is None:
            return warmup
        first, last = self.decay
        return warmup * (1 - (1 - _LAST_LEARNING_RATE) * (self.num_steps - first) / (last - first))

    def count(self, loss: float, *, is_last: bool) -> None:
        """Take note of a step and its loss, in nats per label."""
        self.losses.append(loss)
        self.num_steps += 1
        if self.num_steps % HISTORY_STEPS == 0 or is_last:
            self.history.append((self.num_steps, math.fsum(self.losses) / len(self.losses)))
            self.losses = []

    def note(self, look: Look, stop_accuracy: float, patience: int | None) -> None:
        """Take note of a look, and begin to end where it says so."""
        self.looks.append(look)
        if look.loss_nats < self.lowest[1] * (1 - _SMALLEST_GAIN):
            self.lowest = (look.step, look.loss_nats)
        if look.accuracy >= stop_accuracy:
            self.ending = "accuracy"
        elif patience is not None and look.step - self.lowest[0] >= patience and self.decay is None:
            self.ending = "patience"

    def proceed(self, num_steps: int) -> None:
        """Begin the decay where there is a reason, and be over after its last step.

        Args:
            num_steps: of the training, at most; the decay is over by then.
        """
        if self.is_over:  # dropped, or diverged
            return
        if self.decay is None and self.num_steps >= last_plateau_step(num_steps):
            self.ending = self.ending or "steps"
            self.decay = self.num_steps, num_steps
        elif self.decay is None and self.ending is not None:
            self.decay = self.num_steps, min(num_steps, self.num_steps + decay_steps(self.num_steps))
        self.is_over = self.decay is not None and self.num_steps >= self.decay[1]

    @property
    def merit(self) -> tuple[bool, float, float]:
        """By which the best of several learning rates is chosen; the greater, the better."""
        last = self.looks[-1]
        return self.ending == "accuracy", last.accuracy, -last.loss_nats


def decay_steps(decay_from: int) -> int:
    """How many steps the decay has that begins after so many."""
    return max(LOOK_STEPS, math.ceil(_DECAY_SHARE * decay_from))


def last_plateau_step(num_steps: int) -> int:
    """After how many steps the decay begins at the latest, to be over after `num_steps`."""
    return max(0, min(num_steps - LOOK_STEPS, math.floor(num_steps / (1 + _DECAY_SHARE))))


def drop_beaten(members: Sequence[Member], num_steps: int) -> None:
    """Of one cell's learning rates, end those that another has beaten.

    That is whoever did not reach the accuracy first, and once `_CHOICE_SHARE` of the steps are taken all but
    the best so far: the last steps, which are most of what a sweep costs, are those of one learning rate.

    Args:
        members: the cell's, just looked at.
        num_steps: of the training, at most.
    """
    active = [member for member in members if not member.is_over]
    reached = [member for member in members if member.ending == "accuracy"]
    is_choice = any(member.num_steps >= _CHOICE_SHARE * num_steps for member in active)
    rivals = reached or (active if is_choice else [])
    if rivals:
        best = max(rivals, key=lambda member: member.merit)
        for member in active:
            if member is not best:
                member.ending, member.is_over = "dropped", True


def choose(members: Sequence[Member]) -> Member | None:
    """The best of one cell's learning rates; None where all diverged."""
    whole = [member for member in members if member.ending not in ("diverged", "dropped")]
    return max(whole, key=lambda member: member.merit, default=None) if len(whole) != 1 else whole[0]
