"""The automata that have names, and how a name or a regular expression becomes one."""

import functools
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evalkit.errors import UsageError, unknown_name
from evalkit.files import whole_number
from evalkit.models.targets import is_there
from evalkit_tasks.formal import groups
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.automaton_files import FILE_SUFFIXES

_TOMITA = {
    1: "1*",
    2: "(10)*",
    4: "((0|00)?1)*(0|00)?",
    5: "(00|11|(01|10)(00|11)*(01|10))*",
    6: "((0|11)(01)*(1|00)|10)*",
    7: "0*1*0*1*",
}
"""M. Tomita, "Dynamic construction of finite-state automata from examples using hill-climbing" (1982)."""

_TOMITA_3_COMPLEMENT = "(()|(0|1)*0)1(11)*(0(0|1)*1)*0(00)*(()|1(0|1)*)"
"""An odd run of ones, and an odd run of zeros at any point after it."""

_BRACKETS = ("()", "[]", "{}", "<>")
MAX_BRACKET_STATES = 4096
MAX_MODULUS = 1000
MAX_RANDOM_STATES = 64


class UnknownLanguageError(UsageError):
    """A name of nothing, in place of a language that is there and of a size or a form that is refused."""


def get_language(name: str) -> Automaton:
    """The automaton that a name or a regular expression stands for.

    Args:
        name: one of `language_names`; a group such as ``z7``, ``d4`` or ``s3xz2`` (its word problem);
            ``generators:(1 2 3),(1 2)``, the word problem of the group that these permutations generate,
            with them as letters; ``mod-N``; ``dyck-KINDS-DEPTH``; ``random:SEED[:STATES[:LETTERS]]``;
            ``file:PATH`` (see `evalkit_tasks.formal.automaton_files.read_automaton`); else a regular
            expression, which ``regex:`` marks where it could be mistaken for a name.

    Raises:
        UnknownLanguageError: it names nothing, and looks like a name.
        UsageError: it is no regular expression, no string matches it, or it is too large.
    """
    if name in _NAMED:
        return _NAMED[name]()
    if name.startswith("random:"):
        return _parse_random(name)
    if name.startswith("file:"):
        return Automaton.from_file(Path(name.removeprefix("file:")))
    if name.startswith("regex:"):
        return _renamed(Automaton.from_regex(name.removeprefix("regex:")), name)
    if modulus := re.fullmatch(r"mod-(\d{1,18})", name):
        return count_modulo(int(modulus[1]))
    if name.startswith("generators:"):
        return _generated(name)
    if brackets := re.fullmatch(r"dyck-(\d{1,3})-(\d{1,3})", name):
        return dyck(int(brackets[1]), int(brackets[2]))
    if group := groups.parse_group(name):
        return Automaton.from_group(group)
    if _looks_like_a_name(name):
        hint = (
            f"Names have small letters. Known: {', '.join(_NAMED)}. "
            "Any group of permutations: generators:CYCLES. A regular expression: regex:PATTERN."
        )
        names = [name.lower()] if groups.parse_group(name.lower()) else _NAMED
        raise UnknownLanguageError(str(unknown_name("language", name, names, hint)))
    if _looks_like_a_file(name):
        raise UsageError(f"{name!r}: an automaton's file is file:{name}, the expression regex:{name}")
    return Automaton.from_regex(name)


def _looks_like_a_name(text: str) -> bool:
    """Whether a text is rather a name with a mistake than an expression: a word, or a group in capitals."""
    is_word = re.fullmatch(r"[A-Za-z0-9:-]{3,}", text) and re.search(r"[A-Za-z]", text)
    return bool(is_word or groups.parse_group(text.lower()))


def _looks_like_a_file(text: str) -> bool:
    """Whether a text is rather a path than an expression: by its ending, or because a file is there."""
    suffix = Path(text).suffix
    is_path = re.fullmatch(r"[\w ./~:\\-]+", text) is not None
    return is_path and (suffix.lower() in FILE_SUFFIXES or (bool(suffix) and is_there(Path(text))))


def language_names() -> list[str]:
    """Every language that has a fixed name, in the order of tables."""
    return list(_NAMED)


def count_modulo(modulus: int, name: str | None = None) -> Automaton:
    """Strings over 0 and 1 in which the number of ones is a multiple of ``modulus``."""
    if not 1 <= modulus <= MAX_MODULUS:
        raise UsageError(f"mod-{modulus}: the modulus must lie between 1 and {MAX_MODULUS}")
    table = [[state, (state + 1) % modulus] for state in range(modulus)]
    return Automaton.from_table(name or f"mod-{modulus}", "01", table, accepting=[0])


def by_prime_powers(automaton: Automaton) -> Automaton:
    """``mod-N`` as the word problem of Z_N over its letters, in which the label is the count modulo N.

    Counting to 60 takes 60 registers; 3, 4 and 5 points on cycles of their own take 12. Any other automaton
    is given back.
    """
    modulus = re.fullmatch(r"mod-(\d+)", automaton.name)
    if not modulus or modulus[1] == "1":
        return automaton
    return Automaton.from_group(groups.cyclic(int(modulus[1])), [0, 1], name=automaton.name)


def parity() -> Automaton:
    """Strings over 0 and 1 with an odd number of ones."""
    return Automaton.from_table("parity", "01", [[0, 1], [1, 0]], accepting=[1])


def flip_flop() -> Automaton:
    """One bit of memory: 0 and 1 write it, - keeps it; accepted while it is 1."""
    return Automaton.from_table("flip-flop", "01-", [[0, 1, 0], [0, 1, 1]], accepting=[1])


def cycle_navigation() -> Automaton:
    """A walk on a cycle of five places: 0 stays, + and - step; the label is the place.

    After Deletang et al., arXiv 2207.02098.
    """
    z5 = groups.cyclic(5)
    walk = Automaton.from_group(z5, [0, 1, 4])
    return Automaton.from_table(
        "cycle-navigation", "0+-", walk.transitions, accepting=[0], labels=walk.labels, group=z5
    )


def modular_arithmetic(modulus: int = 5) -> Automaton:
    """Sums, differences and products of digits without brackets, products first.

    The label is the value modulo ``modulus`` where the prefix is an expression, else ``modulus``; accepted
    are the expressions. After "modular arithmetic (simple)" of Deletang et al., arXiv 2207.02098.
    """
    digits = [str(digit) for digit in range(modulus)]
    # A state: the sum so far, the product that is being built (with its sign), and what was read last.
    values = range(modulus)
    states: list[tuple[str, int, int]] = [
        ("start", 0, 1),
        *(("digit", total, term) for total in values for term in values),
        *(("times", total, term) for total in values for term in values),
        *(("sign", total, term) for total in values for term in sorted({1, modulus - 1})),
        ("error", 0, 0),
    ]
    index = {state: number for number, state in enumerate(states)}

    def step(state: tuple[str, int, int], letter: str) -> tuple[str, int, int]:
        kind, total, term = state
        if letter in digits and kind != "error":
            return ("error", 0, 0) if kind == "digit" else ("digit", total, term * int(letter) % modulus)
        if kind != "digit":
            return ("error", 0, 0)
        if letter == "*":
            return ("times", total, term)
        return ("sign", (total + term) % modulus, 1 if letter == "+" else modulus - 1)

    alphabet = (*digits, "+", "-", "*")
    return Automaton.from_table(
        "modular-arithmetic",
        alphabet,
        [[index[step(state, letter)] for letter in alphabet] for state in states],
        accepting=[index[state] for state in states if state[0] == "digit"],
        labels=[(total + term) % modulus if kind == "digit" else modulus for kind, total, term in states],
    )


def tomita(number: int) -> Automaton:
    """Tomita's languages 1 to 7, over 0 and 1."""
    if number == 3:
        language = Automaton.from_regex(_TOMITA_3_COMPLEMENT, "01").complement()
    else:
        language = Automaton.from_regex(_TOMITA[number], "01")
    return _renamed(language, f"tomita-{number}")


def dyck(num_types: int = 2, depth: int = 3) -> Automaton:
    """Balanced brackets of ``num_types`` kinds, nested at most ``depth`` deep.

    Raises:
        UsageError: more than four kinds, none, or more than `MAX_BRACKET_STATES` states.
    """
    name = f"dyck-{num_types}-{depth}"
    if not 1 <= num_types <= len(_BRACKETS) or depth < 1:
        raise UsageError(
            f"{name}: there are 1 to {len(_BRACKETS)} kinds of brackets, and a depth of 1 or more"
        )
    if sum(num_types**size for size in range(depth + 1)) > MAX_BRACKET_STATES:
        raise UsageError(
            f"{name} has more than {MAX_BRACKET_STATES} states; give fewer kinds or a smaller depth"
        )
    brackets = _BRACKETS[:num_types]
    stacks = [
        stack for size in range(depth + 1) for stack in itertools.product(range(num_types), repeat=size)
    ]
    index = {stack: number for number, stack in enumerate(stacks)}
    error = len(stacks)
    rows = []
    for stack in stacks:
        opened = [index.get((*stack, kind), error) for kind in range(num_types)]
        closed = [index[stack[:-1]] if stack[-1:] == (kind,) else error for kind in range(num_types)]
        rows.append(list(itertools.chain(*zip(opened, closed, strict=True))))
    rows.append([error] * 2 * num_types)
    return Automaton.from_table(name, "".join(brackets), rows, accepting=[0])


def s5_swaps(name: str = "s5-swaps") -> Automaton:
    """Five things, and letters that leave them or swap two: 11 letters, all of S5 as states."""
    s5 = groups.symmetric(5)
    swaps = [groups.transposition(5, x, y) for x, y in itertools.combinations(range(5), 2)]
    return Automaton.from_group(s5, [0, *map(s5.index, swaps)], name=name)


def s5_four_swaps() -> Automaton:
    """S5 with each element spelt as four letters of ``s5-swaps``, a swap or nothing each."""
    swaps = s5_swaps("s5-4swaps")
    assert swaps.group is not None
    # Breadth first, identity last: as few swaps as possible, then letters that do nothing.
    words: dict[int, tuple[int, ...]] = {0: (0, 0, 0, 0)}
    frontier: dict[int, tuple[int, ...]] = {0: ()}
    while frontier:
        reached: dict[int, tuple[int, ...]] = {}
        for element, word in frontier.items():
            for letter in range(1, swaps.num_letters):
                after = int(swaps.transitions[element, letter])
                if after not in words:
                    words[after] = (*word, letter, *[0] * (3 - len(word)))
                    reached[after] = (*word, letter)
        frontier = reached
    codewords = np.array([words[element] for element in range(swaps.group.order)], np.int64)
    codewords.flags.writeable = False
    letters = swaps.transitions[0].tolist()
    return Automaton.from_group(swaps.group, letters, name="s5-4swaps", codewords=codewords)


def random_automaton(seed: int, num_states: int = 6, num_letters: int = 2) -> Automaton:
    """A random automaton that is minimal with ``num_states`` states; the same for the same arguments.

    Raises:
        UsageError: the sizes are out of range.
    """
    return _of_random_table(
        *random_table(seed, num_states, num_letters), f"random:{seed}:{num_states}:{num_letters}"
    )


def random_table(
    seed: int, num_states: int = 6, num_letters: int = 2
) -> tuple[list[list[int]], frozenset[int]]:
    """What is drawn for `random_automaton`: the states after each letter, and those that accept; 0 starts.

    Raises:
        UsageError: the sizes are out of range.
    """
    if not 2 <= num_states <= MAX_RANDOM_STATES or not 2 <= num_letters <= 10:
        raise UsageError(
            f"random:{seed}:{num_states}:{num_letters}: "
            f"states must be 2 to {MAX_RANDOM_STATES}, letters 2 to 10"
        )
    generator = np.random.default_rng([seed, num_states, num_letters])
    while True:
        targets = generator.integers(num_states, size=(num_states, num_letters))
        accepting = frozenset(np.flatnonzero(generator.random(num_states) < 0.5).tolist())
        # Of 64 states and two letters one table in tens of thousands leads to all of them, so look first.
        if np.bincount(targets.ravel(), minlength=num_states)[1:].all():
            table = targets.tolist()
            if _of_random_table(table, accepting, "random").num_states == num_states:
                return table, accepting


def _of_random_table(table: list[list[int]], accepting: frozenset[int], name: str) -> Automaton:
    return Automaton.from_table(name, "0123456789"[: len(table[0])], table, accepting=accepting).minimal()


def _parse_random(name: str) -> Automaton:
    texts = name.split(":")[1:]
    numbers = [number for number in map(whole_number, texts) if number is not None]
    if not 1 <= len(numbers) <= 3 or len(numbers) < len(texts):
        raise UsageError(f"{name!r}: write random:SEED, random:SEED:STATES or random:SEED:STATES:LETTERS")
    return random_automaton(*numbers)


def _generated(name: str) -> Automaton:
    generators = groups.parse_generators(name.removeprefix("generators:"))
    group = groups.generated(name, generators)
    letters = [group.index(generator) for generator in generators]
    if len(set(letters)) < len(letters):
        raise UsageError(f"{name}: two generators are alike")
    return Automaton.from_group(group, letters, name=name)


def _renamed(automaton: Automaton, name: str) -> Automaton:
    return Automaton.from_table(
        name,
        automaton.alphabet,
        automaton.transitions,
        start=automaton.start,
        accepting=automaton.accepting,
    )


def _pattern(name: str, pattern: str) -> Automaton:
    return _renamed(Automaton.from_regex(pattern, "01"), name)


def _word_problem(name: str) -> Automaton:
    group = groups.parse_group(name)
    assert group is not None
    return Automaton.from_group(group)


_GROUPS = ("z3", "z5", "z60", "s3", "a4", "s4", "a5", "s5", "a4xz5")

_NAMED: dict[str, Callable[[], Automaton]] = {
    "parity": parity,
    "even-pairs": functools.partial(_pattern, "even-pairs", "()|0|1|0(0|1)*0|1(0|1)*1"),
    "flip-flop": flip_flop,
    **{name: functools.partial(_word_problem, name) for name in _GROUPS},
    "s5-swaps": s5_swaps,
    "s5-4swaps": s5_four_swaps,
    "cycle-navigation": cycle_navigation,
    "modular-arithmetic": modular_arithmetic,
    **{f"tomita-{number}": functools.partial(tomita, number) for number in range(1, 8)},
    "dyck-2-3": dyck,
    "mod-7": functools.partial(count_modulo, 7),
    "repeat01": functools.partial(_pattern, "repeat01", "(01)*"),
}
