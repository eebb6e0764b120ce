"""The bits of tokens, on disk until they are wanted: memory does not grow with the documents."""

import functools
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tokens(NamedTuple):
    """What a document's tokens cost."""

    bits: NDArray[np.float32]
    """``[T]``, NaN where the policy does not pay for a token."""
    ends: NDArray[np.int64]
    """``[T]``: byte offset at which each token ends."""


class TokenSpool:
    """Keeps documents' tokens in a file without a name, which goes with the process, whatever ends it."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open the file.

        Args:
            folder: where it takes room; None: where temporary files lie.

        Raises:
            OSError: nothing can be written there.
        """
        self._file = tempfile.TemporaryFile(dir=folder, prefix="evalkit-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)

    def keep(self, tokens: Tokens) -> Callable[[], Tokens]:
        """Keep a document's tokens; returns what gives them back.

        Raises:
            OSError: there is no room for them.
        """
        start = self._file.seek(0, 2)
        self._file.write(tokens.bits.tobytes())
        self._file.write(tokens.ends.tobytes())
        return functools.partial(self._load, start, len(tokens.bits))

    def _load(self, start: int, num_tokens: int) -> Tokens:
        self._file.seek(start)
        bits = np.frombuffer(self._file.read(4 * num_tokens), np.float32)
        return Tokens(bits, np.frombuffer(self._file.read(8 * num_tokens), np.int64))
