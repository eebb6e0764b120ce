"""Items in the notations of programs and mathematics: arrays, variable swaps, words of a language."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit_tasks.asking.items import Draw, Family, Story
from evalkit_tasks.asking.items_stories import LAST_MENTION, swaps, told
from evalkit_tasks.asking.words import ADJECTIVES, NOUNS
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.sampling import count_members

# S3 and S5: arrays that rearrange an array.


class _Array(NamedTuple):
    name: str
    start: tuple[int, ...]
    asked: int
    """The entry asked for; with three entries, the whole array is."""


def _array_world(num_entries: int) -> Callable[[Draw], _Array]:
    def world(draw: Draw) -> _Array:
        name = f"{draw.choice(ADJECTIVES)}_{draw.choice(NOUNS)}"
        return _Array(name, tuple(draw.sample(range(num_entries), num_entries)), draw.below(num_entries))

    return world


def _array_operations(draw: Draw, world: _Array, length: int) -> list[tuple[int, ...]]:
    num_entries = len(world.start)
    return [tuple(draw.sample(range(num_entries), num_entries)) for _ in range(length)]


def _tell_arrays(world: _Array, operations: Sequence[tuple[int, ...]]) -> Story:
    """The array as a whole is asked for where it has few arrangements, else one of its entries.

    One entry of five moves under all of S5 and has five answers in place of 120.
    """
    num_entries = len(world.start)
    steps = itertools.accumulate(
        operations, lambda array, places: tuple(array[place] for place in places), initial=world.start
    )
    arrays = list(steps)
    whole = num_entries <= 3
    arrangements = list(itertools.permutations(range(num_entries))) if whole else []
    answers = [f" {list(array)}" for array in arrangements] or [f" {entry}" for entry in range(num_entries)]

    def answer(array: tuple[int, ...]) -> int:
        return arrangements.index(array) if whole else array[world.asked]

    return told(
        "To rearrange an array by [i, j, ...] is to make a new one of its entries number i, j, ..., counted "
        f"from 0.\nArray {world.name}: {list(world.start)}",
        [f"Rearrange by: {list(places)}" for places in operations],
        f"Array {world.name}:" if whole else f"Entry number {world.asked} of {world.name}:",
        answers=answers,
        label=answer(arrays[-1]),
        initial=answer(world.start),
        last_mention=answer(operations[-1]),
        states=[answer(array) for array in arrays[1:]],
        separator="\n",
    )


# Python: variables that swap their values.

_VARIABLES = tuple("abcdefghjkmnpqrstuvwxyz")


class _Program(NamedTuple):
    names: tuple[str, ...]
    values: tuple[int, ...]
    asked: int


def _program_world(draw: Draw) -> _Program:
    names = tuple(draw.sample(_VARIABLES, 5))
    return _Program(names, tuple(draw.sample(range(10), 5)), draw.below(5))


def _tell_program(world: _Program, operations: Sequence[tuple[int, int]]) -> Story:
    names = world.names
    place_of_value = list(range(len(names)))
    states, lines = [], []
    for one, other in operations:
        place_of_value[one], place_of_value[other] = place_of_value[other], place_of_value[one]
        states.append(place_of_value[world.asked])
        lines.append(f"{names[one]}, {names[other]} = {names[other]}, {names[one]}")
    return told(
        f"{', '.join(names)} = {', '.join(map(str, world.values))}",
        lines,
        f"assert {names[world.asked]} ==",
        answers=tuple(f" {value}" for value in world.values),
        label=states[-1],
        initial=world.asked,
        last_mention=len(names) - 1,
        states=states,
        separator="\n",
    )


# Membership: words of an unknown regular language, some of them judged.

NEAREST_EXAMPLE = "nearest example"

_LETTERS = tuple("bdfgklmnprstvz")
_VERDICTS = (" no", " yes")
_NUM_EXAMPLES_EACH = 8
_LONGEST_EXAMPLE = 8
_MOST_STATES = 3

Word = tuple[int, ...]


class _Language(NamedTuple):
    automaton: Automaton
    letters: tuple[str, ...]
    examples: tuple[tuple[Word, int], ...]
    """Words to show with their verdicts, as many members as others."""


class _Candidates(NamedTuple):
    """Every language over two letters that an automaton of at most `_MOST_STATES` states accepts."""

    automata: list[tuple[list[list[int]], list[int]]]
    """Transitions and accepting states."""
    verdicts: NDArray[np.bool_]
    """``[num_languages, num_words]``"""
    words: list[Word]
    """All of at most `_LONGEST_EXAMPLE` letters; two automata of 3 states that differ do so within 5."""


def _language_world(draw: Draw) -> _Language:
    """A language, and words that tell it from all other candidates: the answer can be known."""
    candidates = _candidates()
    while True:
        index = draw.below(len(candidates.automata))
        verdicts = candidates.verdicts[index]
        share = float(verdicts.mean())
        if not 0.2 <= share <= 0.8:  # so one-sided that most words are answered alike
            continue
        chosen = [
            place
            for verdict in (False, True)
            for place in _by_length(draw, candidates.words, verdicts == verdict)
        ]
        if (candidates.verdicts[:, chosen] == verdicts[chosen]).all(1).sum() > 1:
            continue
        draw.shuffle(chosen)
        table, accepting = candidates.automata[index]
        automaton = Automaton.from_table("hidden rule", "01", table, accepting=accepting)
        examples = tuple((candidates.words[place], int(verdicts[place])) for place in chosen)
        return _Language(automaton, tuple(draw.sample(_LETTERS, 2)), examples)


@functools.cache
def _candidates() -> _Candidates:
    words = [
        word for length in range(1, _LONGEST_EXAMPLE + 1) for word in itertools.product((0, 1), repeat=length)
    ]
    place = {word: i for i, word in enumerate([(), *words])}
    numbers = range(_MOST_STATES)
    tables = np.array(list(itertools.product(numbers, repeat=2 * _MOST_STATES))).reshape(-1, _MOST_STATES, 2)
    states = np.zeros((len(tables), len(words) + 1), np.int64)
    for word in words:
        before = states[:, place[word[:-1]]]
        states[:, place[word]] = tables[np.arange(len(tables)), before, word[-1]]
    found: dict[bytes, tuple[list[list[int]], list[int]]] = {}
    rows = []
    for accepting in itertools.chain(*(itertools.combinations(numbers, n) for n in range(_MOST_STATES + 1))):
        for table, verdicts in zip(tables, np.isin(states[:, 1:], accepting), strict=True):
            if (key := np.packbits(verdicts).tobytes()) not in found:
                found[key] = table.tolist(), list(accepting)
                rows.append(verdicts)
    return _Candidates(list(found.values()), np.array(rows), words)


def _by_length(draw: Draw, words: Sequence[Word], kept: NDArray[np.bool_]) -> list[int]:
    """Places of words whose lengths are spread; half of all words have the greatest length."""
    of_length: dict[int, list[int]] = {}
    for place in np.flatnonzero(kept).tolist():
        of_length.setdefault(len(words[place]), []).append(place)
    lengths = tuple(of_length)
    chosen: dict[int, None] = {}
    while len(chosen) < _NUM_EXAMPLES_EACH:
        chosen[draw.choice(of_length[draw.choice(lengths)])] = None
    return list(chosen)


def _language_operations(draw: Draw, world: _Language, length: int) -> list[int]:
    """A word, a member or not by a fair coin, uniform among those of its length; no example if possible."""
    wanted = draw.chance(0.5)
    for verdict in (wanted, not wanted):
        if _counts(world.automaton, verdict, length)[-1][world.automaton.start]:
            break
    word = _uniform_word(draw, world.automaton, verdict, length)
    shown = {example for example, _ in world.examples}
    for _ in range(20):
        if tuple(word) not in shown:
            break
        word = _uniform_word(draw, world.automaton, verdict, length)
    return word


@functools.lru_cache(maxsize=256)
def _counts(automaton: Automaton, verdict: bool, length: int) -> list[list[int]]:
    return count_members(automaton, length, accepted=verdict)


def _uniform_word(draw: Draw, automaton: Automaton, verdict: bool, length: int) -> list[int]:
    counts = _counts(automaton, verdict, length)
    state, word = automaton.start, []
    for left in reversed(range(length)):
        row = automaton.transitions[state].tolist()
        letter = int(draw.below(counts[left + 1][state]) >= counts[left][row[0]])
        word.append(letter)
        state = row[letter]
    return word


def _tell_language(world: _Language, operations: Sequence[int]) -> Story:
    word = tuple(operations)
    judged = [f"Word {_spell(world, example)}:{_VERDICTS[verdict]}" for example, verdict in world.examples]
    before = "\n".join(["Which words does a hidden rule accept?", *judged, ""])
    cue = f"Word {_spell(world, word)}:"
    # Of several at the same distance the last.
    _, nearest = min(reversed(world.examples), key=lambda judged: _edit_distance(judged[0], word))
    states = [int(state) for state in world.automaton.accepts([word])[0]]
    return Story(
        text=before + cue,
        cue=cue,
        answers=_VERDICTS,
        label=states[-1],
        guesses={LAST_MENTION: world.examples[-1][1], NEAREST_EXAMPLE: nearest},
        marks=tuple(len(f"{before}Word {_spell(world, word[:end])}") for end in range(1, len(word) + 1)),
        states=tuple(states),
    )


def _spell(world: _Language, word: Sequence[int]) -> str:
    return " ".join(world.letters[letter] for letter in word)


def _edit_distance(one: Sequence[int], other: Sequence[int]) -> int:
    """Insertions, deletions and replacements that make one of the other (Levenshtein 1966)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


FORMAL_FAMILIES = (
    *(
        Family(
            f"s{n}-arrays",
            f"arrays of {n} that rearrange an array (the word problem of S{n})",
            num_states,
            _array_world(n),
            _array_operations,
            _tell_arrays,
            after_answer="",
        )
        for n, num_states in ((3, 6), (5, 5))
    ),
    Family(
        "python-swaps",
        "five Python variables that swap their values (S5)",
        5,
        _program_world,
        swaps,
        _tell_program,
        after_answer="",
    ),
)

MEMBERSHIP = Family(
    "in-context-language",
    "words of a regular language of at most 3 states, which 16 judged words determine",
    2,
    _language_world,
    _language_operations,
    _tell_language,
    after_answer="",
)
