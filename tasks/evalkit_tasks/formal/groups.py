"""Finite groups as permutations of points: cyclic, dihedral, symmetric, alternating ones, and others by name.

A permutation ``p`` is the array of its images: point ``i`` goes to ``p[i]``. Products read from left to
right, ``(p q)[i] = q[p[i]]``, so that a word's product is what its letters do one after another.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import UsageError

MAX_ORDER = 1000
MAX_POINTS = 64

_BY_GENERATORS = {
    # The quaternions 1, i, j, k, -1, -i, -j, -k, times i and times j.
    "q8": [(1, 4, 7, 2, 5, 0, 3, 6), (2, 3, 4, 5, 6, 7, 0, 1)],
    # The projective line over the field of 7 elements, infinity last: x + 1 and -1/x.
    "psl27": [(1, 2, 3, 4, 5, 6, 0, 7), (7, 6, 3, 2, 5, 4, 1, 0)],
}


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """A group of permutations, with its elements listed; the identity is element 0."""

    name: str
    elements: NDArray[np.int64]
    """``[order, degree]``, read-only; distinct rows that are closed under products."""
    element_names: tuple[str, ...]
    """For a cyclic group the exponent of the generator, else the images one after another."""

    @property
    def order(self) -> int:
        """How many elements there are."""
        return len(self.elements)

    @property
    def degree(self) -> int:
        """How many points are permuted."""
        return int(self.elements.shape[1])

    @functools.cached_property
    def products(self) -> NDArray[np.int64]:
        """``[order, order]``: the index of ``elements[i] elements[j]``."""
        points = self.elements.astype(np.uint16)  # rows are looked up by their bytes: the fewer, the faster
        index = {row.tobytes(): i for i, row in enumerate(points)}
        # Entry i of row q of points[:, p] is q[p[i]]: all products (p q) for one p.
        table = np.array([[index[q.tobytes()] for q in points[:, p]] for p in self.elements], np.int64)
        table.flags.writeable = False
        return table

    @functools.cached_property
    def parities(self) -> NDArray[np.int64]:
        """``[order]``: 0 for even permutations of the points, 1 for odd ones."""
        parities = np.array([not is_even(tuple(p)) for p in self.elements.tolist()], np.int64)
        parities.flags.writeable = False
        return parities

    def index(self, permutation: tuple[int, ...]) -> int:
        """The index of an element.

        Raises:
            ValueError: it is not in the group.
        """
        matches = np.flatnonzero((self.elements == np.asarray(permutation)).all(1))
        if len(matches) != 1:
            raise ValueError(f"{permutation} is no element of {self.name}")
        return int(matches[0])


def cyclic(order: int) -> Group:
    """Z_n, one cycle for each prime power in n: the fewest points that it acts on faithfully.

    Element k is the generator's k-th power.
    """
    cycles = _prime_powers(order) or [1]
    columns = []
    offset = 0
    for length in cycles:
        powers = (np.arange(order)[:, None] + np.arange(length)) % length
        columns.append(offset + powers)
        offset += length
    return _group(f"z{order}", np.concatenate(columns, 1), tuple(map(str, range(order))))


def symmetric(degree: int) -> Group:
    """S_n, in the lexicographic order of the images."""
    return _permutations(f"s{degree}", list(itertools.permutations(range(degree))))


def alternating(degree: int) -> Group:
    """A_n, the even permutations, in the lexicographic order of the images."""
    even = [p for p in itertools.permutations(range(degree)) if is_even(p)]
    return _permutations(f"a{degree}", even)


def dihedral(num_sides: int) -> Group:
    """D_n, the 2n symmetries of a polygon of n >= 3 sides."""
    around = tuple((i + 1) % num_sides for i in range(num_sides))
    over = tuple(-i % num_sides for i in range(num_sides))
    return generated(f"d{num_sides}", [around, over])


def generated(name: str, generators: Sequence[tuple[int, ...]]) -> Group:
    """The group that permutations generate, in the lexicographic order of the images: the identity first.

    Args:
        name: of the group.
        generators: images of the same points, each.

    Raises:
        UsageError: it has more than `MAX_ORDER` elements.
    """
    identity = tuple(range(len(generators[0])))
    elements = {identity: None}
    for element in (queue := [identity]):  # grows on the way
        for generator in generators:
            product = tuple(generator[point] for point in element)
            if product not in elements:
                if len(elements) == MAX_ORDER:
                    raise UsageError(
                        f"group {name!r} has more than {MAX_ORDER} elements; choose a smaller one"
                    )
                elements[product] = None
                queue.append(product)
    return _permutations(name, sorted(elements))


def direct_product(first: Group, second: Group) -> Group:
    """The pairs of elements; each factor has points of its own."""
    rows = [
        np.concatenate((p, first.degree + q)) for p, q in itertools.product(first.elements, second.elements)
    ]
    names = [f"{p},{q}" for p, q in itertools.product(first.element_names, second.element_names)]
    return _group(f"{first.name}x{second.name}", np.array(rows), tuple(names))


def parse_group(name: str) -> Group | None:
    """The group that ``z60``, ``d4``, ``s5``, ``a5``, ``q8``, ``psl27`` or a product such as ``a4xz5`` names.

    None if it names none.

    Raises:
        UsageError: the group has more than `MAX_ORDER` elements, or a number is 0.
    """
    groups: list[Group] = []
    order = 1
    for factor in name.split("x"):
        if factor in _BY_GENERATORS:
            groups.append(generated(factor, _BY_GENERATORS[factor]))
            order = _bounded(name, order * groups[-1].order)
            continue
        part = re.fullmatch(r"([zdsa])(\d{1,4})", factor)
        if part is None:
            return None
        family, size = part[1], int(part[2])
        if size < 1:
            raise UsageError(
                f"there is no group {name!r}; its numbers start at 1 (for the pattern: regex:{name})"
            )
        if family == "d" and size < 3:
            raise UsageError(f"there is no group {factor!r}: a polygon has 3 sides at least")
        order = _bounded(name, order * ({"z": size, "d": 2 * size}.get(family) or _factorial_up_to(size)))
        groups.append({"z": cyclic, "d": dihedral, "s": symmetric, "a": alternating}[family](size))
    return functools.reduce(direct_product, groups)


def parse_generators(text: str) -> list[tuple[int, ...]]:
    """Permutations in cycles, ``(1 2 3)(4 5),(1 2)``: numbers from 1, a comma between two generators.

    Returns:
        The images of each, from 0, of as many points as the greatest number says.

    Raises:
        UsageError: it is not written so.
    """
    written = [re.findall(r"\(([0-9\s]+)\)", generator) for generator in text.split(",")]
    # Of a number that is far too large the first digits say so too, and Python converts no more than 4300.
    cycles = [
        [[int(number[:10]) - 1 for number in cycle.split()] for cycle in generator] for generator in written
    ]
    rebuilt = ",".join("".join(f"({cycle})" for cycle in generator) for generator in written)
    points = [point for generator in cycles for cycle in generator for point in cycle]
    if rebuilt.replace(" ", "") != text.replace(" ", "") or not all(written) or min(points, default=-1) < 0:
        raise UsageError(
            f"{text!r}: write generators as cycles of numbers from 1, such as (1 2 3)(4 5),(1 2)"
        )
    if max(points) >= MAX_POINTS:
        raise UsageError(f"{text!r}: a generator moves a point above {MAX_POINTS}")
    permutations = []
    for generator in cycles:
        images = list(range(max(points) + 1))
        moved = [point for cycle in generator for point in cycle]
        if len(set(moved)) < len(moved):
            raise UsageError(f"{text!r}: a generator's cycles name a point twice")
        for cycle in generator:
            for point, image in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
                images[point] = image
        permutations.append(tuple(images))
    return permutations


def is_even(permutation: tuple[int, ...]) -> bool:
    """Whether a permutation, as its images, is a product of an even number of transpositions."""
    inversions = sum(x > y for x, y in itertools.combinations(permutation, 2))
    return inversions % 2 == 0


def transposition(degree: int, x: int, y: int) -> tuple[int, ...]:
    """The permutation that swaps two points."""
    images = list(range(degree))
    images[x], images[y] = y, x
    return tuple(images)


def _bounded(name: str, order: int) -> int:
    """An order that is not too large.

    Raises:
        UsageError: it is.
    """
    if order > MAX_ORDER:
        raise UsageError(f"group {name!r} has more than {MAX_ORDER} elements; choose a smaller one")
    return order


def _permutations(name: str, permutations: list[tuple[int, ...]]) -> Group:
    # Of more than ten points the images one after another could be read in several ways.
    separator = "" if len(permutations[0]) <= 10 else " "
    names = tuple(separator.join(map(str, p)) for p in permutations)
    return _group(name, np.array(permutations), names)


def _group(name: str, elements: NDArray[np.int64], element_names: tuple[str, ...]) -> Group:
    elements = elements.astype(np.int64)
    elements.flags.writeable = False
    return Group(name, elements, element_names)


def _prime_powers(number: int) -> list[int]:
    powers = []
    prime = 2
    while number > 1:
        power = 1
        while number % prime == 0:
            number //= prime
            power *= prime
        if power > 1:
            powers.append(power)
        prime += 1
    return powers


def _factorial_up_to(size: int) -> int:
    """``size!``, or anything above `MAX_ORDER` where it is larger."""
    product = 1
    for factor in range(2, size + 1):
        product *= factor
        if product > 2 * MAX_ORDER:
            break
    return product
