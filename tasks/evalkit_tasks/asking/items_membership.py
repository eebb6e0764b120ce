"""Items about membership: words of an unknown regular language, some of them judged."""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit_tasks.asking.items import AnyFamily, Draw, Family, Story
from evalkit_tasks.asking.items_stories import LAST_MENTION
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.sampling import count_members

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
        may_be_shown = _without_queries(draw, candidates.words, verdicts)
        chosen = [
            place
            for verdict in (False, True)
            for place in _by_length(draw, candidates.words, may_be_shown & (verdicts == verdict))
        ]
        if (candidates.verdicts[:, chosen] == verdicts[chosen]).all(1).sum() > 1:
            continue
        draw.shuffle(chosen)
        table, accepting = candidates.automata[index]
        automaton = Automaton.from_table("hidden rule", "01", table, accepting=accepting)
        examples = tuple((candidates.words[place], int(verdicts[place])) for place in chosen)
        return _Language(automaton, tuple(draw.sample(_LETTERS, 2)), examples)


def _without_queries(draw: Draw, words: Sequence[Word], verdicts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which words may be shown: of each length all but a member and a non-member, to ask about."""
    kinds: dict[tuple[int, bool], list[int]] = {}
    for place, verdict in enumerate(verdicts.tolist()):
        kinds.setdefault((len(words[place]), verdict), []).append(place)
    may_be_shown = np.ones(len(words), bool)
    may_be_shown[[draw.choice(places) for places in kinds.values()]] = False
    return may_be_shown


@functools.cache
def _candidates() -> _Candidates:
    words = [
        word for length in range(1, _LONGEST_EXAMPLE + 1) for word in itertools.product((0, 1), repeat=length)
    ]
    place = {word: i for i, word in enumerate([(), *words])}
    numbers = range(_MOST_STATES)
    tables = np.array(list(itertools.product(numbers, repeat=2 * _MOST_STATES))).reshape(-1, _MOST_STATES, 2)
    # states[i, place[word]]: where automaton i, started in state 0, is after a word; words come by length, so
    # that the state after all but the last letter is there already.
    states = np.zeros((len(tables), len(words) + 1), np.int64)
    for word in words:
        before = states[:, place[word[:-1]]]
        states[:, place[word]] = tables[np.arange(len(tables)), before, word[-1]]
    # Of automata with the same verdicts on all words the first stands for their language.
    by_verdicts: dict[bytes, tuple[list[list[int]], list[int]]] = {}
    rows = []
    for accepting in itertools.chain(*(itertools.combinations(numbers, n) for n in range(_MOST_STATES + 1))):
        for table, verdicts in zip(tables, np.isin(states[:, 1:], accepting), strict=True):
            if (key := np.packbits(verdicts).tobytes()) not in by_verdicts:
                by_verdicts[key] = table.tolist(), list(accepting)
                rows.append(verdicts)
    return _Candidates(list(by_verdicts.values()), np.array(rows), words)


def _by_length(draw: Draw, words: Sequence[Word], may_be_chosen: NDArray[np.bool_]) -> list[int]:
    """Places of `_NUM_EXAMPLES_EACH` words, a length drawn first: half of all words have the greatest."""
    of_length: dict[int, list[int]] = {}
    for place in np.flatnonzero(may_be_chosen).tolist():
        of_length.setdefault(len(words[place]), []).append(place)
    lengths = tuple(of_length)
    chosen: dict[int, None] = {}
    while len(chosen) < _NUM_EXAMPLES_EACH:
        chosen[draw.choice(of_length[draw.choice(lengths)])] = None
    return list(chosen)


def _language_operations(draw: Draw, world: _Language, length: int) -> list[int]:
    """A word, a member or not by a fair coin, uniform among those of its length that are no example."""
    is_member = draw.chance(0.5)
    for verdict in (is_member, not is_member):  # where there is no such word, one of the other kind
        if _counts(world.automaton, verdict, length)[-1][world.automaton.start]:
            break
    while True:  # of each kind and length one word at least is not shown
        word = _uniform_word(draw, world.automaton, verdict, length)
        if _is_not_shown(world, word):
            return word


def _is_not_shown(world: _Language, word: Sequence[int]) -> bool:
    return tuple(word) not in {example for example, _ in world.examples}


@functools.lru_cache(maxsize=256)
def _counts(automaton: Automaton, verdict: bool, length: int) -> list[list[int]]:
    return count_members(automaton, length, accepted=verdict)


def _uniform_word(draw: Draw, automaton: Automaton, verdict: bool, length: int) -> list[int]:
    counts = _counts(automaton, verdict, length)
    state, word = automaton.start, []
    for num_after in reversed(range(length)):
        row = automaton.transitions[state].tolist()
        # Each of the two letters by its share of the words that go on from it; see `sampling.members`.
        letter = int(draw.below(counts[num_after + 1][state]) >= counts[num_after][row[0]])
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


def _edit_distance(first: Sequence[int], second: Sequence[int]) -> int:
    """Insertions, deletions and replacements that make one word of another (Levenshtein 1966)."""
    # A row of the table of Wagner and Fischer (1974): entry j is the distance of the letters of `first` so
    # far from the first j of `second`.
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(second, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


MEMBERSHIP: AnyFamily = Family(
    "in-context-language",
    "words of a regular language of at most 3 states, which 16 judged words determine",
    2,
    _language_world,
    _language_operations,
    _tell_language,
    after_answer="",
    fewest_operations=1,
    may_ask=_is_not_shown,
)
