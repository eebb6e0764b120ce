"""Time by what it is spent on: each moment belongs to the innermost of the parts that are under way."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """Seconds by part, of the wall clock and of the processor."""

    def __init__(self, part: str) -> None:
        """Start.

        Args:
            part: what everything belongs to that is of no other part.
        """
        self._parts = [part]
        self._last_s, self._last_cpu_s = time.perf_counter(), time.process_time()
        self.wall_s: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}

    @property
    def part(self) -> str:
        """The innermost part under way."""
        return self._parts[-1]

    @contextlib.contextmanager
    def during(self, part: str) -> Iterator[None]:
        """Everything within belongs to a part, but for what is of a part further in."""
        self.settle()
        self._parts.append(part)
        try:
            yield
        finally:
            self.settle()
            self._parts.pop()

    def timed(self, part: str, function: Callable[P, T]) -> Callable[P, T]:
        """A function whose calls belong to a part."""

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.during(part):
                return function(*args, **kwargs)

        return call

    def settle(self) -> None:
        """Book what has passed since the last change of parts."""
        now_s, now_cpu_s = time.perf_counter(), time.process_time()
        part = self.part
        self.wall_s[part] = self.wall_s.get(part, 0.0) + now_s - self._last_s
        self.cpu_s[part] = self.cpu_s.get(part, 0.0) + now_cpu_s - self._last_cpu_s
        self._last_s, self._last_cpu_s = now_s, now_cpu_s
