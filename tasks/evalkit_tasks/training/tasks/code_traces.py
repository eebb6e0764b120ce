"""State tracking from code traces: Python sessions that permute variables and print one of them now and then.

After Siems et al., "Learning State-Tracking from Code Using Linear RNNs" (arXiv 2602.14814)::

    >>> a = 2
    >>> b = 3
    >>> c = 1
    >>> print('a', a)
    a 2
    >>> a, b, c = c, a, b
    >>> print('c', c)
    c 3

Every next token is trained on, those of the commands included, which are chance. Tests ask for the printed
values alone, which follow from what was read.
"""

import functools
import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UsageError
from evalkit_tasks.formal.groups import parse_group, transposition
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.tasks.task import ProbeTask, Strings

PATTERN = r"code-trace(-srs)?:(\w+?)(-swaps)?(?::(\d{1,3}))?"
"""``srs`` trains on the printed values alone (state reveal supervision); the number is that of commands for
each print, 1 by default."""
MAX_VARIABLES = 9

_ASSIGNMENT_TOKENS = 5
_PRINT_TOKENS = 11
"""Of the command and the line that it prints."""
_NAME_PLACE = 8
"""Of these, the name of the variable in the printed line, after which its value is asked for."""


class TraceForm(NamedTuple):
    """What the traces of a task look like."""

    name: str
    num_variables: int
    permutations: NDArray[np.int64]
    """``[num_commands, num_variables]``: variable i gets what variable ``permutations[command][i]`` held."""
    commands: Strings
    """``[num_commands, num_tokens]``: each as letters, with its prompt and the end of its line."""
    commands_per_print: int

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The letters as text: values first, then variables, their names in quotes, and Python's own."""
        names = [chr(ord("a") + variable) for variable in range(self.num_variables)]
        values = [str(value + 1) for value in range(self.num_variables)]
        return (*values, *names, *(f"'{name}'" for name in names), *_PYTHON)

    @property
    def head_length(self) -> int:
        """Letters of the assignments and the first print."""
        return self.num_variables * _ASSIGNMENT_TOKENS + _PRINT_TOKENS

    @property
    def block_length(self) -> int:
        """Letters of the commands up to the next print, and of this."""
        return self.commands_per_print * int(self.commands.shape[1]) + _PRINT_TOKENS


_PYTHON = (">>>", "=", ",", "print", "(", ")", "\n")


def code_trace(name: str) -> ProbeTask:
    """Traces of the group of permutations that a name says, at lengths of whole commands and prints.

    Args:
        name: ``code-trace:s5`` (a command is any element of S5, as an assignment to all five variables),
            ``code-trace:s5-swaps`` (it exchanges two variables, and names these alone), ``code-trace:s5:4``
            (a print after every fourth command); ``code-trace-srs:s5``.

    Raises:
        UsageError: there is no such group, or it permutes too many points.
    """
    form, is_reveals_only = _parse(name)
    return ProbeTask(
        name,
        len(form.vocabulary),
        len(form.vocabulary),
        functools.partial(_draw, form),
        functools.partial(_printed_values, form),
        train_label=None if is_reveals_only else _next_letters,
        num_answers=form.num_variables,
        shows_answers=True,
        fit_length=functools.partial(_fit_length, form),
        shortest=form.head_length + form.block_length,
        letter_names=form.vocabulary,
    )


def trace_text(form: TraceForm, letters: Strings) -> str:
    """A trace as Python shows it.

    Args:
        form: of the trace.
        letters: ``[length]``.
    """
    text = " ".join(form.vocabulary[letter] for letter in letters.tolist())
    for untidy, tidy in ((" \n ", "\n"), (" \n", "\n"), (" ,", ","), ("print ( ", "print("), (" )", ")")):
        text = text.replace(untidy, tidy)
    return text


def trace_form(name: str) -> TraceForm:
    """What the traces of a task look like.

    Args:
        name: see `code_trace`.

    Raises:
        UsageError: see there.
    """
    return _parse(name)[0]


def _parse(name: str) -> tuple[TraceForm, bool]:
    match = re.fullmatch(PATTERN, name)
    if match is None or (group := parse_group(match[2])) is None:
        raise UsageError(f"{name!r}: write code-trace: and a group of permutations, such as code-trace:s5")
    degree = group.degree
    if not 2 <= degree <= MAX_VARIABLES:
        raise UsageError(f"{name}: it permutes {degree} points; variables are 2 to {MAX_VARIABLES}")
    if match[4] is not None and int(match[4]) < 1:
        raise UsageError(f"{name}: there must be 1 command or more for each print")
    permutations = group.elements
    if match[3]:
        pairs = [(x, y) for x in range(degree) for y in range(x + 1, degree)]
        permutations = np.array([transposition(degree, x, y) for x, y in pairs])
    form = TraceForm(name, degree, permutations, np.empty((0, 0), np.int64), int(match[4] or 1))
    return form._replace(commands=_commands(form, names_all=not match[3])), match[1] is not None


def _commands(form: TraceForm, *, names_all: bool) -> Strings:
    """The letters of each command; it names all variables, or those alone that it changes."""
    letter = {text: number for number, text in enumerate(form.vocabulary)}
    rows = []
    for permutation in form.permutations.tolist():
        variables = [v for v in range(form.num_variables) if names_all or permutation[v] != v]
        targets = [form.num_variables + variable for variable in variables]
        sources = [form.num_variables + permutation[variable] for variable in variables]
        comma, row = letter[","], [letter[">>>"]]
        for names in (targets, sources):
            for name in names:
                row += [name, comma]
            row[-1] = letter["="]  # in place of the last comma
        row[-1] = letter["\n"]
        rows.append(row)
    return np.array(rows, np.int64)


def _fit_length(form: TraceForm, length: int) -> int:
    num_blocks = (length - form.head_length) // form.block_length
    if num_blocks < 1:
        shortest = form.head_length + form.block_length
        raise UsageError(f"{form.name}: a trace has at least {shortest} letters, not {length}")
    return form.head_length + num_blocks * form.block_length


def _draw(form: TraceForm, length: int, num_strings: int, generator: np.random.Generator) -> Strings:
    num_variables, num_rows = form.num_variables, np.arange(num_strings)
    held = generator.random((num_strings, num_variables)).argsort(1)  # the value of each variable
    parts = [_assignments(form, held), _print(form, held, generator)]
    for _ in range((length - form.head_length) // form.block_length):
        for _ in range(form.commands_per_print):
            chosen = generator.integers(len(form.permutations), size=num_strings)
            held = held[num_rows[:, None], form.permutations[chosen]]
            parts.append(form.commands[chosen])
        parts.append(_print(form, held, generator))
    return np.concatenate(parts, 1)


def _assignments(form: TraceForm, held: Strings) -> Strings:
    letter = {text: number for number, text in enumerate(form.vocabulary)}
    strings = np.empty((len(held), form.num_variables, _ASSIGNMENT_TOKENS), np.int64)
    strings[:, :, 0], strings[:, :, 2], strings[:, :, 4] = letter[">>>"], letter["="], letter["\n"]
    strings[:, :, 1] = form.num_variables + np.arange(form.num_variables)
    strings[:, :, 3] = held
    return strings.reshape(len(held), -1)


def _print(form: TraceForm, held: Strings, generator: np.random.Generator) -> Strings:
    letter = {text: number for number, text in enumerate(form.vocabulary)}
    variables = generator.integers(form.num_variables, size=len(held))
    names, quoted = form.num_variables + variables, 2 * form.num_variables + variables
    values = held[np.arange(len(held)), variables]
    fixed = [np.full(len(held), letter[text]) for text in (">>>", "print", "(", ",", ")", "\n")]
    prompt, command, opened, comma, closed, end = fixed
    return np.stack((prompt, command, opened, quoted, comma, names, closed, end, names, values, end), axis=1)


def _printed_values(form: TraceForm, strings: Strings) -> Strings:
    labels = np.full(strings.shape, NOT_SCORED)
    first = form.num_variables * _ASSIGNMENT_TOKENS + _NAME_PLACE
    places = np.arange(first, strings.shape[1], form.block_length)
    labels[:, places] = strings[:, places + 1]
    return labels


def _next_letters(strings: Strings) -> Strings:
    labels = np.full(strings.shape, NOT_SCORED)
    labels[:, :-1] = strings[:, 1:]
    return labels
