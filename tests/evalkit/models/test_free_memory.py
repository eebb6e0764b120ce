"""What a machine says of its memory, as Linux writes it."""

from pathlib import Path

from evalkit.models.free_memory import free_memory_bytes

MIB = 1 << 20


def _write(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_least_of_what_system_and_groups_leave(tmp_path: Path) -> None:
    assert free_memory_bytes(tmp_path) is None
    _write(tmp_path, proc__meminfo="MemTotal:  8192000 kB\nMemFree:  1024 kB\nMemAvailable:  4096000 kB\n")
    assert free_memory_bytes(tmp_path) == 4096000 * 1024
    _write(tmp_path, proc__self__cgroup="1:name=x:/old\n0::/outer/inner\n")
    assert free_memory_bytes(tmp_path) == 4096000 * 1024
    inner = {"memory_dot_max": "max\n", "memory_dot_current": "5\n"}
    _write(tmp_path, **{f"sys__fs__cgroup__outer__inner__{name}": text for name, text in inner.items()})
    assert free_memory_bytes(tmp_path) == 4096000 * 1024
    outer = {
        "memory_dot_max": f"{900 * MIB}\n",
        "memory_dot_current": f"{600 * MIB}\n",
        "memory_dot_stat": f"anon 7\ninactive_file {100 * MIB}\nactive_file 9\n",
    }
    _write(tmp_path, **{f"sys__fs__cgroup__outer__{name}": text for name, text in outer.items()})
    assert free_memory_bytes(tmp_path) == 400 * MIB
    _write(tmp_path, sys__fs__cgroup__outer__memory_dot_current=f"{2000 * MIB}\n")
    assert free_memory_bytes(tmp_path) == 0
