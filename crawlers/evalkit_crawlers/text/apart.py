"""Everything that makes text of foreign bytes is done apart: in a child process, within limits.

A page that a parser takes hours for, or that crashes it, is refused with a reason, like one that is too
large.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from evalkit.errors import EvalkitError
from evalkit.isolation import DEFAULT_WORK_LIMITS, Worker, WorkFailed, WorkLimits
from evalkit_crawlers.source import FetchRefused

P = ParamSpec("P")
T = TypeVar("T")

_WORKER = Worker()


def apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function returns, called in a child process with the default limits; else as `apart_within`.

    Args:
        function: one that can be imported by its name, or a method of an object whose class can.
        args: its arguments.
        kwargs: its arguments by keyword.
    """
    return apart_within(DEFAULT_WORK_LIMITS, function, *args, **kwargs)


def apart_within(limits: WorkLimits, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function returns, called in a child process.

    Args:
        limits: of time and memory.
        function: see `apart`.
        args: its arguments.
        kwargs: its arguments by keyword.

    Raises:
        FetchRefused: the function refuses; or it used up its limits, crashed, or raised anything else.
        EvalkitError: an error of the function's, or it cannot be sent to another process.
    """
    try:
        return _WORKER.call(limits, (FetchRefused, EvalkitError), function, *args, **kwargs)
    except WorkFailed as failure:
        raise FetchRefused(f"extraction {failure.reason}") from None
