"""Flip-flop language modelling (Liu et al., arXiv 2306.00946): instructions to write, ignore and read a bit.

A string is instructions, each followed by a bit: ``w`` writes it, ``i`` has one that is to be ignored, and
after ``r`` stands the bit that was last written. The first instruction writes, the last one reads; those
between ignore with probability p, and write or read half as often as is left each: FFL(p).
"""

import functools

import numpy as np

from evalkit.errors import UsageError
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.tasks.task import AS_THE_LONGEST, ProbeTask, Strings, TaskTest

LETTERS = ("0", "1", "w", "i", "r")
TRAINED, SPARSE, DENSE = 0.8, 0.98, 0.1
"""How often an instruction is to ignore: in training, and in the tests of rare strings."""

_WRITE, _IGNORE, _READ = range(2, len(LETTERS))


def flip_flop() -> ProbeTask:
    """Training on FFL(0.8), tests beside it on FFL(0.98) (``sparse``) and FFL(0.1) (``dense``).

    Asked for, in training as well, is the bit after each ``r``: the one that is determined ("clean mode").
    """

    def fit_length(length: int) -> int:
        if length < 4:
            raise UsageError(f"flip-flop: a string has at least 4 letters, not {length}")
        return length - length % 2

    return ProbeTask(
        "flip-flop",
        len(LETTERS),
        2,
        functools.partial(_draw, TRAINED),
        _label,
        shows_answers=True,
        fit_length=fit_length,
        shortest=AS_THE_LONGEST,
        tests=tuple(
            TaskTest(name, functools.partial(_draw, share))
            for name, share in (("sparse", SPARSE), ("dense", DENSE))
        ),
        letter_names=LETTERS,
        version=2,
    )


def _draw(ignored: float, length: int, num_strings: int, generator: np.random.Generator) -> Strings:
    num_instructions = length // 2
    instructions = generator.choice(
        [_WRITE, _IGNORE, _READ],
        size=(num_strings, num_instructions),
        p=[(1 - ignored) / 2, ignored, (1 - ignored) / 2],
    )
    instructions[:, 0], instructions[:, -1] = _WRITE, _READ
    bits = generator.integers(2, size=instructions.shape)
    strings = np.empty((num_strings, length), np.int64)
    strings[:, 0::2] = instructions
    strings[:, 1::2] = np.where(instructions == _READ, _last_written(instructions, bits), bits)
    return strings


def _last_written(instructions: Strings, bits: Strings) -> Strings:
    """``[num_strings, num_instructions]``: the bit in the memory after each; the first one writes."""
    places = np.where(instructions == _WRITE, np.arange(instructions.shape[1]), 0)
    return np.take_along_axis(bits, np.maximum.accumulate(places, 1), 1)


def _label(strings: Strings) -> Strings:
    instructions, bits = strings[:, 0::2], strings[:, 1::2]
    labels = np.full(strings.shape, NOT_SCORED)
    labels[:, 0::2] = np.where(instructions == _READ, _last_written(instructions, bits), NOT_SCORED)
    return labels
