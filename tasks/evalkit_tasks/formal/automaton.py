"""Deterministic finite automata: what every probe draws its strings, labels and weights from.

Minimisation is automata-lib's work (MIT; pyformlang serves the tests as the independent second opinion). Its
automata are partial, with arbitrary state names: here every automaton is complete and its states are numbered
in the order in which a breadth-first search finds them, so that equal languages give equal minimal tables.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from automata.fa.dfa import DFA
from numpy.typing import ArrayLike, NDArray

from evalkit.errors import UsageError
from evalkit_tasks.formal.automaton_files import read_automaton
from evalkit_tasks.formal.derivatives import TooLargeError
from evalkit_tasks.formal.groups import Group
from evalkit_tasks.formal.nfa import subset_table
from evalkit_tasks.formal.patterns import parse_pattern

MAX_REVERSE_STATES = 4096
"""Where `Automaton.reverse` gives up: the reverse of n states can have 2^n."""

MAX_FILE_STATES = 4096
"""Of a file's automaton, made deterministic."""


@dataclasses.dataclass(frozen=True, eq=False)
class Automaton:
    """A complete deterministic automaton, with a label for each state.

    A recogniser's labels are 0 and 1, for rejecting and accepting states; a word problem's label is the
    state itself; other machines label states as they like.
    """

    name: str
    alphabet: tuple[str, ...]
    """The letters' names; a letter is its index."""
    transitions: NDArray[np.int64]
    """``[num_states, num_letters]``, read-only: the state after a letter."""
    start: int
    accepting: frozenset[int]
    labels: NDArray[np.int64]
    """``[num_states]``, read-only, from 0 to `num_labels` - 1."""
    group: Group | None = None
    """For a word problem: the group whose elements the states are."""
    codewords: NDArray[np.int64] | None = None
    """``[num_codewords, length]``: strings are made of these, and labels are asked for after each; None:
    of single letters."""

    @property
    def num_states(self) -> int:
        """How many states there are."""
        return len(self.transitions)

    @property
    def num_letters(self) -> int:
        """How many letters the alphabet has."""
        return len(self.alphabet)

    @property
    def num_labels(self) -> int:
        """How many labels there are."""
        return int(self.labels.max()) + 1

    @property
    def is_recogniser(self) -> bool:
        """Whether the labels are those of acceptance."""
        return bool((self.labels == self._acceptance).all())

    def run(self, letters: ArrayLike) -> NDArray[np.int64]:
        """States after each non-empty prefix.

        Args:
            letters: integers ``[..., T]``, below `num_letters`.

        Returns:
            ``[..., T]``; entry t is the state after ``letters[..., : t + 1]``.

        Raises:
            ValueError: a letter is not in the alphabet.
        """
        letters = np.asarray(letters, np.int64)
        if letters.size and not 0 <= letters.min() <= letters.max() < self.num_letters:
            span = f"{letters.min()} to {letters.max()}"
            raise ValueError(f"{self.name} has letters 0 to {self.num_letters - 1}; these are {span}")
        if not letters.size:
            return letters.copy()
        rows = letters.reshape(-1, letters.shape[-1])
        states = np.empty_like(rows)
        if len(rows) == 1:  # plain integers are faster than arrays of one
            table, state = self.transitions.tolist(), self.start
            states[0] = [state := table[state][letter] for letter in rows[0].tolist()]
        else:
            now = np.full(len(rows), self.start)
            for t in range(rows.shape[1]):
                now = self.transitions[now, rows[:, t]]
                states[:, t] = now
        return states.reshape(letters.shape)

    def accepts(self, letters: ArrayLike) -> NDArray[np.bool_]:
        """Whether each non-empty prefix is in the language; shapes as in `run`."""
        return self._acceptance[self.run(letters)]

    def label(self, letters: ArrayLike) -> NDArray[np.int64]:
        """The label after each non-empty prefix; shapes as in `run`."""
        return self.labels[self.run(letters)]

    def is_accepting(self, states: ArrayLike) -> NDArray[np.bool_]:
        """Whether each of some states accepts; shapes as given."""
        return self._acceptance[np.asarray(states, np.int64)]

    def encode(self, text: str) -> NDArray[np.int64]:
        """Letters of a text in which each character is a letter.

        Raises:
            ValueError: a character is not in the alphabet.
        """
        return np.array([self.alphabet.index(character) for character in text], np.int64)

    def reachable_states(self) -> NDArray[np.int64]:
        """The states that some string leads to, in rising order."""
        is_reached = np.zeros(self.num_states, bool)
        is_reached[self.start] = True
        # A letter more at a time, until no letter leads out of the set.
        while not is_reached[after := self.transitions[is_reached]].all():
            is_reached[after] = True
        return np.flatnonzero(is_reached)

    def shortest_words(self) -> dict[int, str]:
        """By state, in the order of numbers: a shortest string that leads there, letters apart by spaces.

        Letters of one character stand together; ``()`` is the empty string.
        """
        separator = "" if all(len(letter) == 1 for letter in self.alphabet) else " "
        words: dict[int, tuple[str, ...]] = {self.start: ()}
        for state in (queue := [self.start]):  # grows on the way
            for letter, after in zip(self.alphabet, self.transitions[state].tolist(), strict=True):
                if after not in words:
                    words[after] = (*words[state], letter)
                    queue.append(after)
        return {state: separator.join(words[state]) or "()" for state in sorted(words)}

    def minimal(self) -> "Automaton":
        """The smallest automaton of the same language; its labels are those of acceptance."""
        # The library is told numbers, since a letter of a group has a name of several characters.
        symbols = [str(letter) for letter in range(self.num_letters)]
        dfa = DFA(
            states=set(range(self.num_states)),
            input_symbols=set(symbols),
            transitions={
                state: dict(zip(symbols, row, strict=True))
                for state, row in enumerate(self.transitions.tolist())
            },
            initial_state=self.start,
            final_states=set(self.accepting),
        )
        return _from_library(dfa.minify(), symbols, self.alphabet, self.name)

    def reduced(self) -> "Automaton":
        """The smallest machine with the same labels: states that letters tell apart are split (Moore 1956).

        Which states it accepts in is lost where a label does not tell.
        """
        if self.is_recogniser:
            return self.minimal()
        reachable = self.reachable_states()
        table = np.searchsorted(reachable, self.transitions[reachable])
        classes = np.unique(self.labels[reachable], return_inverse=True)[1]
        while True:
            signatures = np.column_stack((classes, classes[table]))
            _, first, finer = np.unique(signatures, axis=0, return_index=True, return_inverse=True)
            if len(first) == classes.max() + 1:
                break
            classes = finer
        return Automaton.from_table(
            self.name,
            self.alphabet,
            finer[table[first]],
            start=int(finer[np.searchsorted(reachable, self.start)]),
            accepting=np.flatnonzero(self._acceptance[reachable[first]]).tolist(),
            labels=self.labels[reachable[first]],
        )

    def complement(self) -> "Automaton":
        """The automaton of all other strings; its labels are those of acceptance."""
        rejecting = frozenset(range(self.num_states)) - self.accepting
        return Automaton.from_table(
            self.name, self.alphabet, self.transitions, start=self.start, accepting=rejecting
        )

    def reverse(self, max_states: int = MAX_REVERSE_STATES) -> "Automaton":
        """The smallest automaton of the reversed strings.

        Reversing the arrows of an automaton all of whose states can be reached and making the result
        deterministic gives a minimal automaton (Brzozowski 1962), so nothing is left to minimise. Done
        here, and not by automata-lib, because the number of states has to be bounded.

        Raises:
            UsageError: it has more than ``max_states`` states.
        """
        source = self.minimal()
        # A state of the reverse is a set of states of the source, [num_states] of bool: those from which the
        # letters read so far, backwards, lead to acceptance.
        membership = source._acceptance
        number_of = {membership.tobytes(): 0}
        subsets, rows = [membership], []
        for subset in subsets:  # grows on the way
            row = []
            for letter in range(self.num_letters):
                before = subset[source.transitions[:, letter]]
                key = before.tobytes()
                if key not in number_of:
                    if len(number_of) == max_states:
                        raise UsageError(f"{self.name}: its reverse automaton has over {max_states} states")
                    number_of[key] = len(subsets)
                    subsets.append(before)
                row.append(number_of[key])
            rows.append(row)
        accepting = [number for number, subset in enumerate(subsets) if subset[source.start]]
        name = f"{self.name} reversed"
        return Automaton.from_table(name, self.alphabet, rows, start=0, accepting=accepting)

    @classmethod
    def from_table(
        cls,
        name: str,
        alphabet: Sequence[str],
        transitions: ArrayLike,
        *,
        start: int = 0,
        accepting: Sequence[int] | frozenset[int] = (),
        labels: ArrayLike | None = None,
        group: Group | None = None,
        codewords: NDArray[np.int64] | None = None,
    ) -> "Automaton":
        """An automaton from its transition table.

        Args:
            name: what it is called in tables and messages.
            alphabet: the letters' names.
            transitions: ``[num_states, num_letters]``.
            start: the state before the first letter.
            accepting: states after which a string is in the language.
            labels: ``[num_states]``; by default 1 for accepting states, else 0.
            group: of a word problem.
            codewords: see the attribute.

        Raises:
            UsageError: the table is not complete, or names states that do not exist.
        """
        table = np.array(transitions, np.int64)
        num_states = len(table)
        if table.ndim != 2 or not num_states or table.shape[1] != len(alphabet):
            raise UsageError(
                f"{name}: the transition table must have a row for each state and a column for each of the "
                f"{len(alphabet)} letters; its shape is {table.shape}"
            )
        if len(set(alphabet)) < len(alphabet) or not alphabet:
            raise UsageError(f"{name}: the letters must be distinct and at least one: {list(alphabet)}")
        named_states = [*table.ravel().tolist(), start, *accepting]
        if wrong := [state for state in named_states if not 0 <= state < num_states]:
            raise UsageError(f"{name}: there is no state {wrong[0]}; there are {num_states}, from 0")
        if labels is None:
            labels = np.isin(np.arange(num_states), list(accepting))
        label_array = np.array(labels, np.int64)
        if label_array.shape != (num_states,) or label_array.min() < 0:
            raise UsageError(f"{name}: labels must be one number, at least 0, for each state")
        table.flags.writeable = label_array.flags.writeable = False
        return cls(name, tuple(alphabet), table, start, frozenset(accepting), label_array, group, codewords)

    @classmethod
    def from_regex(cls, pattern: str, alphabet: Sequence[str] | None = None) -> "Automaton":
        """The smallest automaton of a regular expression.

        Args:
            pattern: letters, ``*``, ``+``, ``?``, ``|``, ``&`` (intersection), ``^`` (shuffle), ``.``,
                ``[...]``, ``[^...]``, ``{m,n}``, ``()`` for the empty string; see
                `evalkit_tasks.formal.expressions`.
            alphabet: single characters; by default those that the pattern writes, sorted.

        Raises:
            UsageError: it is no regular expression, uses letters outside the alphabet, no string matches
                it, or its automaton is too large.
        """
        table, letters = parse_pattern(pattern, alphabet)
        return cls.from_table(pattern, letters, table.rows, accepting=table.accepting).minimal()

    @classmethod
    def from_file(cls, path: Path) -> "Automaton":
        """The smallest automaton of a file's; see `evalkit_tasks.formal.automaton_files.read_automaton`.

        Raises:
            UsageError: the file holds none, no string is accepted, or its automaton is too large.
        """
        nfa = read_automaton(path)
        try:
            table = subset_table(nfa, MAX_FILE_STATES)
        except TooLargeError as error:
            raise UsageError(f"{path}: made deterministic it has {error}") from error
        if not table.accepting:
            raise UsageError(f"{path}: no string leads to a state that accepts")
        return cls.from_table(f"file:{path}", nfa.alphabet, table.rows, accepting=table.accepting).minimal()

    @classmethod
    def from_group(
        cls,
        group: Group,
        letters: Sequence[int] | None = None,
        *,
        name: str | None = None,
        codewords: NDArray[np.int64] | None = None,
    ) -> "Automaton":
        """The word problem of a group: the state, and the label, is the product of the letters.

        The accepted strings are those whose product is the identity.

        Args:
            group: its elements are the states.
            letters: indices of the elements that are letters; by default all.
            name: by default the group's.
            codewords: see the attribute.
        """
        letters = range(group.order) if letters is None else letters
        return cls.from_table(
            name or group.name,
            [group.element_names[element] for element in letters],
            group.products[:, list(letters)],
            start=0,
            accepting=[0],
            labels=np.arange(group.order),
            group=group,
            codewords=codewords,
        )

    @property
    def _acceptance(self) -> NDArray[np.bool_]:
        return np.isin(np.arange(self.num_states), list(self.accepting))


def _from_library(dfa: DFA, symbols: Sequence[str], alphabet: tuple[str, ...], name: str) -> Automaton:
    """A complete automaton with its states in breadth-first order.

    Args:
        dfa: of automata-lib, complete or not.
        symbols: what the library calls each letter of the alphabet.
        alphabet: the letters' names.
        name: of the automaton.
    """
    trap = object()  # the state from which nothing is accepted, which the library leaves out
    number_of = {dfa.initial_state: 0}
    states, rows = [dfa.initial_state], []
    for state in states:  # grows on the way
        row = []
        for symbol in symbols:
            after = dfa.transitions.get(state, {}).get(symbol, trap)
            if after not in number_of:
                number_of[after] = len(states)
                states.append(after)
            row.append(number_of[after])
        rows.append(row)
    accepting = [number for state, number in number_of.items() if state in dfa.final_states]
    return Automaton.from_table(name, alphabet, rows, start=0, accepting=accepting)
