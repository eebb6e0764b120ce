"""Modular arithmetic with and without brackets, as Deletang et al. generate it (arXiv 2207.02098).

Their answer is the value of the whole expression, asked for by one more token: ``--labels last``.
"""

import functools

import numpy as np

from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.languages import get_language
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.tasks.task import ProbeTask, Strings

MODULUS = 5
LETTERS = (*map(str, range(MODULUS)), "+", "-", "*", "(", ")")
"""Of expressions with brackets."""

_PLUS, _MINUS, _TIMES, _OPEN, _CLOSE = range(MODULUS, len(LETTERS))


def modular_arithmetic() -> ProbeTask:
    """Uniform digits below 5 and ``+``, ``-``, ``*`` in turn; an even length is one letter shorter.

    After each digit the value so far, products first, is asked for; the authors ask after the last alone.
    """
    automaton = get_language("modular-arithmetic")
    return ProbeTask(
        "modular-arithmetic",
        automaton.num_letters,
        MODULUS,
        _digits_and_operators,
        functools.partial(_value_so_far, automaton),
        fit_length=lambda length: length - (length + 1) % 2,
        shortest=1,
        letter_names=automaton.alphabet,
        version=2,
    )


def _digits_and_operators(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
    strings = generator.integers(MODULUS, size=(num_strings, length))
    strings[:, 1::2] = generator.integers(MODULUS, MODULUS + 3, size=(num_strings, length // 2))
    return strings


def _value_so_far(automaton: Automaton, strings: Strings) -> Strings:
    labels = automaton.label(strings)  # the modulus where a prefix is no expression
    return np.where(labels < MODULUS, labels, NOT_SCORED)


def modular_arithmetic_brackets(*, has_products: bool = True) -> ProbeTask:
    """Expressions in which every operation has brackets; after the last letter the value is asked for.

    An expression of 1 to 4 letters is a digit d, ``-d``, ``(d)`` or ``(-d)``; a longer one is
    ``(LEFT operator RIGHT)``, with a uniform length of the left one and a uniform operator.

    Args:
        has_products: whether there is ``*``; the paper's configuration has it, that of Grazzi et al. has not.
    """
    name = "modular-arithmetic-brackets" if has_products else "modular-arithmetic-brackets-sums"
    draw = functools.partial(_bracketed, 3 if has_products else 2)
    return ProbeTask(name, len(LETTERS), MODULUS, draw, _value_of_whole, shortest=1, letter_names=LETTERS)


def _bracketed(num_operators: int, length: int, num_strings: int, generator: np.random.Generator) -> Strings:
    strings = np.empty((num_strings, length), np.int64)
    for letters in strings:
        spans = [(0, length)]  # yet to be filled: where each begins, and how long it is
        while spans:
            first, size = spans.pop()
            if size < 5:
                letters[first : first + size] = _short_expression(size, int(generator.integers(MODULUS)))
                continue
            left_size = int(generator.integers(1, size - 3))
            operator = first + 1 + left_size
            letters[first], letters[first + size - 1] = _OPEN, _CLOSE
            letters[operator] = generator.integers(_PLUS, _PLUS + num_operators)
            spans += [(first + 1, left_size), (operator + 1, size - left_size - 3)]
    return strings


def _short_expression(length: int, digit: int) -> list[int]:
    return [[digit], [_MINUS, digit], [_OPEN, digit, _CLOSE], [_OPEN, _MINUS, digit, _CLOSE]][length - 1]


def _value_of_whole(strings: Strings) -> Strings:
    labels = np.full(strings.shape, NOT_SCORED)
    labels[:, -1] = [_evaluate(letters) for letters in strings.tolist()]
    return labels


def _evaluate(letters: list[int]) -> int:
    """The value modulo 5 of an expression in which every operation has brackets, by one stack."""
    stack: list[int] = []  # letters, and values of what is in brackets, which look like digits
    for letter in letters:
        if letter != _CLOSE:
            stack.append(letter)
            continue
        content: list[int] = []
        while (top := stack.pop()) != _OPEN:
            content.insert(0, top)
        stack.append(_operation(content))
    return _operation(stack)


def _operation(parts: list[int]) -> int:
    """``d``, ``-d``, ``d operator d``, and these with signs before the digits."""
    values, operator, sign = [], None, 1
    for part in parts:
        if part < MODULUS:
            values.append(sign * part)
            sign = 1
        elif len(values) == 1 and operator is None:
            operator = part
        else:  # a sign: at the beginning, or after an operator
            sign = -1
    if operator is None:
        return values[0] % MODULUS
    x, y = values
    return {_PLUS: x + y, _MINUS: x - y, _TIMES: x * y}[operator] % MODULUS
