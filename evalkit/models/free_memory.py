"""How much memory a process on this machine may still take."""

from pathlib import Path, PurePosixPath


def free_memory_bytes(root: Path = Path("/")) -> int | None:
    """What the system could give without swapping, or what its control groups leave where that is less.

    Args:
        root: where ``proc`` and ``sys`` are.

    Returns:
        Bytes; None where the system does not say, as on others than Linux.
    """
    available_kb = _number_after("MemAvailable:", root / "proc/meminfo")
    if available_kb is None:
        return None
    return min([available_kb * 1024, *_free_in_groups(root)])


def _free_in_groups(root: Path) -> list[int]:
    """Bytes up to the limit of each control group (version 2) that the process is in and that has one."""
    lines = _text(root / "proc/self/cgroup").splitlines()
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    if path is None:
        return []
    free_bytes = []
    group = PurePosixPath("/", path.lstrip("/"))
    for ancestor in (group, *group.parents):
        folder = root / "sys/fs/cgroup" / str(ancestor).lstrip("/")
        limit, usage = (_text(folder / name).strip() for name in ("memory.max", "memory.current"))
        if limit.isdecimal() and usage.isdecimal():
            # Pages of files that were read count as used, and are given up first.
            cached = _number_after("inactive_file", folder / "memory.stat") or 0
            free_bytes.append(max(0, int(limit) - int(usage) + cached))
    return free_bytes


def _number_after(name: str, path: Path) -> int | None:
    for line in _text(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name and words[1].isdecimal():
            return int(words[1])
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
