"""Files of exports: each whole, or not there."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.files import atomic_write

Warn = Callable[[str], None]


def silent(_: str) -> None:
    """For who does not want to be warned."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of ``path`` when it is whole.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        with atomic_write(path) as temporary:
            yield temporary
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; give another --output") from error


def write_files(files: Mapping[str, str], folder: Path) -> None:
    """Texts by relative path, each whole or not at all.

    Raises:
        UsageError: one cannot be written.
    """
    for path, text in files.items():
        with writing(folder / path) as temporary:
            temporary.write_text(text, encoding="utf-8")
