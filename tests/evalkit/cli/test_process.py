"""The program in bad surroundings: nobody reads, the disk is full, there is no home, names are too long."""

import os
import pwd
import resource
import subprocess
from pathlib import Path

import pytest

from evalkit.files import cache_dir, slug
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.toys import (
    FAULTS,
    PATIENCE_S,
    TEXTS,
    BigramModel,
    cell_files,
    command_line,
    corpus_of,
    run_cli,
    run_process,
    write_plugin,
    write_texts,
)

RUN = ("run", "--models", "xz,zstd", "--corpora", "texts.json", "--output", "runs")


@pytest.fixture(autouse=True)
def texts() -> None:
    write_texts(Path("texts.json"), TEXTS)


def shell(redirection: str) -> subprocess.CompletedProcess[str]:
    command = " ".join(map(str, command_line(*RUN)))
    return subprocess.run(
        ["sh", "-c", f"{command} {redirection}"], capture_output=True, text=True, timeout=PATIENCE_S
    )


@pytest.mark.parametrize("redirection", ["2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_run_goes_on_without_its_streams(redirection: str) -> None:
    done = shell(redirection)
    assert done.returncode == 0, done.stderr
    assert len(cell_files(Path("runs"))) == 2
    assert ("xz" in done.stdout) == (">&- 2" not in redirection)


def test_a_run_goes_on_when_its_reader_is_gone() -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(command_line(*RUN), stdout=write, stderr=write)
    os.close(write)
    assert process.wait(PATIENCE_S) == 0
    assert len(cell_files(Path("runs"))) == 2


def test_what_standard_output_does_not_take_is_told() -> None:
    done = shell("> /dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "evalkit: standard output cannot be written: No space left"
    )
    assert len(cell_files(Path("runs"))) == 2


def test_a_full_disk_ends_a_run_at_once_and_is_named() -> None:
    """A limit of a file's size is an error of the system as a full disk is one."""
    process = subprocess.run(
        command_line(*RUN),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)),
    )
    assert process.returncode == 1
    last = process.stderr.splitlines()[-1]
    assert last.startswith("evalkit: ")
    assert "/runs/texts/xz/" in last
    assert "cannot be written: File too large; what is finished is kept" in last
    assert "FAILED" not in process.stderr
    assert "zstd on texts: 7/7" not in process.stderr
    assert not cell_files(Path("runs"))


@pytest.mark.parametrize("moment", ["load-raises-", "identify-raises-", "broken-"])
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_a_model_raises_fails_its_cells_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, fault: str
) -> None:
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "plugin"))
    write_texts(Path("texts.json"), ["a BREAK in the text"])
    model = f"toy:{moment}{fault}"
    outcome = run_cli("run", "--models", f"{model},xz", "--corpora", "texts.json", "--output", "runs")
    assert outcome.exit_code == 1
    [line] = [line for line in outcome.stderr.splitlines() if line.startswith("FAILED")]
    assert line.startswith(f"FAILED {model} on texts: ")
    # Of a model that lacks memory while it scores, what can be done about it is said instead.
    is_too_large = (moment, fault) == ("broken-", "memory")
    assert ("does not fit in memory" if is_too_large else type(FAULTS[fault]).__name__) in line
    assert len(cell_files(Path("runs"))) == 1


def test_names_longer_than_file_systems_have_get_a_folder(tmp_path: Path) -> None:
    for letter in "ab":
        result = run(
            [BigramModel("m" * 300 + letter)],
            [corpus_of(TEXTS)],
            options=RunOptions(output=tmp_path / "runs"),
        )
        assert not result.failures
    folders = {path.parent.name for path in cell_files(tmp_path / "runs")}
    assert len(folders) == 2
    assert {len(name) for name in folders} == {200}
    assert {slug(name) for name in folders} == folders


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--models", "hf:./{}"),
        ("run", "--models", "xz", "--corpora", "./{}.jsonl"),
        ("run", "--models", "xz", "--corpora", "texts.json", "--output", "{}"),
        ("report", "{}"),
    ],
)
def test_names_longer_than_file_systems_have_are_told(arguments: tuple[str, ...]) -> None:
    outcome = run_cli(*(argument.format("x" * 300) for argument in arguments))
    assert outcome.exit_code in (1, 2)
    [line] = outcome.stderr.splitlines()[-1:]
    assert "xxx" in line
    assert "unexpected" not in line
    # A model's name may be a repository's: nothing of such a length can be a file.
    assert ("there is no file or folder" if arguments[-1].startswith("hf:") else "File name too long") in line


def test_a_pipe_is_no_catalog() -> None:
    os.mkfifo("evalkit.toml")
    outcome = run_process("models", "list")
    assert outcome.exit_code == 2
    assert outcome.stderr == (
        "evalkit: cannot read evalkit.toml: it is a pipe or a device, not a plain file\n"
    )


def test_a_pipe_is_no_leaderboard_and_no_cell() -> None:
    os.mkfifo("leaderboard.toml")
    outcome = run_process("leaderboard", "window")
    assert outcome.exit_code == 2
    assert "leaderboard.toml: it is a pipe or a device" in outcome.stderr
    run_process(*RUN)
    os.mkfifo("runs/pipe.json")
    assert run_process("report", "runs", "--output", "site").exit_code == 0


def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "EVALKIT_CACHE"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert cache_dir().is_dir()
    assert cache_dir() == cache_dir()
    assert run_cli(*RUN).exit_code == 0


def test_a_clock_that_stands_still_fails_no_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.perf_counter", lambda: 12.0)
    result = run([BigramModel()], [corpus_of(TEXTS)], options=RunOptions(output=tmp_path / "runs"))
    assert not result.failures
    assert result.cells[0].metrics.bytes_per_s > 0
