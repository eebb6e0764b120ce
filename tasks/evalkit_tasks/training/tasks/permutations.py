"""Word problems of groups as others train on them: elements of several tokens, and lengths {2, k}.

The published generators: automl/DeltaProduct (Grazzi et al., arXiv 2411.12537, and Siems et al., arXiv
2502.10297) and jopetty/word-problem (Merrill et al., arXiv 2404.08819).
"""

import re

import numpy as np

from evalkit.errors import UsageError
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.groups import Group, parse_group
from evalkit_tasks.formal.languages import get_language
from evalkit_tasks.training.tasks.automaton import automaton_task, parities
from evalkit_tasks.training.tasks.task import AS_THE_LONGEST, Mixture, Part, ProbeTask, Strings

BLOCK_PATTERN = r"(\w+)-([2-9])tokens(-special(?:-both)?)?"
"""Elements of so many tokens each: the element repeated, or followed by a special token."""
WORD_PROBLEM_PATTERN = r"word-problem:(\w+)"

TRAINED_SHARE = 0.8
"""Of the strings of k letters; those of 2 are all trained on."""
MAX_STRINGS = 1_000_000
"""Of a length in the published training, split after that."""

_HARD_SWAPS = 4
"""Swaps whose product is an element of ``s5-swaps-hard``, and tokens that it takes."""


def block_task(name: str) -> ProbeTask:
    """Uniform elements of a group, each as so many tokens, with labels that are shifted by one token less.

    After the last token of an element the label is the product so far, this element's included, and stays so
    until the last token of the next; before that it is the identity.

    Args:
        name: ``s5-4tokens``: the element so many times; ``s5-4tokens-special``: the element once, then a
            special token; ``s5-4tokens-special-both``: the same, and after that token the special one is the
            label as well, shifted too.

    Raises:
        UsageError: there is no such group.
    """
    match = re.fullmatch(BLOCK_PATTERN, name)
    group = parse_group(match[1]) if match else None
    if match is None or group is None:
        raise UsageError(f"{name!r}: write a group and its tokens per element, such as s5-4tokens")
    size, is_special, is_in_labels = int(match[2]), bool(match[3]), (match[3] or "").endswith("-both")

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        elements = generator.integers(group.order, size=(num_strings, length // size + 1))
        strings = np.repeat(elements, size, axis=1)[:, :length]
        if is_special:
            strings[:, np.arange(length) % size != 0] = group.order
        return strings

    def label(strings: Strings) -> Strings:
        labels = _shifted_products(group, strings[:, ::size], size, strings.shape[1])
        if is_in_labels:
            places = np.arange(strings.shape[1])
            labels[:, (places >= size - 1) & (places % size != size - 1)] = group.order
        return labels

    return ProbeTask(
        name,
        group.order + is_special,
        group.order + is_in_labels,
        draw,
        label,
        None if is_in_labels else parities(Automaton.from_group(group)),
        shortest=AS_THE_LONGEST,
        letter_names=(*group.element_names, "#"),
        version=2,
    )


def hard_swaps() -> ProbeTask:
    """Products of four letters of ``s5-swaps``, each as one token and three identities.

    Labels are those of `block_task`. The authors' ``S5_only_swaps_hard``.
    """
    swaps = get_language("s5-swaps")
    group = swaps.group
    assert group is not None
    # How often each element is the product of so many uniform letters.
    shares = np.eye(group.order)[0]
    for _ in range(_HARD_SWAPS):
        spread = np.zeros(group.order)
        np.add.at(spread, swaps.transitions, shares[:, None] / swaps.num_letters)
        shares = spread

    def draw(length: int, num_strings: int, generator: np.random.Generator) -> Strings:
        strings = np.zeros((num_strings, length), np.int64)
        num_elements = strings[:, ::_HARD_SWAPS].shape[1]
        size = length - (num_elements - 1) * _HARD_SWAPS  # letters of the last, of fewer swaps if cut off
        chosen = generator.choice(group.order, size=(num_strings, num_elements), p=shares)
        letters = generator.integers(swaps.num_letters, size=(num_strings, size))
        chosen[:, -1] = swaps.run(letters)[:, -1]
        strings[:, ::_HARD_SWAPS] = chosen
        return strings

    def label(strings: Strings) -> Strings:
        return _shifted_products(group, strings[:, ::_HARD_SWAPS], _HARD_SWAPS, strings.shape[1])

    return ProbeTask(
        "s5-swaps-hard",
        group.order,
        group.order,
        draw,
        label,
        parities(swaps),
        shortest=AS_THE_LONGEST,
        letter_names=group.element_names,
    )


def word_problem(name: str) -> ProbeTask:
    """The word problem of a group, trained on strings of 2 and of k letters, as often as was published.

    Strings of 2 letters are all trained on; of k letters four fifths of at most a million. A batch has both,
    as they come. Tests have k letters and more, the longest in training being k.

    Args:
        name: ``word-problem:a5``.

    Raises:
        UsageError: there is no such group.
    """
    match = re.fullmatch(WORD_PROBLEM_PATTERN, name)
    group = parse_group(match[1]) if match else None
    if group is None:
        raise UsageError(f"{name!r}: write word-problem: and a group, such as word-problem:a5")

    def parts(shortest: int, longest: int) -> list[Part]:
        long = Part(longest, TRAINED_SHARE * min(MAX_STRINGS, group.order**longest))
        if shortest == longest:
            return [long]
        return [Part(shortest, float(min(MAX_STRINGS, group.order**shortest)), is_tested=False), long]

    mixture = Mixture(parts, is_mixed_in_batches=True)
    task = automaton_task(group.name, Automaton.from_group(group))
    return task._replace(name=name, mixture=mixture, shortest=2)


def _shifted_products(group: Group, elements: Strings, size: int, length: int) -> Strings:
    """``[num_strings, length]``: the product of the elements whose tokens have all been read.

    Args:
        group: of the elements.
        elements: ``[num_strings, num_elements]``; the last may be cut off.
        size: tokens of each element.
        length: of the strings.
    """
    products = np.zeros((len(elements), elements.shape[1] + 1), np.int64)
    for number, letters in enumerate(elements.T):
        products[:, number + 1] = group.products[products[:, number], letters]
    num_read = np.arange(1, length + 1) // size
    return products[:, num_read]
