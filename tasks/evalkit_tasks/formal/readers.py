"""A second way to tell of a string what an automaton says, for each kind of language.

Compiled weights are checked with these, and so are the automata that they are compiled from: permutations are
composed by the letters' names, counts are counted, brackets kept on a stack, expressions and files followed
as nondeterministic automata. None of it looks at an automaton's transitions.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.automaton_files import read_automaton
from evalkit_tasks.formal.expressions import parse
from evalkit_tasks.formal.groups import Group
from evalkit_tasks.formal.languages import random_table
from evalkit_tasks.formal.nfa import NFA
from evalkit_tasks.formal.thompson import expression_nfa

S = TypeVar("S", bound=Hashable)


@dataclasses.dataclass
class Reader:
    """Reads letters one after another; what it has to remember of those so far is a numbered state."""

    step: Callable[[int, int], int]
    """The state after a state and a letter; state 0 is before the first letter."""
    verdicts: list[tuple[bool, int]]
    """By state, for as many as have come up: whether the string so far is accepted, and its label."""

    def run(self, strings: NDArray[np.int64]) -> NDArray[np.int64]:
        """The states before and after each letter: ``[B, T]`` letters give ``[B, T + 1]`` states."""
        states = [list(itertools.accumulate(row, self.step, initial=0)) for row in strings.tolist()]
        return np.array(states, np.int64)

    def accepted(self, states: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the string so far is in the language, for each of some states."""
        return np.array([accepted for accepted, _ in self.verdicts], bool)[states]

    def labels(self, states: NDArray[np.int64]) -> NDArray[np.int64]:
        """The label of the string so far, for each of some states."""
        return np.array([label for _, label in self.verdicts], np.int64)[states]


def reader_of(name: str, automaton: Automaton) -> Reader:
    """How else to tell what an automaton tells.

    Args:
        name: by which `evalkit_tasks.formal.languages.get_language` gave it.
        automaton: says which letters there are, and whether labels are those of acceptance.
    """
    letters = automaton.alphabet
    if name in _RULES:
        return _RULES[name](letters)
    if automaton.group is not None:
        return _products(letters, automaton.group)
    if modulus := re.fullmatch(r"mod-(\d+)", name):
        return _counting(letters, int(modulus[1]))
    if brackets := re.fullmatch(r"dyck-(\d+)-(\d+)", name):
        return _brackets(letters, int(brackets[2]))
    if name.startswith("random:"):
        table, accepting = random_table(*map(int, name.split(":")[1:]))
        return _reader(0, lambda state, letter: table[state][letter], accepting.__contains__)
    if name.startswith("file:"):
        return _sets(read_automaton(Path(name.removeprefix("file:"))))
    return _sets(expression_nfa(parse(name.removeprefix("regex:")), letters))


def _reader(
    start: S,
    step: Callable[[S, int], S],
    accepts: Callable[[S], bool],
    label: Callable[[S], int] | None = None,
) -> Reader:
    """A reader that numbers what it remembers as it comes up.

    Args:
        start: what it remembers before the first letter.
        step: what it remembers after another letter.
        accepts: whether the string so far is accepted.
        label: its label; by default 1 where it is accepted, else 0.
    """
    memories = [start]
    number_of = {start: 0}
    after: dict[tuple[int, int], int] = {}
    verdicts: list[tuple[bool, int]] = []

    def judge(memory: S) -> None:
        accepted = bool(accepts(memory))
        verdicts.append((accepted, int(accepted) if label is None else label(memory)))

    def numbered_step(state: int, letter: int) -> int:
        if (state, letter) not in after:
            memory = step(memories[state], letter)
            if memory not in number_of:
                number_of[memory] = len(memories)
                memories.append(memory)
                judge(memory)
            after[state, letter] = number_of[memory]
        return after[state, letter]

    judge(start)
    return Reader(numbered_step, verdicts)


def _maybe(text: str) -> str | None:
    """A text that may become none."""
    return text


def _sets(nfa: NFA) -> Reader:
    """All states that a nondeterministic automaton can be in."""
    return _reader(nfa.closed(nfa.starts), nfa.after, lambda states: not states.isdisjoint(nfa.accepting))


def _products(letters: Sequence[str], group: Group) -> Reader:
    """Products by the elements' names: exponents are added, images composed, factors kept apart."""
    families = group.name.split("x")
    moduli = [int(family[1:]) if re.fullmatch(r"z\d+", family) else None for family in families]

    def element(name: str) -> tuple[tuple[int, ...], ...]:
        parts = name.split(",") if len(families) > 1 else [name]
        return tuple(
            (int(part),) if modulus else tuple(map(int, part.split(" ") if " " in part else part))
            for part, modulus in zip(parts, moduli, strict=True)
        )

    def product(first: tuple[tuple[int, ...], ...], letter: int) -> tuple[tuple[int, ...], ...]:
        return tuple(
            ((x[0] + y[0]) % modulus,) if modulus else tuple(y[point] for point in x)
            for x, y, modulus in zip(first, elements[letter], moduli, strict=True)
        )

    elements = [element(name) for name in letters]
    number_of = {element(name): number for number, name in enumerate(group.element_names)}
    identity = tuple(
        (0,) if modulus else tuple(range(len(part)))
        for part, modulus in zip(elements[0], moduli, strict=True)
    )
    return _reader(identity, product, lambda state: state == identity, number_of.__getitem__)


def _counting(letters: Sequence[str], modulus: int, remainder: int = 0) -> Reader:
    """How many ones there are, modulo a number."""
    return _reader(
        0,
        lambda count, letter: (count + int(letters[letter])) % modulus,
        lambda count: count == remainder % modulus,
    )


def _cycle(letters: Sequence[str]) -> Reader:
    steps = {"0": 0, "+": 1, "-": -1}
    return _reader(
        0,
        lambda place, letter: (place + steps[letters[letter]]) % 5,
        lambda place: place == 0,
        lambda place: place,
    )


def _last(letters: Sequence[str]) -> Reader:
    """The last bit that was written."""
    return _reader(
        "0", lambda bit, letter: bit if letters[letter] == "-" else letters[letter], lambda bit: bit == "1"
    )


def _ends(letters: Sequence[str]) -> Reader:
    """The first letter and the last."""
    return _reader(
        "",
        lambda ends, letter: (ends or letters[letter])[0] + letters[letter],
        lambda ends: ends[:1] == ends[-1:],
    )


def _alternating(letters: Sequence[str], pair: str) -> Reader:
    """How much of the pair is pending; None where something else came."""

    def step(pending: str | None, letter: int) -> str | None:
        if pending is None or pending[0] != letters[letter]:
            return None
        return pending[1:] or pair

    return _reader(_maybe(pair), step, lambda pending: pending == pair)


def _runs(letters: Sequence[str]) -> Reader:
    """No odd run of ones with an odd run of zeros after it (Tomita 3)."""

    def step(seen: tuple[bool, bool, str], letter: int) -> tuple[bool, bool, str]:
        is_lost, had_odd_ones, run = seen
        if run and run[0] != letters[letter]:
            is_lost = is_lost or (had_odd_ones and run == "0")
            had_odd_ones = had_odd_ones or run == "1"
            run = ""
        longer = run + letters[letter]
        return is_lost, had_odd_ones, longer[:1] if len(longer) % 2 else longer[:2]

    start: tuple[bool, bool, str] = (False, False, "")
    return _reader(start, step, lambda seen: not (seen[0] or (seen[1] and seen[2] == "0")))


def _without(letters: Sequence[str], factor: str) -> Reader:
    """Strings in which a word does not occur: their last letters, or None once it did."""

    def step(last: str | None, letter: int) -> str | None:
        if last is None or factor in last + letters[letter]:
            return None
        return (last + letters[letter])[-len(factor) :]

    return _reader(_maybe(""), step, lambda last: last is not None)


def _both_even(letters: Sequence[str]) -> Reader:
    """Which of the letters there is an odd number of."""
    return _reader(
        frozenset[str](),
        lambda odd, letter: odd ^ {letters[letter]},
        lambda odd: not odd,
    )


def _difference(letters: Sequence[str]) -> Reader:
    """The zeros less the ones, modulo 3."""
    return _reader(
        0, lambda count, letter: (count + 1 - 2 * int(letters[letter])) % 3, lambda count: count == 0
    )


def _blocks(letters: Sequence[str]) -> Reader:
    """Zeros, ones, zeros, ones: the letters that may still begin a block."""

    def step(pending: str | None, letter: int) -> str | None:
        place = -1 if pending is None else pending.find(letters[letter])
        return None if pending is None or place < 0 else pending[place:]

    return _reader(_maybe("0101"), step, lambda pending: pending is not None)


def _brackets(letters: Sequence[str], depth: int) -> Reader:
    """The brackets that are open; None once one was closed wrongly or opened too deep."""
    partner = {closing: opening for opening, closing in ("()", "[]", "{}", "<>")}

    def step(opened: str | None, letter: int) -> str | None:
        bracket = letters[letter]
        if opened is None:
            return None
        if bracket in partner:
            return opened[:-1] if opened[-1:] == partner[bracket] else None
        return opened + bracket if len(opened) < depth else None

    return _reader(_maybe(""), step, lambda opened: opened == "")


def _arithmetic(letters: Sequence[str], modulus: int = 5) -> Reader:
    """The expression so far as text, worked out as far as nothing to come can change it; None: it is none."""

    def worked_out(text: str) -> str:
        if product := re.search(r"(\d)\*(\d)", text):
            factor = int(product[1]) * int(product[2]) % modulus
            return worked_out(text[: product.start()] + str(factor) + text[product.end() :])
        if total := re.fullmatch(r"(\d)([+-])(\d)([+-]?)", text):
            value = int(total[1]) + (int(total[3]) if total[2] == "+" else -int(total[3]))
            return str(value % modulus) + total[4]
        return text

    def step(text: str | None, letter: int) -> str | None:
        if text is None or re.fullmatch(r"(\d([+*-]\d)*[+*-]?)?", text + letters[letter]) is None:
            return None
        longer = text + letters[letter]
        if longer[-1] in "+-":
            return worked_out(longer)
        return re.sub(r"\d\*\d", lambda product: worked_out(product[0]), longer)

    def label(text: str | None) -> int:
        return modulus if text is None or not text[-1:].isdigit() else int(worked_out(text))

    return _reader(_maybe(""), step, lambda text: text is not None and text[-1:].isdigit(), label)


_RULES: dict[str, Callable[[Sequence[str]], Reader]] = {
    "parity": lambda letters: _counting(letters, 2, 1),
    "even-pairs": _ends,
    "flip-flop": _last,
    "cycle-navigation": _cycle,
    "modular-arithmetic": _arithmetic,
    "tomita-1": lambda letters: _without(letters, "0"),
    "tomita-2": lambda letters: _alternating(letters, "10"),
    "tomita-3": _runs,
    "tomita-4": lambda letters: _without(letters, "000"),
    "tomita-5": _both_even,
    "tomita-6": _difference,
    "tomita-7": _blocks,
    "repeat01": lambda letters: _alternating(letters, "01"),
}
