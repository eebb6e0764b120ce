"""Memory that a computation on a CPU has freed, kept for its next step.

glibc gives the end of its heap back to the system whenever more than 128 kB of it are free, and a forward
pass frees megabytes after every operator: the system then takes pages away and clears them anew thousands of
times a second. Of a run of llama-nano that was a fifth of the processor's time.
"""

import ctypes
import functools
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""``M_TRIM_THRESHOLD`` and so on of ``malloc.h``."""
_MOST_BYTES_FREE = 1 << 30
"""Of the heap's end; what is beyond goes back."""
_LARGEST_BYTES_OF_HEAP = 1 << 25
"""As much as glibc allows: what is larger has pages of its own, which go back when it is freed."""
_NUM_BYTES_MORE = 1 << 24
"""By which the heap grows at a time."""


@functools.cache
def keep_freed_memory() -> bool:
    """Let the C library keep what is freed; whether it is one that can be told so (glibc)."""
    library = _glibc()
    if library is None:
        return False
    settings = {
        _MMAP_THRESHOLD: _LARGEST_BYTES_OF_HEAP,
        _TRIM_THRESHOLD: _MOST_BYTES_FREE,
        _TOP_PAD: _NUM_BYTES_MORE,
    }
    accepted = [library.mallopt(setting, size) for setting, size in settings.items()]
    return accepted == [1] * len(settings)


def return_freed_memory() -> None:
    """Give back to the system what is free, once nothing is computed for a while."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
