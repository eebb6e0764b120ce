"""Which files are opened, and how often."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_COUNTERS: list[Counter[str]] = []
"""Of who counts. Python's hooks cannot be taken away again."""


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _COUNTERS and isinstance(arguments[0], str | Path):
        _COUNTERS[-1][str(Path(arguments[0]).absolute())] += 1


sys.addaudithook(_listen)


@contextlib.contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often each file is opened meanwhile."""
    _COUNTERS.append(Counter())
    try:
        yield _COUNTERS[-1]
    finally:
        _COUNTERS.pop()


def jsons(folder: Path, opened: Counter[str]) -> dict[str, int]:
    """How often each JSON file below a folder was opened."""
    return {str(path): opened[str(path)] for path in folder.rglob("*.json")}
