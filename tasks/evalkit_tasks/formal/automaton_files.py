"""Automata that somebody else wrote down: AT&T's text (OpenFst, foma), JFLAP's XML, tables in CSV and JSON.

Read is what the format says, as a nondeterministic automaton; anything else is an error that names the line
or the state. Nothing of a file is executed, and its size is bounded before it is parsed.
"""

import csv
import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path

from evalkit import fields
from evalkit.errors import UsageError, first_line
from evalkit.files import parse_json, plain_file_text
from evalkit_tasks.formal.nfa import NFA

MAX_FILE_BYTES = 4 << 20
MAX_STATES = 4096
MAX_LETTERS = 1000
MAX_EDGES = 300_000

_EMPTY_STRING = ("<eps>", "<epsilon>", "@0@", "@_EPSILON_SYMBOL_@")
"""How AT&T's text writes a move without a letter."""
_NOT_LETTERS = ("ε", "λ", "ϵ", "Λ")
"""What people write for the empty string where a format has another way to."""
_YES_OR_NO = {
    "": False, "no": False, "0": False, "false": False, "yes": True, "1": True, "true": True,
}  # fmt: skip


class _FileError(ValueError):
    """What is wrong with a file, without its name."""


@dataclasses.dataclass
class _Records:
    """What a file says, in its own names."""

    edges: list[tuple[str, str | None, str]] = dataclasses.field(default_factory=list)
    """State, letter, state; None: the empty string."""
    starts: list[str] = dataclasses.field(default_factory=list)
    accepting: list[str] = dataclasses.field(default_factory=list)
    states: list[str] = dataclasses.field(default_factory=list)
    """All of them, in the file's order."""


def read_automaton(path: Path) -> NFA:
    """The automaton of a file, by its ending: ``.att``, ``.jff``, ``.csv`` or ``.json``.

    Args:
        path: ``.att`` has a line for each transition (state, state, letter, and perhaps the same letter
            again or a weight of 0) and for each accepting state, and starts at the first state it names;
            ``.jff`` is JFLAP's; ``.csv`` has the columns state, symbol, next, start and accepts (the last
            two, yes or no, are about the state of the line); ``.json`` has ``start``, ``accepts`` and
            ``transitions``, lists of state, symbol and state.

    Raises:
        UsageError: it cannot be read, or is no finite automaton; the message says where.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{path}: automata are read from {', '.join(_READERS)} files")
    try:
        if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
            raise _FileError(f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
        return _numbered(reader(plain_file_text(path).removeprefix("\ufeff")))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: it is not UTF-8, at byte {error.start:,}") from error
    except ValueError as error:
        raise UsageError(f"{path}: {first_line(error)}") from error


def describe(nfa: NFA) -> str:
    """What was read, and what had to be done to it, in a line."""
    num_states, num_letters = nfa.num_states, len(nfa.alphabet)
    shown = " ".join(nfa.alphabet[:20]) + (" …" if num_letters > 20 else "")
    text = (
        f"{num_states:,} state{'s' * (num_states > 1)}, {num_letters:,} letter{'s' * (num_letters > 1)} "
        f"({shown})"
    )
    if not nfa.is_deterministic:
        text += "; nondeterministic, made deterministic"
    if nfa.num_missing:
        text += f"; {nfa.num_missing:,} of {num_states * num_letters:,} transitions are missing: they reject"
    if nfa.num_unreachable:
        text += f"; no string leads to {nfa.num_unreachable:,} of the states"
    return text


def _numbered(records: _Records) -> NFA:
    """States and letters as numbers, letters in the order of their names.

    Raises:
        _FileError: nothing starts, nothing is accepted, there are no letters, or too much of anything.
    """
    number_of = {state: number for number, state in enumerate(dict.fromkeys(records.states))}
    letters = {letter for _, letter, _ in records.edges if letter is not None}
    for letter in sorted(letters.intersection(_NOT_LETTERS)):
        raise _FileError(f"the letter {letter!r} may be meant as the empty string; see the documentation")
    alphabet = tuple(sorted(letters))
    for things, number, most in (
        ("states", len(number_of), MAX_STATES),
        ("letters", len(alphabet), MAX_LETTERS),
        ("transitions", len(records.edges), MAX_EDGES),
    ):
        if number > most:
            raise _FileError(f"it has {number:,} {things}; the most is {most:,}")
    if not alphabet:
        raise _FileError("no transition reads a letter")
    if not records.starts:
        raise _FileError("no state is the start")
    if not records.accepting:
        raise _FileError("no state accepts")
    letter_of = {letter: number for number, letter in enumerate(alphabet)}
    return NFA(
        alphabet,
        len(number_of),
        tuple(
            (number_of[state], None if letter is None else letter_of[letter], number_of[after])
            for state, letter, after in records.edges
        ),
        frozenset(number_of[state] for state in records.starts),
        frozenset(number_of[state] for state in records.accepting),
    )


def _read_att(text: str) -> _Records:
    records = _Records()
    for number, line in enumerate(text.split("\n"), start=1):
        values = [value.strip() for value in (line.split("\t") if "\t" in line else line.split(" "))]
        values = [value for value in values if value] if "\t" not in line else values
        if not any(values):
            continue
        if len(values) > 5 or not all(values) or values == ["--"]:
            raise _FileError(f"line {number} is no transition and no accepting state: {_quoted(line)}")
        if len(values) <= 2:
            records.states.append(values[0])
            if _is_weight(values[1:] or ["0"], number, may_be_infinite=True):
                records.accepting.append(values[0])
        else:
            state, after, letter = values[:3]
            weights = values[4:] if values[3:4] == [letter] else values[3:]
            if len(weights) > 1 or not _is_number(weights):
                raise _FileError(f"line {number} writes {_quoted(values[3])}: a transducer, not an automaton")
            _is_weight(weights or ["0"], number)
            records.states += [state, after]
            records.edges.append((state, None if letter in _EMPTY_STRING else letter, after))
    records.starts = records.states[:1]
    return records


def _is_number(weights: list[str]) -> bool:
    try:
        return not any(math.isnan(float(weight)) for weight in weights)
    except ValueError:
        return False


def _is_weight(weights: list[str], line_number: int, *, may_be_infinite: bool = False) -> bool:
    """Whether an optional weight is that of acceptance, 0; infinity is that of rejection.

    Raises:
        _FileError: it is another.
    """
    [weight] = weights
    allowed = (0.0, math.inf) if may_be_infinite else (0.0,)
    if not _is_number(weights) or float(weight) not in allowed:
        raise _FileError(
            f"line {line_number} has the weight {_quoted(weight)}; a language has none (0 is allowed)"
        )
    return float(weight) == 0


def _read_jff(text: str) -> _Records:
    from xml.etree import ElementTree

    if re.search("<!DOCTYPE|<!ENTITY", text, re.IGNORECASE):
        raise _FileError("its XML declares entities, which JFLAP's files do not")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise _FileError(f"it is not XML: {first_line(error)}") from error
    kind = (root.findtext("type") or "").strip()
    if root.tag != "structure" or kind != "fa":
        raise _FileError(f"it holds {kind or root.tag!r}, not an automaton (fa)")
    automaton = root if root.find("automaton") is None else root.find("automaton")
    assert automaton is not None
    elements = [state for state in automaton.iter() if state.tag in ("state", "block")]
    names = [state.get("id", "") for state in elements]
    if len(set(names)) < len(names):
        raise _FileError(f"two states have the id {next(name for name in names if names.count(name) > 1)!r}")
    records = _Records(states=names)
    for name, element in zip(names, elements, strict=True):
        if element.find("initial") is not None:
            records.starts.append(name)
        if element.find("final") is not None:
            records.accepting.append(name)
    for transition in automaton.iter("transition"):
        state, after = ((transition.findtext(end) or "").strip() for end in ("from", "to"))
        for name in (state, after):
            if name not in names:
                raise _FileError(f"a transition is from or to {name!r}, which is the id of no state")
        for word in _jflap_words(transition.findtext("read") or ""):
            _add_word(records, state, word, after)
    return records


def _jflap_words(read: str) -> list[str]:
    """What a transition of JFLAP's reads: a word, or any character of ``[a-f]``."""
    span = re.fullmatch(r"\[(.)-(.)\]", read)
    return [chr(code) for code in range(ord(span[1]), ord(span[2]) + 1)] if span else [read]


def _add_word(records: _Records, state: str, word: str, after: str) -> None:
    """A way from a state to another that reads a word, a letter at a time; the empty one is one step."""
    letters: list[str | None] = [*word] or [None]
    for place, letter in enumerate(letters):
        is_last = place == len(letters) - 1
        between = after if is_last else f"{state} {word} {place} {len(records.states)}"
        if not is_last:
            records.states.append(between)
        records.edges.append((state, letter, between))
        state = between
        if len(records.states) > MAX_STATES:
            raise _FileError(f"it has over {MAX_STATES:,} states")


def _read_csv(text: str) -> _Records:
    rows = csv.DictReader(text.splitlines(), strict=True)
    records = _Records()
    try:
        names = {(name or "").strip(): name for name in rows.fieldnames or ()}
        if not {"state", "symbol", "next"} <= set(names) <= {"state", "symbol", "next", "start", "accepts"}:
            raise _FileError("its first line must name the columns state,symbol,next,start,accepts")
        for row in rows:
            if None in row:
                raise _FileError(f"line {rows.line_num} has more values than there are columns")
            _add_row(records, {name: (row[key] or "").strip() for name, key in names.items()}, rows.line_num)
    except csv.Error as error:
        raise _FileError(f"line {rows.line_num}: {first_line(error)}") from error
    return records


def _add_row(records: _Records, row: dict[str, str], line_number: int) -> None:
    state, symbol, after = row["state"], row["symbol"], row["next"]
    if not state or (symbol and not after):
        raise _FileError(f"line {line_number} names {'no next state' if state else 'no state'}")
    records.states.append(state)
    if after:
        records.states.append(after)
        records.edges.append((state, symbol or None, after))
    for name, states in (("start", records.starts), ("accepts", records.accepting)):
        value = row.get(name, "").lower()
        if value not in _YES_OR_NO:
            raise _FileError(f"line {line_number}: {name} is {_quoted(value)}; write yes or no")
        if _YES_OR_NO[value]:
            states.append(state)


@dataclasses.dataclass(frozen=True)
class _JSONTable:
    """The JSON form; states are strings or numbers, an empty symbol or null is the empty string."""

    start: str | int
    accepts: tuple[str | int, ...]
    transitions: tuple[tuple[str | int, str | int | None, str | int], ...]


def _read_json(text: str) -> _Records:
    try:
        table = fields.from_json(_JSONTable, parse_json(text))
    except ValueError as error:
        raise _FileError(first_line(error)) from error
    edges = [
        (str(state), None if symbol in (None, "") else str(symbol), str(after))
        for state, symbol, after in table.transitions
    ]
    accepting = [str(state) for state in table.accepts]
    ends = [state for first, _, last in edges for state in (first, last)]
    states = [str(table.start), *ends, *accepting]
    return _Records(edges, [str(table.start)], accepting, states)


def _quoted(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}…"


_READERS: dict[str, Callable[[str], _Records]] = {
    ".att": _read_att,
    ".jff": _read_jff,
    ".csv": _read_csv,
    ".json": _read_json,
}
FILE_SUFFIXES = tuple(_READERS)
"""Of the files that `read_automaton` reads."""
