"""Regular expressions, read by automata-lib, and the bounds that keep them from filling the memory.

What automata-lib 9.2 needs help with:

* it takes every character of a pattern for a letter, also the digits of ``a{2}`` and the dash of ``[0-9]``:
  here the letters are those that some transition reads;
* it writes repetitions out and determines subsets without a bound;
* the empty pattern is the empty string, and nothing stands for the empty language.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from automata.base.exceptions import AutomatonException, RegexException
from automata.fa.dfa import DFA
from automata.fa.nfa import NFA

from evalkit.errors import UsageError, first_line

MAX_STATES = 4096
"""Of a regular expression's automaton, which can have 2^n states for an expression of n letters."""

MAX_WRITTEN_OUT = 10_000
"""Letters of a regular expression with its ``{m,n}`` written out."""

_NOT_LETTERS = re.compile(r"\{[\d,\s]*\}|\\[sSdDwW]|(?<=\[)\^")
_OPERATORS = frozenset("*|()?&+.^{}[] \t")


class ParsedPattern(NamedTuple):
    """What a regular expression stands for."""

    dfa: DFA
    """Minimal; states from which nothing is accepted may be missing."""
    letters: tuple[str, ...]
    """The alphabet, in order."""


def parse_pattern(pattern: str, alphabet: Sequence[str] | None = None) -> ParsedPattern:
    """The minimal automaton of a regular expression, as the library has it.

    Args:
        pattern: see `evalkit_tasks.formal.automaton.Automaton.from_regex`.
        alphabet: single characters; by default those that the pattern reads, sorted.

    Raises:
        UsageError: it is no regular expression, uses letters outside the alphabet, no string matches it, or
            its automaton is too large.
    """
    written = set(_NOT_LETTERS.sub("", pattern)) - _OPERATORS
    symbols = written if alphabet is None else set(alphabet)
    if wrong := [letter for letter in symbols if len(letter) != 1 or letter in _OPERATORS]:
        raise UsageError(f"{wrong[0]!r} cannot be a letter of a regular expression")
    if _length_written_out(pattern) > MAX_WRITTEN_OUT:
        raise UsageError(
            f"{pattern!r} is too long: over {MAX_WRITTEN_OUT:,} letters with its {{}} written out"
        )
    try:
        nfa = NFA.from_regex(pattern, input_symbols=symbols)
        read = {letter for paths in nfa.transitions.values() for letter in paths} - {""}
        if alphabet is None:
            symbols = read | (written - {"-"})  # an intersection may read less than what is written
            nfa = NFA.from_regex(pattern, input_symbols=symbols)
    except (AutomatonException, RegexException) as error:
        reason = first_line(error).rstrip(".")
        raise UsageError(
            f"{pattern!r} is not a regular expression over {sorted(symbols)}: {reason}"
        ) from error
    if outside := sorted(read - symbols):
        raise UsageError(f"{pattern!r} uses {outside[0]!r}, which is not among the letters {sorted(symbols)}")
    letters = tuple(sorted(symbols) if alphabet is None else alphabet)
    if not letters:
        raise UsageError(f"{pattern!r} names no letter; write one, or give the alphabet")
    if _has_more_states(nfa, MAX_STATES):
        raise UsageError(f"{pattern!r} is too large: its automaton has over {MAX_STATES} states")
    dfa = DFA.from_nfa(nfa, minify=True)
    if dfa.isempty():
        raise UsageError(f"no string matches {pattern!r}: its language over {', '.join(letters)} is empty")
    return ParsedPattern(dfa, letters)


def _length_written_out(pattern: str) -> int:
    """About how many letters a regular expression has when its repetitions are written out."""
    sizes, last_sizes = [0], [0]  # of each open bracket, and of what a repetition after it would repeat
    for token in re.findall(r"\{[^{}]*\}|\[[^\]]*\]|\\.|.", pattern, re.DOTALL):
        if token == "(":
            sizes.append(0)
            last_sizes.append(0)
        elif token == ")" and len(sizes) > 1:
            last_sizes.pop()
            last_sizes[-1] = sizes.pop()
            sizes[-1] += last_sizes[-1]
        elif token[0] == "{":
            times = max(map(int, re.findall(r"\d{1,9}", token)), default=1)
            sizes[-1] += last_sizes[-1] * (max(times, 1) - 1)
            last_sizes[-1] *= max(times, 1)
        elif token not in _OPERATORS:
            last_sizes[-1] = 1
            sizes[-1] += 1
    return sum(sizes)


def _has_more_states(nfa: NFA, bound: int) -> bool:
    """Whether the subset construction finds more states, the empty subset left out."""
    nfa = nfa.eliminate_lambda()
    subsets = [frozenset({nfa.initial_state})]
    seen = set(subsets)
    for subset in subsets:  # grows on the way
        for letter in nfa.input_symbols:
            after = frozenset().union(*(nfa.transitions.get(state, {}).get(letter, ()) for state in subset))
            if after and after not in seen:
                if len(seen) == bound:
                    return True
                seen.add(after)
                subsets.append(after)
    return False
