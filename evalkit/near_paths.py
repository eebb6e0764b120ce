"""What a mistyped path may have meant."""

import difflib
import os
from pathlib import Path


def near_paths(path: str) -> list[str]:
    """Paths that are there and are spelled much like one that is not, the likeliest first.

    Args:
        path: as the user wrote it; the first of its parts that is not there is compared with what lies beside
            it, and what follows that part is left as it is where that is there as well.

    Returns:
        At most three, none where the path is there or nothing is alike.
    """
    parts = Path(os.path.expanduser(path)).parts  # noqa: PTH111  that of a user who is not here stays
    for number, part in enumerate(parts):
        folder = Path(*parts[:number])
        try:
            if Path(*parts[: number + 1]).exists():
                continue
            names = sorted(os.listdir(folder))  # noqa: PTH208  names alone are compared
        except OSError:  # no folder, or none that can be looked at
            return []
        near = [folder / name for name in difflib.get_close_matches(part, names, n=3, cutoff=0.6)]
        whole = [name.joinpath(*parts[number + 1 :]) for name in near]
        return [str(full if full.exists() else name) for full, name in zip(whole, near, strict=True)]
    return []
