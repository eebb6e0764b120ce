"""A full disk, a missing right and too little memory are said in a line that names the place."""

import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import system_line
from evalkit.files import atomic_write, naming
from tests.support.toys import TEXTS, run_cli, write_texts


def test_an_error_of_writing_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    everything = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, everything[1]))
    try:
        with pytest.raises(OSError) as raised, atomic_write(path) as temporary:
            temporary.write_text("x" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, everything)
        signal.signal(signal.SIGXFSZ, handler)
    assert raised.value.filename == str(path)
    assert str(system_line(raised.value)).startswith(f"{path}: File too large; what is finished is kept")
    assert not list(tmp_path.iterdir())


def test_what_has_a_name_keeps_it_and_what_is_no_system_error_has_none() -> None:
    with pytest.raises(FileNotFoundError) as raised, naming(Path("outer")):
        Path("inner").read_text()
    assert raised.value.filename == "inner"
    with pytest.raises(OSError) as raised, naming(Path("outer")):
        raise OSError("a library's own")
    assert raised.value.filename is None
    assert system_line(raised.value) is None
    assert system_line(ValueError("no")) is None
    assert str(system_line(MemoryError())).startswith("out of memory")


def test_a_disk_that_is_full_ends_a_report_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = write_texts(tmp_path / "texts.json", TEXTS)
    assert (
        run_cli("run", "--models", "zstd", "--corpora", texts, "--output", tmp_path / "runs").exit_code == 0
    )
    real = Path.open

    def open_full(path: Path, mode: str = "r", **options: Any) -> Any:
        is_full = path.name == "index.html" and "w" in mode
        return real(Path("/dev/full") if is_full else path, mode, **options)

    monkeypatch.setattr(Path, "open", open_full)
    done = run_cli("report", tmp_path / "runs", "--output", tmp_path / "site")
    last = done.stderr.splitlines()[-1]
    assert done.exit_code == 1
    assert (
        last.startswith("evalkit: ")
        and "index.html cannot be written: No space left on device; what is finished" in last
    )
    assert "unexpected" not in last and not (tmp_path / "site").exists()
