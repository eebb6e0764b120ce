"""Streams that outlive their readers, and signals that end a run as Ctrl-C does.

A terminal that is closed, ``| head`` and a full disk under a log end no run that takes hours: what is told
there is lost, and nothing else.
"""

import codecs
import errno
import io
import json
import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ENDING_SIGNALS = ("SIGTERM", "SIGHUP")
_received: list[int] = []
"""Numbers of the signals that have asked for the end."""


def prepare() -> None:
    """Let this process go on without readers and end in good order; to be called first of all."""
    _open_standard_handles()
    codecs.register_error("json-escapes", _escaped)
    sys.stdout = _prepared(sys.stdout, sys.__stdout__, 1, {errno.EPIPE})
    # What is told of a run is not worth the run.
    sys.stderr = _prepared(
        sys.stderr, sys.__stderr__, 2, {errno.EPIPE, errno.EIO, errno.ENOSPC, errno.EDQUOT}
    )
    if threading.current_thread() is not threading.main_thread():
        return  # only that one may take signals
    for name in _ENDING_SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _end)


def exit_code_of_interruption() -> int:
    """The code that shells give to what a signal has ended: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def end_output() -> None:
    """Write what is left for standard output, or drop it where that cannot be written, which was told."""
    try:
        sys.stdout.flush()
    except OSError:
        _to_null_device(sys.stdout.fileno())


def _open_standard_handles() -> None:
    """Let no file that is opened later become standard output because that was closed."""
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _prepared(stream: TextIO | None, original: TextIO | None, handle: int, ignored: set[int]) -> TextIO:
    r"""A standard stream that loses text where these errors say that nobody reads it.

    What the stream's encoding lacks is written as JSON does it (``\u00b1``), so that nothing ends with a
    UnicodeEncodeError after hours of scoring, and JSON stays JSON.
    """
    if stream is not None and stream is not original:  # a program that captures it
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="json-escapes")
        return stream
    raw = _Outliving(handle, ignored)
    encoding = "utf-8" if stream is None else stream.encoding
    is_terminal = os.isatty(handle)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors="json-escapes", line_buffering=is_terminal or handle == 2
    )


class _Outliving(io.RawIOBase):
    """A file handle that becomes the null device when nobody reads it anymore."""

    def __init__(self, handle: int, ignored: set[int]) -> None:
        self._handle, self._ignored = handle, ignored

    def fileno(self) -> int:
        return self._handle

    def isatty(self) -> bool:
        return os.isatty(self._handle)

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return os.write(self._handle, data)
        except OSError as error:
            if error.errno not in self._ignored:
                raise
            _to_null_device(self._handle)
            return memoryview(data).nbytes


def _to_null_device(handle: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, handle)
    os.close(null)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def _end(number: int, _: FrameType | None) -> None:
    _received.append(number)
    signal.signal(number, signal.SIG_DFL)  # the second time at once
    raise KeyboardInterrupt
