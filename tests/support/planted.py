"""A model that reads a question and works out the answer: by a heuristic, or rightly.

Written from what the questions say, apart from the code that makes them: Python programs are run, hidden
rules found by trying all automata.
"""

import functools
import itertools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.models.protocol import Encoding
from tests.support.toys import identity

RIGHT = "right"
COPY, LAST, NEAREST = "copy initial state", "last mention", "nearest example"

_STEPS = {"one forward": 1, "two forward": 2, "one back": -1, "two back": -2, "nowhere": 0}


def _parity(story: str) -> dict[str, str]:
    start = re.match(r"The \w+ \w+ is (on|off)\.", story)[1]
    flips = story.count(" presses its switch.")
    opposite = {"on": "off", "off": "on"}
    return {RIGHT: opposite[start] if flips % 2 else start, COPY: start, LAST: start}


def _clock(story: str) -> dict[str, str]:
    start = re.search(r"Its pointer is at (\d)\.", story)[1]
    steps = sum(_STEPS[step] for step in re.findall(r"It moves (\w+(?: \w+)?)\.", story))
    return {RIGHT: str((int(start) + steps) % 5), COPY: start, LAST: start}


def _shell(story: str) -> dict[str, str]:
    owner_of = {thing: name for name, thing in re.findall(r"(\w+) has the (\w+)", story)}
    queried_thing = re.search(r"The (\w+) is now with$", story)[1]
    has = {name: thing for thing, name in owner_of.items()}
    swaps = re.findall(r"(\w+) and (\w+) swap what", story)
    for first, second in swaps:
        has[first], has[second] = has[second], has[first]
    [right] = [name for name, thing in has.items() if thing == queried_thing]
    return {
        RIGHT: right,
        COPY: owner_of[queried_thing],
        LAST: [*owner_of.values(), *(second for _, second in swaps)][-1],
    }


def _boxes(story: str) -> dict[str, str]:
    boxes = dict(re.findall(r"Box (\d) holds (.+?)\.", story))
    listed = {box: re.split(r", | and ", content) for box, content in boxes.items()}
    queried_box = re.search(r"Box (\d) now holds$", story)[1]
    last = listed["4"][-1]
    start = list(listed[queried_box])
    pattern = r"puts (the \w+ \w+) into box (\d)\.|box (\d) and box (\d) are swapped|Box (\d) is emptied"
    for thing, into, first, second, emptied in re.findall(pattern, story):
        if thing:
            listed[into] = [*listed[into], thing]
            last = thing
        elif emptied:
            listed[emptied] = []
        else:
            listed[first], listed[second] = listed[second], listed[first]

    def say(things: list[str]) -> str:
        return (
            " and ".join(filter(None, [", ".join(things[:-1]), *things[-1:]])) + "." if things else "nothing."
        )

    return {RIGHT: say(listed[queried_box]), COPY: say(start), LAST: f"{last}."}


def _sign(story: str) -> dict[str, str]:
    start = re.match(r"The \w+ sign shows (\w+)\.", story)[1]
    settings = re.findall(r"sets the sign to (\w+)\.", story)
    mentions = re.findall(r"(?:shows|to|in a) (\w+)(?:\.| coat)", story)
    return {RIGHT: [start, *settings][-1], COPY: start, LAST: mentions[-1]}


def _arrays(story: str) -> dict[str, str]:
    start, *rearrangements = [
        list(map(int, entries.split(", "))) for entries in re.findall(r"\[(\d[\d, ]*)\]", story)
    ]
    array = start
    for places in rearrangements:
        array = [array[place] for place in places]
    entry = re.search(r"Entry number (\d) of \w+:$", story)
    say = (lambda array: str(array[int(entry[1])])) if entry else str
    return {RIGHT: say(array), COPY: say(start), LAST: say([start, *rearrangements][-1])}


def _program(story: str) -> dict[str, str]:
    first, *swaps, question = story.split("\n")
    queried_variable = question.split()[1]
    begun: dict[str, int] = {}
    exec(first, {}, begun)
    ended = dict(begun)
    exec("\n".join(swaps), {}, ended)
    return {RIGHT: str(ended[queried_variable]), COPY: str(begun[queried_variable]), LAST: first[-1]}


def _language(story: str) -> dict[str, str]:
    judged = re.findall(r"Word ([\w ]+): (yes|no)", story)
    queried_word = re.search(r"Word ([\w ]+):$", story)[1]
    letters = sorted(set("".join(word for word, _ in judged)) - {" "})
    words = [tuple(letters.index(letter) for letter in word.split()) for word, _ in judged]
    word = tuple(letters.index(letter) for letter in queried_word.split())
    accepted = np.array([verdict == "yes" for _, verdict in judged])
    distances = [_levenshtein(word, judged_word) for judged_word in words]
    nearest = max(i for i, distance in enumerate(distances) if distance == min(distances))
    verdicts = {_verdict(*rule, word) for rule in _consistent(words, accepted)}
    assert len(verdicts) == 1, "the examples leave the answer open"
    return {
        RIGHT: "yes" if verdicts.pop() else "no",
        LAST: judged[-1][1],
        NEAREST: judged[nearest][1],
    }


@functools.cache
def _tables() -> NDArray[np.int64]:
    """All transition tables of three states and two letters."""
    return np.array(list(itertools.product(range(3), repeat=6))).reshape(-1, 3, 2)


def _consistent(
    words: Sequence[tuple[int, ...]], accepted: NDArray[np.bool_]
) -> list[tuple[NDArray[np.int64], tuple[int, ...]]]:
    tables, ends = _tables(), []
    for word in words:
        state = np.zeros(len(tables), np.int64)
        for letter in word:
            state = tables[np.arange(len(tables)), state, letter]
        ends.append(state)
    states = np.array(ends)
    consistent = []
    for accepting in itertools.product((False, True), repeat=3):
        fits = (np.array(accepting)[states] == accepted[:, None]).all(0)
        consistent += [(tables[i], accepting) for i in np.flatnonzero(fits)]
    return consistent


def _verdict(table: NDArray[np.int64], accepting: tuple[int, ...], word: tuple[int, ...]) -> bool:
    state = 0
    for letter in word:
        state = table[state, letter]
    return bool(accepting[state])


@functools.cache
def _levenshtein(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    if not first or not second:
        return len(first) + len(second)
    if first[0] == second[0]:
        return _levenshtein(first[1:], second[1:])
    return 1 + min(
        _levenshtein(first[1:], second),
        _levenshtein(first, second[1:]),
        _levenshtein(first[1:], second[1:]),
    )


_SOLVERS: dict[str, Callable[[str], dict[str, str]]] = {
    r"The \w+ \w+ is now$": _parity,
    r"The pointer is now at$": _clock,
    r"The \w+ is now with$": _shell,
    r"Box \d now holds$": _boxes,
    r"The \w+ sign now shows$": _sign,
    r"\nArray \w+:$|Entry number \d of \w+:$": _arrays,
    r"assert \w ==$": _program,
    r"Word [\w ]+:$": _language,
}
_CUE = re.compile("|".join(pattern.replace("$", "(?= )").replace(r"\n", "") for pattern in _SOLVERS))


@functools.cache
def solve(question: str) -> dict[str, str]:
    """What the text of a question means, by way of answering."""
    [solver] = [solver for pattern, solver in _SOLVERS.items() if re.search(pattern, question)]
    return solver(question)


class PlantedModel:
    """Bytes are tokens, and a text that ends in the answer that it would give costs less than others."""

    vocab_size = 257
    prefix: tuple[int, ...] = (256,)
    policy_prefixes: Mapping[str, tuple[int, ...]] = {}
    context_limit = None
    tokens_per_batch = 1 << 20

    def __init__(self, way: str) -> None:
        """``way``: which of the answers of `solve` it believes."""
        self.way = way
        self.identity = identity(f"planted: {way}")

    def encode(self, text: str) -> Encoding:
        data = np.frombuffer(text.encode(), np.uint8)
        return Encoding(data.astype(np.int64), np.arange(1, len(data) + 1))

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        assert contexts is not None
        return [
            np.full(len(ids), self._nats_per_byte(bytes([*context[1:], *ids]).decode()), np.float32)
            for context, ids in zip(contexts, sequences, strict=True)
        ]

    def _nats_per_byte(self, text: str) -> float:
        last = text.rsplit("\n\n", 1)[-1]
        cue = list(_CUE.finditer(last))[-1]
        question, answer = last[: cue.end()], last[cue.end() :]
        if cue.start() == 0:  # the bare cue: no story to know anything from
            return 1.0
        return 0.01 if answer == f" {solve(question)[self.way]}" else 5.0
