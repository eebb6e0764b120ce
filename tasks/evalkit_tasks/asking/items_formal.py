"""Items in the notations of programs and mathematics: arrays that rearrange an array, swaps of variables."""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from evalkit_tasks.asking.items import AnyFamily, Draw, Family, Story
from evalkit_tasks.asking.items_stories import swaps, tell_story
from evalkit_tasks.asking.words import ADJECTIVES, NOUNS

# S3 and S5: arrays that rearrange an array.


class _Array(NamedTuple):
    name: str
    start: tuple[int, ...]
    queried_entry: int
    """The entry asked for; with three entries, the whole array is."""


def _array_world(num_entries: int) -> Callable[[Draw], _Array]:
    def world(draw: Draw) -> _Array:
        name = f"{draw.choice(ADJECTIVES)}_{draw.choice(NOUNS)}"
        return _Array(name, tuple(draw.sample(range(num_entries), num_entries)), draw.below(num_entries))

    return world


def _array_operations(draw: Draw, world: _Array, length: int) -> list[tuple[int, ...]]:
    num_entries = len(world.start)
    return [tuple(draw.sample(range(num_entries), num_entries)) for _ in range(length)]


def _tell_arrays(world: _Array, operations: Sequence[tuple[int, ...]]) -> Story:
    """The array as a whole is asked for where it has few arrangements, else one of its entries.

    One entry of five moves under all of S5 and has five answers in place of 120.
    """
    num_entries = len(world.start)
    steps = itertools.accumulate(
        operations, lambda array, places: tuple(array[place] for place in places), initial=world.start
    )
    arrays = list(steps)
    whole = num_entries <= 3
    arrangements = list(itertools.permutations(range(num_entries))) if whole else []
    answers = [f" {list(array)}" for array in arrangements] or [f" {entry}" for entry in range(num_entries)]

    def answer(array: tuple[int, ...]) -> int:
        return arrangements.index(array) if whole else array[world.queried_entry]

    return tell_story(
        "To rearrange an array by [i, j, ...] is to make a new one of its entries number i, j, ..., counted "
        f"from 0.\nArray {world.name}: {list(world.start)}",
        [f"Rearrange by: {list(places)}" for places in operations],
        f"Array {world.name}:" if whole else f"Entry number {world.queried_entry} of {world.name}:",
        answers=answers,
        label=answer(arrays[-1]),
        initial=answer(world.start),
        last_mention=answer(operations[-1] if operations else world.start),
        states=[answer(array) for array in arrays[1:]],
        separator="\n",
    )


# Python: variables that swap their values.

_VARIABLES = tuple("abcdefghjkmnpqrstuvwxyz")


class _Program(NamedTuple):
    names: tuple[str, ...]
    values: tuple[int, ...]
    queried_variable: int


def _program_world(draw: Draw) -> _Program:
    names = tuple(draw.sample(_VARIABLES, 5))
    return _Program(names, tuple(draw.sample(range(10), 5)), draw.below(5))


def _tell_program(world: _Program, operations: Sequence[tuple[int, int]]) -> Story:
    names = world.names
    place_of_value = list(range(len(names)))
    states, lines = [], []
    for i, j in operations:
        place_of_value[i], place_of_value[j] = place_of_value[j], place_of_value[i]
        states.append(place_of_value[world.queried_variable])
        lines.append(f"{names[i]}, {names[j]} = {names[j]}, {names[i]}")
    return tell_story(
        f"{', '.join(names)} = {', '.join(map(str, world.values))}",
        lines,
        f"assert {names[world.queried_variable]} ==",
        answers=tuple(f" {value}" for value in world.values),
        label=states[-1] if states else world.queried_variable,
        initial=world.queried_variable,
        last_mention=len(names) - 1,
        states=states,
        separator="\n",
    )


FORMAL_FAMILIES: tuple[AnyFamily, ...] = (
    *(
        Family(
            f"s{n}-arrays",
            f"arrays of {n} that rearrange an array (the word problem of S{n})",
            num_states,
            _array_world(n),
            _array_operations,
            _tell_arrays,
            after_answer="",
        )
        for n, num_states in ((3, 6), (5, 5))
    ),
    Family(
        "python-swaps",
        "five Python variables that swap their values (S5)",
        5,
        _program_world,
        swaps,
        _tell_program,
        after_answer="",
    ),
)
