"""Sequences and mappings whose values are made at the first look."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar, overload

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V", covariant=True)


def same(value: T) -> T:
    """The value: what makes it where it is there already."""
    return value


class LazySequence(Sequence[V]):
    """Values that are made one by one, each when it is first asked for; equal to a tuple of them."""

    def __init__(self, makers: Iterable[Callable[[], V]]) -> None:
        """Nothing is made yet.

        Args:
            makers: what gives each of the values; looking at a value raises what its maker raises.
        """
        self._makers = tuple(makers)
        self._made: dict[int, V] = {}

    @overload
    def __getitem__(self, place: int) -> V: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[V, ...]: ...
    def __getitem__(self, place: int | slice) -> V | tuple[V, ...]:
        """A value, or several."""
        if isinstance(place, slice):
            return tuple(self[number] for number in range(len(self))[place])
        number = range(len(self))[place]
        if number not in self._made:
            self._made[number] = self._makers[number]()
        return self._made[number]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._makers)

    def __eq__(self, values: object) -> bool:
        """Whether the values are these."""
        return isinstance(values, tuple | LazySequence) and tuple(self) == tuple(values)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """As a tuple's."""
        return repr(tuple(self))


class LazyMapping(Mapping[K, V]):
    """Values by key that are made one by one, each when it is first asked for."""

    def __init__(self, makers: Mapping[K, Callable[[], V]]) -> None:
        """Nothing is made yet.

        Args:
            makers: what gives each of the values.
        """
        self._makers = dict(makers)
        self._made: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        """The value of a key."""
        if key not in self._made:
            self._made[key] = self._makers[key]()
        return self._made[key]

    def __iter__(self) -> Iterator[K]:
        """The keys."""
        return iter(self._makers)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._makers)
