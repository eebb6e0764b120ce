"""Garbage is found without looking through what was there before."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from evalkit.garbage import only_what_is_new


class Knot:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def nothing_set_apart() -> Iterator[None]:
    """As in a process of its own, where the tests' own objects are not frozen."""
    num_frozen = gc.get_freeze_count()
    gc.unfreeze()
    gc.disable()  # nothing is collected unasked
    yield
    gc.enable()
    if num_frozen:
        gc.freeze()


def test_what_is_new_is_freed_and_what_was_there_is_left_for_later() -> None:
    before = weakref.ref(Knot())
    with only_what_is_new():
        since = weakref.ref(Knot())
        gc.collect()
        assert since() is None
        assert before() is not None
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert before() is None


def test_what_somebody_has_frozen_stays_so() -> None:
    gc.freeze()
    num_frozen = gc.get_freeze_count()
    with only_what_is_new():
        knot = weakref.ref(Knot())
        gc.collect()
        assert knot() is None
    assert gc.get_freeze_count() >= num_frozen - 10 > 0


def test_an_error_unfreezes_too() -> None:
    with pytest.raises(ValueError), only_what_is_new():
        raise ValueError
    assert gc.get_freeze_count() == 0
