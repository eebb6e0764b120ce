"""Multi-query associative recall as zoology generates it (Arora et al., arXiv 2312.04927).

A string begins with pairs of a key and its value. Of the places that follow, every other one may hold a key
again, whose value is asked there: the earlier ones more often, by a power law. Whatever is left is random
tokens. Tokens below half of the vocabulary are keys (0 is none), the others are values; the answer is one of
all tokens.

A random token may look like a key and is not asked about, so that letters say whether they are asked about:
letter ``vocabulary + k`` is token k with its question (`ProbeTask.num_tokens`).
"""

import functools
import re

import numpy as np

from evalkit.errors import UsageError
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.tasks.task import AS_THE_LONGEST, Mixture, Part, ProbeTask, Strings, TaskTest

VOCABULARY = 8192
MAX_VOCABULARY = 1 << 14
POWER = 0.01
"""Place n after the pairs, counting every other one, is drawn with weight n^(this - 1)."""

TRAINED = ((64, 4, 100_000), (128, 8, 20_000), (256, 16, 20_000), (256, 32, 20_000), (256, 64, 20_000))
"""Letters, pairs and strings of the published training set."""
TESTED = ((64, 4), (64, 8), (64, 16), (128, 32), (256, 64), (512, 128), (1024, 256))
"""Letters and pairs of its tests."""
LETTERS_PER_PAIR = 16
"""Of the tests by length alone, which the publication does not have: as (64, 4), (128, 8) and (256, 16)."""


def mqar_mixture() -> ProbeTask:
    """The published training set, and its tests by letters and pairs."""

    def parts(shortest: int, longest: int) -> list[Part]:
        return [
            Part(length, num_strings, functools.partial(_draw, VOCABULARY, pairs))
            for length, pairs, num_strings in TRAINED
            if shortest <= length <= longest
        ]

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        return _draw(VOCABULARY, max(1, length // LETTERS_PER_PAIR), length, num_strings, generator)

    tests = [
        TaskTest(f"kv{pairs}", functools.partial(_draw, VOCABULARY, pairs), length)
        for length, pairs in TESTED
    ]
    task = _task("mqar", VOCABULARY, 1)
    mixture = Mixture(parts, is_mixed_in_batches=False)
    return task._replace(draw=draw, mixture=mixture, tests=tuple(tests), shortest=1)


def mqar(name: str) -> ProbeTask:
    """Strings of any length with so many pairs: one (T, KV) of a publication, T by ``--train-length``.

    Args:
        name: ``mqar:KV`` or ``mqar:KV:VOCABULARY``.

    Raises:
        UsageError: it says no numbers, or there are not so many keys, or too many tokens.
    """
    match = re.fullmatch(r"mqar:(\d{1,5})(?::(\d{1,6}))?", name)
    if match is None:
        raise UsageError(f"{name!r}: write mqar:KV or mqar:KV:VOCABULARY, such as mqar:16")
    num_pairs, vocabulary = int(match[1]), int(match[2] or VOCABULARY)
    if not 4 <= vocabulary <= MAX_VOCABULARY or vocabulary % 2:
        raise UsageError(f"{name}: the vocabulary must be even, from 4 to {MAX_VOCABULARY} tokens")
    if not 1 <= num_pairs < vocabulary // 2:
        raise UsageError(f"{name}: of {vocabulary} tokens 1 to {vocabulary // 2 - 1} can be keys")
    return _task(name, vocabulary, num_pairs)


def _task(name: str, vocabulary: int, num_pairs: int) -> ProbeTask:
    def fit_length(length: int) -> int:
        if length < 4 * num_pairs:
            raise UsageError(f"{name}: a string has at least {4 * num_pairs} letters, not {length}")
        return length - length % 2

    return ProbeTask(
        name,
        2 * vocabulary,
        vocabulary,
        functools.partial(_draw, vocabulary, num_pairs),
        functools.partial(_label, vocabulary),
        num_tokens=vocabulary,
        num_answers=vocabulary // 2,
        fit_length=fit_length,
        shortest=AS_THE_LONGEST,
        version=2,
    )


def _draw(
    vocabulary: int, num_pairs: int, length: int, num_strings: int, generator: np.random.Generator
) -> Strings:
    num_keys = vocabulary // 2 - 1
    keys = 1 + _distinct(num_keys, num_pairs, num_strings, generator)
    values = vocabulary // 2 + _distinct(vocabulary // 2, num_pairs, num_strings, generator)
    strings = generator.integers(vocabulary, size=(num_strings, length))
    strings[:, 0 : 2 * num_pairs : 2], strings[:, 1 : 2 * num_pairs : 2] = keys, values
    # Places without repetition by exponential races: of clocks that ring after exponential times, the first
    # few to ring are a sample that is drawn in turn with weights in proportion to their rates.
    rates = np.arange(1, (length - 2 * num_pairs) // 2 + 1) ** (POWER - 1)
    races = generator.exponential(size=(num_strings, len(rates))) / rates
    places = 2 * num_pairs + 2 * races.argsort(1)[:, :num_pairs]
    np.put_along_axis(strings, places, vocabulary + keys, 1)
    return strings


def _distinct(num_choices: int, num_drawn: int, num_strings: int, generator: np.random.Generator) -> Strings:
    """``[num_strings, num_drawn]``: numbers below a bound, in each row none twice, and in random order."""
    races = generator.random((num_strings, num_choices))
    first = races.argpartition(num_drawn - 1, axis=1)[:, :num_drawn]
    order = np.take_along_axis(races, first, 1).argsort(1)
    return np.take_along_axis(first, order, 1)


def _label(vocabulary: int, strings: Strings) -> Strings:
    tokens = strings % vocabulary
    rows = np.arange(len(strings))
    # What follows each token where it first stands, which for a key is its value.
    follower_of = np.zeros((len(strings), vocabulary), np.int64)
    for place in reversed(range(tokens.shape[1] - 1)):
        follower_of[rows, tokens[:, place]] = tokens[:, place + 1]
    labels = np.take_along_axis(follower_of, tokens, 1)
    return np.where(strings >= vocabulary, labels, NOT_SCORED)
