"""Garbage that holds itself by circles, found without looking through everything that was there before."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def only_what_is_new() -> Iterator[None]:
    """Collections of garbage look only at what came into being within; also a decorator.

    The libraries that score and draw are half a million objects: looking through them takes a quarter of a
    second each time. Where somebody has frozen the process's objects already (`gc.freeze`), that stands.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
