"""Items told in English: switches, a pointer, swaps, boxes, a sign."""

import dataclasses
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from evalkit_tasks.asking.items import AnyFamily, Draw, Family, Story
from evalkit_tasks.asking.words import ADJECTIVES, COLOURS, DEVICES, NAMES, NOUNS

COPY_INITIAL = "copy initial state"
LAST_MENTION = "last mention"


def tell_story(
    opening: str,
    sentences: Sequence[str],
    cue: str,
    *,
    answers: Sequence[str],
    label: int,
    initial: int,
    last_mention: int,
    states: Sequence[int],
    separator: str = " ",
) -> Story:
    """A story of an opening, a sentence per operation and a question.

    Args:
        opening: the first state.
        sentences: a text for each operation.
        cue: the question, which the answer follows.
        answers: see `Story`.
        label: the right one's number.
        initial: the number of the answer that was right before the first operation.
        last_mention: the number of the answer that the text mentions last.
        states: after each operation.
        separator: between two of these.
    """
    beginnings = list(itertools.accumulate([opening, *sentences], lambda a, b: f"{a}{separator}{b}"))
    return Story(
        text=f"{beginnings[-1]}{separator}{cue}",
        cue=cue,
        answers=tuple(answers),
        label=label,
        guesses={COPY_INITIAL: initial, LAST_MENTION: last_mention},
        marks=tuple(map(len, beginnings[1:])),
        states=tuple(states),
    )


# Parity: a switch that is pressed or not.


class _Switch(NamedTuple):
    device: str
    is_on: int


def _parity_world(draw: Draw) -> _Switch:
    return _Switch(f"{draw.choice(ADJECTIVES)} {draw.choice(DEVICES)}", draw.below(2))


def _parity_operations(draw: Draw, _: _Switch, length: int) -> list[tuple[str, bool]]:
    return [(draw.choice(NAMES), draw.chance(0.5)) for _ in range(length)]


def _tell_parity(world: _Switch, operations: Sequence[tuple[str, bool]]) -> Story:
    states = list(
        itertools.accumulate((int(pressed) for _, pressed in operations), operator.xor, initial=world.is_on)
    )
    return tell_story(
        f"The {world.device} is {'on' if world.is_on else 'off'}.",
        [f"{name} {'presses' if pressed else 'walks past'} its switch." for name, pressed in operations],
        f"The {world.device} is now",
        answers=(" off", " on"),
        label=states[-1],
        initial=world.is_on,
        last_mention=world.is_on,  # no operation names a state
        states=states[1:],
    )


# Z5: a pointer on a circle of five positions.

_STEPS = {1: "one forward", 2: "two forward", -1: "one back", -2: "two back", 0: "nowhere"}


class _Pointer(NamedTuple):
    clock: str
    start: int


def _clock_world(draw: Draw) -> _Pointer:
    return _Pointer(f"{draw.choice(ADJECTIVES)} clock of {draw.choice(NAMES)}", draw.below(5))


def _clock_operations(draw: Draw, _: _Pointer, length: int) -> list[int]:
    return [draw.choice(tuple(_STEPS)) for _ in range(length)]


def _tell_clock(world: _Pointer, operations: Sequence[int]) -> Story:
    states = [state % 5 for state in itertools.accumulate(operations, initial=world.start)]
    return tell_story(
        f"The {world.clock} has five positions in a circle, numbered 0 to 4. Its pointer is at "
        f"{world.start}.",
        [f"It moves {_STEPS[step]}." for step in operations],
        "The pointer is now at",
        answers=tuple(f" {position}" for position in range(5)),
        label=states[-1],
        initial=world.start,
        last_mention=world.start,
        states=states[1:],
    )


# Shell game: people swap what they have.


class _Players(NamedTuple):
    names: tuple[str, ...]
    things: tuple[str, ...]
    queried_player: int
    """Whose thing, at the start, is asked for."""


def _shell_world(num_players: int) -> Callable[[Draw], _Players]:
    def world(draw: Draw) -> _Players:
        names, things = draw.sample(NAMES, num_players), draw.sample(NOUNS, num_players)
        return _Players(tuple(names), tuple(things), draw.below(num_players))

    return world


class _Named(Protocol):
    @property
    def names(self) -> tuple[str, ...]: ...


def swaps(draw: Draw, world: _Named, length: int) -> list[tuple[int, int]]:
    """Pairs of different places among ``world.names``."""
    return [two_of(draw, len(world.names)) for _ in range(length)]


def two_of(draw: Draw, count: int) -> tuple[int, int]:
    """Two different numbers below ``count``."""
    first, second = draw.sample(range(count), 2)
    return first, second


def _tell_shell(world: _Players, operations: Sequence[tuple[int, int]]) -> Story:
    names = world.names
    *listed, last = [f"{name} has the {thing}" for name, thing in zip(names, world.things, strict=True)]
    holder, states = world.queried_player, []
    for first, second in operations:
        holder = {first: second, second: first}.get(holder, holder)
        states.append(holder)
    return tell_story(
        f"{', '.join(listed)} and {last}.",
        [f"{names[first]} and {names[second]} swap what they have." for first, second in operations],
        f"The {world.things[world.queried_player]} is now with",
        answers=tuple(f" {name}" for name in names),
        label=holder,
        initial=world.queried_player,
        last_mention=operations[-1][1] if operations else len(names) - 1,
        states=states,
    )


# Boxes: what is where, after putting, emptying and swapping (after Kim & Schuster 2023, arXiv 2305.02363).

_NUM_BOXES = 4
_OBJECTS = tuple(f"the {adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS)
_MOST_OBJECTS = 2
"""A probe's classes: none, one, or more in the box asked for."""


@dataclasses.dataclass(frozen=True)
class _Boxes:
    contents: tuple[tuple[str, ...], ...]
    queried_box: int
    order: tuple[int, ...]
    """A random order of the four answers."""


def _boxes_world(draw: Draw) -> _Boxes:
    counts = [1 + draw.below(2) for _ in range(_NUM_BOXES)]
    objects = draw.sample(_OBJECTS, sum(counts))
    contents = tuple(tuple(objects.pop() for _ in range(count)) for count in counts)
    return _Boxes(contents, draw.below(_NUM_BOXES), tuple(draw.sample(range(4), 4)))


def _boxes_operations(draw: Draw, world: _Boxes, length: int) -> list[tuple[str, int, int | str]]:
    used = {thing for box in world.contents for thing in box}
    objects = draw.sample([thing for thing in _OBJECTS if thing not in used], length)
    operations: list[tuple[str, int, int | str]] = []
    for thing in objects:
        kind = draw.choice(("put", "put", "empty", "swap", "swap"))
        box, second_box = two_of(draw, _NUM_BOXES)
        operations.append((kind, box, thing if kind == "put" else second_box))
    return operations


def _tell_boxes(world: _Boxes, operations: Sequence[tuple[str, int, int | str]]) -> Story:
    boxes = [list(things) for things in world.contents]
    last_mentioned = boxes[-1][-1]
    sentences, states = [], []
    for kind, box, thing_or_box in operations:
        if isinstance(thing_or_box, str):
            boxes[box].append(thing_or_box)
            last_mentioned = thing_or_box
            sentences.append(f"Somebody puts {thing_or_box} into box {box + 1}.")
        elif kind == "swap":
            boxes[box], boxes[thing_or_box] = boxes[thing_or_box], boxes[box]
            sentences.append(f"The contents of box {box + 1} and box {thing_or_box + 1} are swapped.")
        else:
            boxes[box] = []
            sentences.append(f"Box {box + 1} is emptied.")
        states.append(min(len(boxes[world.queried_box]), _MOST_OBJECTS))
    right, initial = _content(boxes[world.queried_box]), _content(world.contents[world.queried_box])
    last_mention = _content([last_mentioned])
    distractors = [_content(things) for things in (*boxes, *world.contents)]
    four = list(dict.fromkeys([right, initial, last_mention, *distractors]))[:4]
    answers = [four[place] for place in world.order]
    opening = [f"Box {i} holds{_content(things)}" for i, things in enumerate(world.contents, start=1)]
    return tell_story(
        " ".join(opening),
        sentences,
        f"Box {world.queried_box + 1} now holds",
        answers=answers,
        label=answers.index(right),
        initial=answers.index(initial),
        last_mention=answers.index(last_mention),
        states=states,
    )


def _content(box: Sequence[str]) -> str:
    if not box:
        return " nothing."
    *first, last = box
    return f" {', '.join(first)} and {last}." if first else f" {last}."


# Flip-flop: a sign that is set now and then, among things that only have a colour.


class _Sign(NamedTuple):
    place: str
    start: int


def _sign_world(draw: Draw) -> _Sign:
    return _Sign(draw.choice(ADJECTIVES), draw.below(len(COLOURS)))


def _sign_operations(draw: Draw, _: _Sign, length: int) -> list[tuple[str, int, str]]:
    kinds = ("set", "set", "set", "pass", "pass", "pass", "wait", "wait")
    return [(draw.choice(kinds), draw.below(len(COLOURS)), draw.choice(NAMES)) for _ in range(length)]


def _tell_sign(world: _Sign, operations: Sequence[tuple[str, int, str]]) -> Story:
    shown = last_mention = world.start
    sentences, states = [], []
    for kind, colour, name in operations:
        if kind == "set":
            shown = last_mention = colour
            sentences.append(f"{name} sets the sign to {COLOURS[colour]}.")
        elif kind == "pass":
            last_mention = colour
            sentences.append(f"{name} walks by in a {COLOURS[colour]} coat.")
        else:
            sentences.append(f"{name} looks at the sign.")
        states.append(shown)
    return tell_story(
        f"The {world.place} sign shows {COLOURS[world.start]}.",
        sentences,
        f"The {world.place} sign now shows",
        answers=tuple(f" {colour}" for colour in COLOURS),
        label=shown,
        initial=world.start,
        last_mention=last_mention,
        states=states,
    )


STORY_FAMILIES: tuple[AnyFamily, ...] = (
    Family(
        "parity-toggles",
        "a switch that is pressed or not (Z2)",
        2,
        _parity_world,
        _parity_operations,
        _tell_parity,
    ),
    Family(
        "clock-walk", "a pointer on a circle of five (Z5)", 5, _clock_world, _clock_operations, _tell_clock
    ),
    *(
        Family(
            f"shell-game-{n}",
            f"{n} people who swap what they have (S{n})",
            n,
            _shell_world(n),
            swaps,
            _tell_shell,
        )
        for n in (3, 5)
    ),
    Family(
        "boxes",
        "four boxes that are filled, emptied and swapped",
        _MOST_OBJECTS + 1,
        _boxes_world,
        _boxes_operations,
        _tell_boxes,
        after_answer="",
    ),
    Family(
        "flip-flop",
        "a sign that is set now and then, among distractors",
        len(COLOURS),
        _sign_world,
        _sign_operations,
        _tell_sign,
    ),
)
