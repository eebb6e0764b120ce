"""Strings for training and strings for testing, and the batches that networks read.

A string is held out for testing or not by a hash of its letters (`is_held_out`), so that no test string is
ever trained on, whatever the seed, length or task. Strings longer than any in training need no such split.

Members of a language and other strings are drawn apart, as many of the one kind as of the other; a language
with few members of a length (``(01)*`` has one) shows them several times.
"""

import functools
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.tasks.task import ProbeTask, Strings

HELD_OUT_SHARE = 8
"""One string in this many is for testing, and another for validation where there is any."""

_MAX_ROUNDS = 200
_MAX_FRUITLESS = 5
"""Rounds without a new string of a kind after which there is none."""

_LOOKING = 3
"""Stream of random numbers; see `evalkit_tasks.training.training`."""

Split = Literal["training", "held out", "validation", "fitting", "any"]
"""Which strings: those to train on, those to test with, or both; of those to train on, those to validate
with, and what is left of them."""


_LAST_PART = HELD_OUT_SHARE - 1
_SIDES: dict[Split, tuple[int, int]] = {
    "held out": (0, 0),
    "validation": (1, 1),
    "training": (1, _LAST_PART),
    "fitting": (2, _LAST_PART),
    "any": (0, _LAST_PART),
}
"""The first and the last of the `HELD_OUT_SHARE` parts that a side has."""

_PURPOSES: dict[Split, str] = {
    "any": "",
    "training": " to train on",
    "fitting": " to train on",
    "held out": " to test with",
    "validation": " to validate with",
}


class Batch(NamedTuple):
    """Strings as a network reads them; a string's own length may be smaller than the batch's."""

    tokens: Strings
    """``[num_strings, 1 + T]``, with the start token first; strings are padded on the right."""
    labels: Strings
    """``[num_strings, 1 + T]``: what is asked after each token."""
    num_letters: NDArray[np.int64]
    """``[num_strings]``."""


def is_held_out(strings: Strings) -> NDArray[np.bool_]:
    """Whether each string is for testing, by a hash of its letters and length: one in `HELD_OUT_SHARE` is."""
    return _is_on_side(strings, "held out")


def _is_on_side(strings: Strings, split: Split) -> NDArray[np.bool_]:
    part = _parts(strings)
    first, last = _SIDES[split]
    is_on_side: NDArray[np.bool_] = (part >= first) & (part <= last)
    return is_on_side


def _parts(strings: Strings) -> NDArray[np.uint64]:
    """In which of `HELD_OUT_SHARE` parts each string is."""
    digest = np.full(len(strings), 0x9E3779B97F4A7C15 + strings.shape[1], np.uint64)
    for column in strings.T:  # splitmix64's finaliser after each letter
        digest ^= column.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        digest = (digest ^ (digest >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        digest = (digest ^ (digest >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        digest ^= digest >> np.uint64(31)
    return digest % np.uint64(HELD_OUT_SHARE)


def usable_length(task: ProbeTask, length: int, lowest: int, highest: int, split: Split) -> int:
    """The length nearest to one of which both kinds of strings exist on a side of the split; shorter first.

    Args:
        task: any; only recognition tasks have kinds, and some others lengths of their own.
        length: the one that is wanted.
        lowest: of the lengths that will do.
        highest: of these.
        split: the side.

    Raises:
        UsageError: there is none.
    """
    if task.draw_kind is None:
        return length if task.fit_length is None else task.fit_length(length)
    for candidate in sorted(range(lowest, highest + 1), key=lambda near: (abs(near - length), near)):
        if _has_both_kinds(task, candidate, split):
            return candidate
    raise UsageError(
        f"{task.name}: of no length from {lowest} to {highest} there are both members and other strings"
        + _PURPOSES[split]
    )


@functools.lru_cache(maxsize=4096)
def _has_both_kinds(task: ProbeTask, length: int, split: Split) -> bool:
    if task.has_both_kinds is None or not task.has_both_kinds(length):
        return False
    generator = np.random.default_rng([_LOOKING, length])
    return all(len(_draw_side(task, length, 1, generator, split, kind)) for kind in (True, False))


def training_strings(
    task: ProbeTask,
    length: int,
    num_strings: int,
    generator: np.random.Generator,
    split: Split = "training",
) -> Strings:
    """``[num_strings, length]``: strings that no test uses, with repetitions where there are few.

    Args:
        task: of the strings.
        length: theirs.
        num_strings: how many.
        generator: the source of chance.
        split: ``fitting`` for those that no validation uses either.

    Raises:
        UsageError: there is none of this length.
    """
    parts = []
    for kind, num_wanted in _kinds(task, num_strings, generator):
        strings = _draw_side(task, length, num_wanted, generator, split, kind)
        if not len(strings):
            raise UsageError(
                f"{task.name}: no training string of length {length}; longer ones or more letters are needed"
            )
        parts.append(strings[np.arange(num_wanted) % len(strings)])
    return parts[0] if len(parts) == 1 else generator.permutation(np.concatenate(parts))


def held_out_strings(
    task: ProbeTask, length: int, num_strings: int, generator: np.random.Generator, split: Split = "held out"
) -> Strings:
    """Distinct strings that no training uses: ``num_strings``, or fewer where few of this length exist.

    Of a recognition task always half members and half others, the fewer of the two kinds repeated.

    Args:
        task: of the strings.
        length: theirs.
        num_strings: at most.
        generator: the source of chance.
        split: ``any`` for strings longer than those in training, ``validation`` for those to validate with.
    """
    parts = [
        _draw_side(task, length, num_wanted, generator, split, kind, distinct=True)
        for kind, num_wanted in _kinds(task, num_strings, generator)
    ]
    if len(parts) == 1 or not all(map(len, parts)):
        return parts[0]
    num_each = max(map(len, parts))
    repeated = [part[np.arange(num_each) % len(part)] for part in parts]
    return generator.permutation(np.concatenate(repeated))[:num_strings]


def _kinds(
    task: ProbeTask, num_strings: int, generator: np.random.Generator
) -> list[tuple[bool | None, int]]:
    """The kinds of a task's strings, and how many of each is wanted; a coin decides about an odd one."""
    if task.draw_kind is None:
        return [(None, num_strings)]
    num_members = (num_strings + int(generator.integers(2))) // 2
    counts = [(True, num_members), (False, num_strings - num_members)]
    return [(kind, count) for kind, count in counts if count]


def _draw_side(
    task: ProbeTask,
    length: int,
    num_strings: int,
    generator: np.random.Generator,
    split: Split,
    kind: bool | None,
    *,
    distinct: bool = False,
) -> Strings:
    """Strings of one side of the split, drawn until there are enough or `_MAX_ROUNDS` have gone by.

    Args:
        task: of the strings.
        length: theirs.
        num_strings: at most.
        generator: the source of chance.
        split: the side.
        kind: of a recognition task: members or others; None for any.
        distinct: none twice.
    """
    strings = np.empty((0, length), np.int64)
    num_fruitless = 0
    num_drawn = num_strings * (HELD_OUT_SHARE if split in ("held out", "validation") else 1) + 8
    for _ in range(_MAX_ROUNDS):
        if kind is None or task.draw_kind is None:
            drawn = task.draw(length, num_drawn, generator)
        else:
            drawn = task.draw_kind(length, num_drawn, generator, kind)
        if split != "any":  # whose strings need not be hashed
            drawn = drawn[_is_on_side(drawn, split)]
        num_before = len(strings)
        strings = np.concatenate((strings, drawn))
        if distinct:
            _, first = np.unique(strings, axis=0, return_index=True)
            strings = strings[np.sort(first)]  # in the order drawn, so that kinds stay mixed
        if len(strings) >= num_strings:
            break
        num_fruitless = 0 if len(strings) > num_before else num_fruitless + 1
        if kind is not None and num_fruitless == _MAX_FRUITLESS:
            break
    return strings[:num_strings]


def make_batch(
    task: ProbeTask, groups: list[Strings], *, last_only: bool, is_training: bool = False
) -> Batch:
    """What a network reads for strings of one or several lengths.

    Args:
        task: the strings'.
        groups: strings of one length each, ``[num_strings, length]``.
        last_only: ask for the last label alone, after an answer token, in place of every label.
        is_training: ask for all that the task is trained on, which may be more than is tested.
    """
    label = task.label
    if is_training and not last_only and task.train_label is not None:
        label = task.train_label
    width = max(group.shape[1] for group in groups) + 1 + last_only
    tokens, labels, lengths = [], [], []
    for group in groups:
        num_strings, length = group.shape
        token_rows = np.full((num_strings, width), task.start_token)
        label_rows = np.full((num_strings, width), NOT_SCORED)
        token_rows[:, 1 : length + 1] = task.tokens(group)
        all_labels = label(group)
        if last_only:
            token_rows[:, length + 1] = task.answer_token
            # The last label that there is, from the end: some letters have none.
            last = length - 1 - (all_labels[:, ::-1] != NOT_SCORED).argmax(1)
            label_rows[:, length + 1] = all_labels[np.arange(num_strings), last]
        else:
            label_rows[:, 1 : length + 1] = all_labels
        tokens.append(token_rows)
        labels.append(label_rows)
        lengths.append(np.full(num_strings, length))
    return Batch(np.concatenate(tokens), np.concatenate(labels), np.concatenate(lengths))
