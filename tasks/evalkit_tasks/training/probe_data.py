"""What the trained probes read: the tasks, how their strings are drawn, and which of them are for tests.

A task gives strings of letters and a label for each prefix. Strings of recognition tasks are half members of
the language, a quarter uniform non-members, a quarter members with a few letters replaced, after FLaRe
(arXiv 2411.07107) but with all edits keeping the length; word problems and the like have uniform letters, for
their labels are uniform then.

A string is for testing or for training by a hash of its letters (`is_test_string`), so that no test string is
ever trained on, whatever the seed, length or task.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UsageError, unknown_name
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.languages import get_language, language_names
from evalkit_tasks.formal.sampling import members, uniform_strings
from evalkit_tasks.metrics import NOT_SCORED

Strings = NDArray[np.int64]
"""``[num_strings, length]``."""

TEST_SHARE = 8
"""One string in this many is for testing."""

_MAX_ROUNDS = 200
MQAR_KEYS = 128
COPY_LETTERS = 4
_UNIFORM = ("parity", "flip-flop", "cycle-navigation")


class ProbeTask(NamedTuple):
    """A task: letters 0 to ``num_letters - 1``, labels 0 to ``num_labels - 1``."""

    name: str
    num_letters: int
    num_labels: int
    draw: Callable[[int, int, np.random.Generator], Strings]
    """Strings of one length, without regard to training and test: (length, number, chance)."""
    label: Callable[[Strings], Strings]
    """The label after each letter, `NOT_SCORED` where there is none."""
    parities: NDArray[np.int64] | None = None
    """``[num_labels]``, 0 for even and 1 for odd permutations; None where labels are no permutations, or
    all of one parity."""

    @property
    def vocab_size(self) -> int:
        """Letters, the token at the start, and the token that asks for an answer."""
        return self.num_letters + 2

    @property
    def start_token(self) -> int:
        """Read before the first letter."""
        return self.num_letters

    @property
    def answer_token(self) -> int:
        """Read after the last letter where only the last label is asked for."""
        return self.num_letters + 1


class Batch(NamedTuple):
    """Strings as a network reads them; a string's own length may be smaller than the batch's."""

    tokens: Strings
    """``[num_strings, 1 + T]``, with the start token first; strings are padded on the right."""
    labels: Strings
    """``[num_strings, 1 + T]``: what is asked after each token."""
    num_letters: NDArray[np.int64]
    """``[num_strings]``."""


def task_names() -> list[str]:
    """Every fixed name, in the order of tables."""
    return [*(name for name in language_names() if name != "mod-7"), *_OTHERS]


def get_task(name: str) -> ProbeTask:
    """The task of a name: one of `task_names`, or whatever `languages.get_language` knows.

    Raises:
        UsageError: it names nothing.
    """
    if name in _OTHERS:
        return _OTHERS[name]()
    try:
        automaton = get_language(name)
    except UsageError:
        is_sized = re.fullmatch(r"[zsa]\d+(x[zsa]\d+)*|mod-\d+", name)  # too large: the error says so
        if re.fullmatch(r"[a-z][a-z0-9-]+", name) and not is_sized:
            hint = f"Known: {', '.join(task_names())}, random:SEED[:STATES[:LETTERS]], regex:PATTERN."
            raise unknown_name("task", name, task_names(), hint) from None
        raise
    return _automaton_task(name, automaton)


def is_test_string(strings: Strings) -> NDArray[np.bool_]:
    """Whether each string is for testing, by a hash of its letters and length: one in `TEST_SHARE` is."""
    digest = np.full(len(strings), 0x9E3779B97F4A7C15 + strings.shape[1], np.uint64)
    for column in strings.T:  # splitmix64's finaliser after each letter
        digest ^= column.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        digest = (digest ^ (digest >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        digest = (digest ^ (digest >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        digest ^= digest >> np.uint64(31)
    for_test: NDArray[np.bool_] = digest % np.uint64(TEST_SHARE) == 0
    return for_test


def training_strings(
    task: ProbeTask, length: int, num_strings: int, generator: np.random.Generator
) -> Strings:
    """Strings that no test uses; with repetitions where there are few.

    Raises:
        UsageError: there is none of this length.
    """
    found = _draw_kept(task, length, num_strings, generator, for_test=False, distinct=False)
    if not len(found):
        raise UsageError(
            f"{task.name}: no training string of length {length}; longer ones or more letters are needed"
        )
    return found[np.arange(num_strings) % len(found)]


def test_strings(task: ProbeTask, length: int, num_strings: int, generator: np.random.Generator) -> Strings:
    """Distinct strings that no training uses: ``num_strings``, or as many as were found where few exist."""
    return _draw_kept(task, length, num_strings, generator, for_test=True, distinct=True)


def _draw_kept(
    task: ProbeTask,
    length: int,
    num_strings: int,
    generator: np.random.Generator,
    *,
    for_test: bool,
    distinct: bool,
) -> Strings:
    found = np.empty((0, length), np.int64)
    num_more = num_strings * (TEST_SHARE if for_test else 1)
    for _ in range(_MAX_ROUNDS):
        drawn = task.draw(length, num_more + 8, generator)
        found = np.concatenate((found, drawn[is_test_string(drawn) == for_test]))
        if distinct:
            _, first = np.unique(found, axis=0, return_index=True)
            found = found[np.sort(first)]  # in the order drawn, so that kinds stay mixed
        if len(found) >= num_strings:
            break
    return found[:num_strings]


def make_batch(task: ProbeTask, strings: list[Strings], *, last_only: bool) -> Batch:
    """What a network reads for strings of one or several lengths.

    Args:
        task: theirs.
        strings: groups of strings, each ``[num_strings, length]``.
        last_only: ask for the last label alone, after an answer token, in place of every label.
    """
    width = max(group.shape[1] for group in strings) + 1 + last_only
    tokens, labels, lengths = [], [], []
    for group in strings:
        num_strings, length = group.shape
        row = np.full((num_strings, width), task.start_token)
        asked = np.full((num_strings, width), NOT_SCORED)
        row[:, 1 : length + 1] = group
        known = task.label(group)
        if last_only:
            row[:, length + 1] = task.answer_token
            last = length - 1 - (known[:, ::-1] != NOT_SCORED).argmax(1)
            asked[:, length + 1] = known[np.arange(num_strings), last]
        else:
            asked[:, 1 : length + 1] = known
        tokens.append(row)
        labels.append(asked)
        lengths.append(np.full(num_strings, length))
    return Batch(np.concatenate(tokens), np.concatenate(labels), np.concatenate(lengths))


def _automaton_task(name: str, automaton: Automaton) -> ProbeTask:
    if name == "modular-arithmetic":
        digits = sum(letter.isdecimal() for letter in automaton.alphabet)
        return ProbeTask(
            name,
            automaton.num_letters,
            digits,
            lambda length, number, chance: _expressions(automaton, digits, length, number, chance),
            lambda strings: np.where((found := automaton.label(strings)) < digits, found, NOT_SCORED),
        )
    if automaton.codewords is not None:
        return _codeword_task(name, automaton)
    uniform = automaton.group is not None or name in _UNIFORM
    return ProbeTask(
        name,
        automaton.num_letters,
        automaton.num_labels,
        (lambda length, number, chance: uniform_strings(automaton, length, number, chance))
        if uniform
        else (lambda length, number, chance: _recognition_strings(automaton, length, number, chance)),
        automaton.label,
        _parities(automaton),
    )


def _codeword_task(name: str, automaton: Automaton) -> ProbeTask:
    assert automaton.codewords is not None
    size = automaton.codewords.shape[1]

    def draw(length: int, number: int, chance: np.random.Generator) -> Strings:
        return uniform_strings(automaton, -(-length // size) * size, number, chance)[:, :length]

    def label(strings: Strings) -> Strings:
        at_end = np.arange(1, strings.shape[1] + 1) % size == 0
        return np.where(at_end, automaton.label(strings), NOT_SCORED)

    return ProbeTask(name, automaton.num_letters, automaton.num_labels, draw, label, _parities(automaton))


def _parities(automaton: Automaton) -> NDArray[np.int64] | None:
    """Of a word problem's labels, where there are both."""
    if automaton.group is None or not automaton.group.parities.any():
        return None
    return automaton.group.parities


def _expressions(
    automaton: Automaton, num_digits: int, length: int, number: int, chance: np.random.Generator
) -> Strings:
    """Digits and operators in turn; of an even length, without the last digit."""
    strings = chance.integers(num_digits, size=(number, length))
    strings[:, 1::2] = chance.integers(num_digits, automaton.num_letters, size=(number, length // 2))
    return strings


def _recognition_strings(
    automaton: Automaton, length: int, number: int, chance: np.random.Generator
) -> Strings:
    num_members, num_edited = number - number // 2, number // 4
    try:
        inside = members(automaton, length, num_members + num_edited, chance)
    except UsageError:  # no member has this length
        return members(automaton, length, number, chance, accepted=False)
    try:
        outside = members(automaton, length, number // 2, chance, accepted=False)
    except UsageError:  # every string of this length is a member
        return members(automaton, length, number, chance)
    left = inside[num_members:].copy()
    for _ in range(_MAX_ROUNDS):
        _replace_letters(automaton, left, chance)
        is_out = ~automaton.accepts(left)[:, -1]
        outside = np.concatenate((left[is_out], outside))
        left = inside[num_members:][: len(left)][~is_out].copy()
        if not len(left):
            break
    return chance.permutation(np.concatenate((inside[:num_members], outside[: number // 2])))


def _replace_letters(automaton: Automaton, strings: Strings, chance: np.random.Generator) -> None:
    """Replace letters in place: one in half the strings, two in a quarter, and so on."""
    num_edits = chance.geometric(0.5, size=len(strings))
    for edit in range(min(strings.shape[1], int(num_edits.max(initial=0)))):
        rows = np.flatnonzero(num_edits > edit)
        places = chance.integers(strings.shape[1], size=len(rows))
        strings[rows, places] = chance.integers(automaton.num_letters, size=len(rows))


def _majority() -> ProbeTask:
    """Over 0 and 1: whether a prefix has more ones than zeros. No finite automaton can."""

    def draw(length: int, number: int, chance: np.random.Generator) -> Strings:
        return chance.integers(2, size=(number, length))

    return ProbeTask("majority", 2, 2, draw, lambda s: ((2 * s - 1).cumsum(1) > 0).astype(np.int64))


def _anbn() -> ProbeTask:
    """``a^n b^n``: 0 while a prefix can still become a member, 1 where it is one, 2 where it cannot any more.

    Half the strings turn to b in their middle or one letter beside it, a quarter anywhere, and a quarter
    have a wrong letter too. No finite automaton can.
    """

    def draw(length: int, number: int, chance: np.random.Generator) -> Strings:
        turn = chance.integers(length + 1, size=number)
        near = chance.random(number) < 0.5
        turn[near] = np.clip((length + chance.integers(-1, 2, size=near.sum())) // 2, 0, length)
        strings = (np.arange(length) >= turn[:, None]).astype(np.int64)
        wrong = np.flatnonzero(~near & (chance.random(number) < 0.5))
        strings[wrong, chance.integers(length, size=len(wrong))] ^= 1
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

    def draw(length: int, number: int, chance: np.random.Generator) -> Strings:
        size = length // 2
        word = chance.integers(COPY_LETTERS, size=(number, size))
        mark = np.full((number, 1), COPY_LETTERS)
        return np.concatenate((word, mark, word), 1)[:, :length]

    def label(strings: Strings) -> Strings:
        size = strings.shape[1] // 2
        labels = np.full(strings.shape, NOT_SCORED)
        num_asked = min(size, strings.shape[1] - size)
        labels[:, size : size + num_asked] = strings[:, :num_asked]
        return labels

    return ProbeTask("copy", COPY_LETTERS + 1, COPY_LETTERS, draw, label)


def _mqar() -> ProbeTask:
    """Multi-query associative recall (arXiv 2312.04927): keys with values, then keys, whose value is asked.

    One pair for every 8 letters, each key asked for once, at places that follow a power law, between
    random letters, as in the authors' generator; keys and values are `MQAR_KEYS` letters each.
    """

    def num_pairs(length: int) -> int:
        return max(1, min(length // 8, MQAR_KEYS))

    def draw(length: int, number: int, chance: np.random.Generator) -> Strings:
        pairs = num_pairs(length)
        if length < 3 * pairs:
            raise UsageError(f"mqar: a string has at least 3 letters, not {length}")
        keys = chance.random((number, MQAR_KEYS)).argsort(1)[:, :pairs]
        values = chance.integers(MQAR_KEYS, 2 * MQAR_KEYS, size=(number, pairs))
        strings = chance.integers(MQAR_KEYS, 2 * MQAR_KEYS, size=(number, length))
        strings[:, 0 : 2 * pairs : 2], strings[:, 1 : 2 * pairs : 2] = keys, values
        # Places without repetition, place n with weight (n + 1)^(0.01 - 1): exponential races.
        places = np.arange(1, length - 2 * pairs + 1, dtype=np.float64)
        races = chance.exponential(size=(number, len(places))) / (places**-0.99)
        asked = 2 * pairs + races.argsort(1)[:, :pairs]
        np.put_along_axis(strings, asked, keys, 1)
        return strings

    def label(strings: Strings) -> Strings:
        pairs = num_pairs(strings.shape[1])
        rows = np.arange(len(strings))
        value_of = np.full((len(strings), 2 * MQAR_KEYS), NOT_SCORED)
        for pair in range(pairs):
            value_of[rows, strings[:, 2 * pair]] = strings[:, 2 * pair + 1] - MQAR_KEYS
        labels = np.take_along_axis(value_of, strings, 1)
        labels[:, : 2 * pairs] = NOT_SCORED
        return labels

    return ProbeTask("mqar", 2 * MQAR_KEYS, MQAR_KEYS, draw, label)


_OTHERS: dict[str, Callable[[], ProbeTask]] = {
    "mqar": _mqar,
    "majority": _majority,
    "anbn": _anbn,
    "copy": _copy,
}
NEGATIVE_CONTROLS = ("majority", "anbn", "copy")
"""No finite-state machine can solve these at all lengths: what is right everywhere here is a leak."""
