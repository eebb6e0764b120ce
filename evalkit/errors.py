"""Every error that evalkit raises on purpose.

    EvalkitError
    ├── UsageError      the request cannot be understood: an unknown name, a bad option
    ├── CorpusError     a corpus cannot be read, is empty, or is not what its manifest says
    ├── ModelError      a model cannot be found, read or trusted
    ├── CrawlError      a source cannot be crawled
    ├── DiskError       a disk is full or cannot be written
    └── ScoringError    a model could not score a corpus
        └── LossyTextError   a tokenizer cannot represent a document exactly

A message is one line that says what is wrong, where, and what to do about it. The command line
prints it without a traceback (unless ``--debug``) and exits with `exit_code`.
"""

import difflib
import errno
import os
from collections.abc import Iterable, Sequence


class EvalkitError(Exception):
    """The root of the tree; catch it to catch everything evalkit raises on purpose."""

    exit_code = 1

    def __str__(self) -> str:
        r"""The message in one line, whatever it quotes: ``\x1c`` and the like are shown as such."""
        return super().__str__().translate(_LINE_ENDS)


_LINE_ENDS = {ord(end): repr(end)[1:-1] for end in "\v\f\x1c\x1d\x1e\x85\u2028\u2029"} | dict.fromkeys(
    b"\r\n", " "
)
"""What `str.splitlines` ends lines at."""


class UsageError(EvalkitError):
    """The request itself is wrong; nothing was started."""

    exit_code = 2


class CorpusError(EvalkitError):
    """A corpus cannot be read, is empty, or is not what its manifest says."""


class ModelError(EvalkitError):
    """A model cannot be found, read or trusted."""


class CrawlError(EvalkitError):
    """A source cannot be crawled."""


class ScoringError(EvalkitError):
    """A model could not score a corpus."""


class LossyTextError(ScoringError):
    """A document's tokens do not decode to the document's bytes, so its code length is undefined."""


class DiskError(EvalkitError):
    """A disk is full or cannot be written; whatever else would be written there fails as well."""


_DISK_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def disk_error(error: BaseException, place: object) -> DiskError | None:
    """What to say where an error comes of a full or read-only disk; None where it does not.

    Args:
        error: any, of which the causes are looked at too.
        place: what to name where the error names no file.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _DISK_ERRNOS:
            return DiskError(
                f"{cause.filename or place} cannot be written: {os.strerror(cause.errno)}; what is finished "
                "is kept: make room there, and the same command goes on"
            )
        cause = cause.__cause__ or cause.__context__
    return None


def first_line(error: BaseException) -> str:
    """The first line of another library's error, for a message of our own.

    A line that ends with a colon brings the next one with it; an error without a message gives its type.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])


def system_line(error: BaseException) -> str | None:
    """What to say of an error of the system's that nobody foresaw: a right that is missing, no memory.

    Returns:
        A line, or None if it is another kind of error.
    """
    if isinstance(error, MemoryError):
        return "out of memory; what is finished is kept, and the same command goes on from there"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return (
            f"{error.filename}: {error.strerror}; what is finished is kept: mend that, and the same command "
            "goes on from there"
        )
    return None


def one_line(text: str) -> str:
    """A whole message in one line: every run of white space becomes a space."""
    return " ".join(text.split())


def unknown_name(kind: str, name: str, known_names: Iterable[str], hint: str) -> UsageError:
    """The error for a name that is not known, with the nearest known names.

    Args:
        kind: what the name should have named, e.g. ``"model"``.
        name: the name as given.
        known_names: the valid names.
        hint: what else would have been accepted, or the command that lists the names.
    """
    near = difflib.get_close_matches(name, list(known_names), n=3, cutoff=0.5)
    return UsageError(f"unknown {kind} {name!r}.{did_you_mean(near)} {hint}")


def did_you_mean(names: Sequence[str]) -> str:
    """The sentence with which a message goes on where names are near; empty without any.

    >>> did_you_mean(["xz", "zstd"])
    ' Did you mean xz or zstd?'
    """
    return f" Did you mean {' or '.join(names)}?" if names else ""
