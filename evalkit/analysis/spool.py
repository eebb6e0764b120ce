"""Arrays that are needed again and would not all fit into memory: beyond a limit they lie in a file."""

import functools
import tempfile
import weakref
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LIMIT_BYTES = 4 * 2**20
"""How much of all arrays together is kept in memory."""

Load = Callable[[], NDArray[np.float64]]


class Spool:
    """Keeps arrays; the file has no name, so that it goes with the process, whatever ends it."""

    def __init__(self) -> None:
        self._num_bytes = 0
        # In memory until it has anything to hold, then on disk; closed with the last who may load from it.
        self._file = tempfile.SpooledTemporaryFile(max_size=1, prefix="evalkit-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)

    def keep(self, array: NDArray[np.float64]) -> Load:
        """Keep an array; returns what gives it back.

        Raises:
            OSError: there is no room for it.
        """
        self._num_bytes += array.nbytes
        if self._num_bytes <= LIMIT_BYTES:
            return functools.partial(np.asarray, array)
        start = self._file.seek(0, 2)
        self._file.write(array.tobytes())
        return functools.partial(self._load, start, array.shape)

    def _load(self, start: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
        array = np.empty(shape)
        self._file.seek(start)
        self._file.readinto(array.data.cast("B"))  # `read` would hold it twice
        return array


class ByteSpool:
    """Keeps bytes; beyond the limit they lie in a file without a name."""

    def __init__(self) -> None:
        self._num_bytes = 0
        self._file = tempfile.SpooledTemporaryFile(max_size=1, prefix="evalkit-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)

    def keep(self, content: bytes) -> Callable[[], bytes]:
        """Keep bytes; returns what gives them back.

        Raises:
            OSError: there is no room for them.
        """
        self._num_bytes += len(content)
        if self._num_bytes <= LIMIT_BYTES:
            return functools.partial(bytes, content)
        start = self._file.seek(0, 2)
        self._file.write(content)
        return functools.partial(self._load, start, len(content))

    def _load(self, start: int, num_bytes: int) -> bytes:
        self._file.seek(start)
        return self._file.read(num_bytes)
