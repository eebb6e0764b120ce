"""What a machine says of its memory, as Linux writes it."""

from collections.abc import Mapping
from pathlib import Path

from evalkit.models.free_memory import free_memory_bytes

MIB = 1 << 20
GROUPS = "sys/fs/cgroup"


def _write(root: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_least_of_what_system_and_groups_leave(tmp_path: Path) -> None:
    assert free_memory_bytes(tmp_path) is None
    meminfo = "MemTotal:  8192000 kB\nMemFree:  1024 kB\nMemAvailable:  4096000 kB\n"
    _write(tmp_path, {"proc/meminfo": meminfo})
    assert free_memory_bytes(tmp_path) == 4096000 * 1024
    _write(tmp_path, {"proc/self/cgroup": "1:name=x:/old\n0::/outer/inner\n"})
    assert free_memory_bytes(tmp_path) == 4096000 * 1024
    inner = f"{GROUPS}/outer/inner"
    _write(tmp_path, {f"{inner}/memory.max": "max\n", f"{inner}/memory.current": "5\n"})
    assert free_memory_bytes(tmp_path) == 4096000 * 1024
    outer = {
        f"{GROUPS}/outer/memory.max": f"{900 * MIB}\n",
        f"{GROUPS}/outer/memory.current": f"{600 * MIB}\n",
        f"{GROUPS}/outer/memory.stat": f"anon 7\ninactive_file {100 * MIB}\nactive_file 9\n",
    }
    _write(tmp_path, outer)
    assert free_memory_bytes(tmp_path) == 400 * MIB
    _write(tmp_path, {f"{GROUPS}/outer/memory.current": f"{2000 * MIB}\n"})
    assert free_memory_bytes(tmp_path) == 0
