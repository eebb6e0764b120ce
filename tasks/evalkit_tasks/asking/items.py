"""Questions about a changing state, made fresh from a seed and a date.

An item is a story of ``length`` operations, a question, and the closed set of its answers. It is made of
a `Family`'s world (names, objects, the first state), its operations, and the text that tells them, so
that the same operations can be told in another order, in which another answer is right: an item's twin.
Operations that commute have none.

Of each length the places of the right answers are equally many (up to one, where their number does not divide
that of the items), so that a constant answer is right as often as a guess.

Nothing here depends on anything but the family, the date, the seed, the length and the index: the same
five give the same item in every version of Python, and another date gives items that no text of an
earlier day can hold.
"""

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping, MutableSequence, Sequence
from typing import Any, Generic, TypeVar

PROTOCOL_VERSION = 3
"""Part of every digest of a task; raised by a change of what is made of a model's answers."""

MAX_SHOTS = 8
"""Solved examples before a question, at most."""
SHOT_LENGTHS = (1, 2, 3, 4)
"""Lengths of the solved examples, in turn: short, so that eight of them fit before a long question."""

_NUM_SHUFFLES = 64
"""Orders tried to find one that changes the answer."""

_MOST_DRAWS = 2000
"""Stories tried until the right answer has the place whose turn it is."""

T = TypeVar("T")
World = TypeVar("World")
Operation = TypeVar("Operation")


class Draw:
    """Random choices that every Python makes alike.

    Built on `random.Random.random` alone, the one sequence that Python promises never to change.
    """

    def __init__(self, *key: str | int) -> None:
        """A stream of its own for every key."""
        digest = hashlib.sha256(json.dumps(key).encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big"))

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound`` - 1."""
        return int(self._random.random() * bound)

    def choice(self, options: Sequence[T]) -> T:
        """One of the options, each as likely as the others."""
        return options[self.below(len(options))]

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random.random() < probability

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """``count`` of the options, at different places, in random order."""
        pool = list(options)
        return [pool.pop(self.below(len(pool))) for _ in range(count)]

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Put a list in random order, in place (Fisher and Yates)."""
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]


@dataclasses.dataclass(frozen=True)
class Story:
    """Operations told as a text with a question, and what is right at each point."""

    text: str
    """Story and question; ends where the answer follows, without white space."""
    cue: str
    """The end of ``text`` that asks, e.g. ``The lamp is now``: the answers' own context."""
    answers: tuple[str, ...]
    """All answers, each with the white space before it; none is the beginning of another."""
    label: int
    """Which of them is right."""
    guesses: Mapping[str, int]
    """What simple heuristics answer, by name."""
    marks: tuple[int, ...]
    """For the state after each operation, the number of characters of ``text`` that tell it."""
    states: tuple[int, ...]
    """The state after each operation, a class below the family's `num_states`."""


@dataclasses.dataclass(frozen=True)
class Family(Generic[World, Operation]):
    """A kind of item, by the types of its worlds and of its operations."""

    name: str
    description: str
    num_states: int
    """Classes that a linear probe tells apart."""
    world: Callable[[Draw], World]
    """What an item's story is about, and its first state."""
    operations: Callable[[Draw, World, int], Sequence[Operation]]
    """This many operations in a world."""
    tell: Callable[[World, Sequence[Operation]], Story]
    """The story of operations, in any order."""
    after_answer: str = "."
    """What follows the answer of a solved example."""
    fewest_operations: int = 0
    """Of an item; with none, the first state is asked for."""
    may_ask: Callable[[World, Sequence[Operation]], bool] = lambda _world, _operations: True
    """Whether operations may be asked about in a world that may tell of them already."""


AnyFamily = Family[Any, Any]
"""A family of whatever worlds: each goes only from its own functions to its own functions."""


@dataclasses.dataclass(frozen=True)
class Item:
    """A question with its answers."""

    id: str
    length: int
    """Operations in its story."""
    twin_of: str | None
    """The item whose operations it tells in another order."""
    story: Story

    @property
    def answer(self) -> str:
        """The right answer, with the white space before it."""
        return self.story.answers[self.story.label]


def make_items(
    family: AnyFamily, *, date: str, seed: int, lengths: Iterable[int], num_items: int
) -> list[Item]:
    """Items of every length, each followed by its twin where it has one.

    Args:
        family: what they are about.
        date: ``YYYY-MM-DD``.
        seed: any number.
        lengths: how many operations to tell; those below the family's fewest have no items.
        num_items: items of each length, twins not counted; fewer are the first of more.
    """
    items = []
    for length in lengths:
        for index in range(num_items if length >= family.fewest_operations else 0):
            items += _item_and_twin(family, (date, seed, length, index))
    return items


def make_shots(family: AnyFamily, *, date: str, seed: int, num_shots: int) -> list[Item]:
    """Items to show with their answers before a question; fewer are the first of more."""
    return [
        _item_and_twin(family, (date, seed, SHOT_LENGTHS[index % len(SHOT_LENGTHS)], f"shot-{index}"))[0]
        for index in range(num_shots)
    ]


def shots_text(family: AnyFamily, shots: Iterable[Item]) -> str:
    """Solved examples as they stand before a question."""
    return "".join(f"{shot.story.text}{shot.answer}{family.after_answer}\n\n" for shot in shots)


def sha256_of(items: Iterable[Item]) -> str:
    """Digest of everything that a model sees of the items, and of what is expected of it."""
    lines = [json.dumps(dataclasses.asdict(item), sort_keys=True, ensure_ascii=False) for item in items]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _item_and_twin(family: Family[World, Operation], key: tuple[str, int, int, int | str]) -> list[Item]:
    """The item of a key (date, seed, length, index), and its twin where it has one."""
    length, index = key[2:]
    draw = Draw(family.name, *key)
    for _ in range(_MOST_DRAWS):
        world = family.world(draw)
        operations = list(family.operations(draw, world, length))
        story = family.tell(world, operations)
        if isinstance(index, str) or story.label == (index + length) % len(story.answers):
            break
    else:
        raise ValueError(
            f"{family.name}: no story of {length} operations has its right answer in place {index}"
        )
    name = "/".join(map(str, (family.name, *key)))
    item = Item(name, length, None, story)
    twin = _other_order(family, world, operations, story, draw)
    return [item] if twin is None else [item, Item(f"{name}/twin", length, name, twin)]


def _other_order(
    family: Family[World, Operation], world: World, operations: list[Operation], story: Story, draw: Draw
) -> Story | None:
    """The same operations in another order, with another answer; None where a few tries find none."""
    for _ in range(_NUM_SHUFFLES):
        shuffled = list(operations)
        draw.shuffle(shuffled)
        if not family.may_ask(world, shuffled):
            continue
        retold = family.tell(world, shuffled)
        if retold.answers[retold.label] != story.answers[story.label]:
            return retold
    return None
