"""Runs over models of servers: what is kept when they are killed, what fails, what is printed."""

import subprocess
import threading
from pathlib import Path

import pytest

from evalkit.cells.reading import read_cell_of
from evalkit.cells.schema import CorpusCell
from tests.support.completions_server import MODEL, CompletionsServer, Manner
from tests.support.hub_server import serving
from tests.support.toys import PATIENCE_S, cell_files, command_line, run_cli, snapshot


@pytest.fixture
def corpora(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    for file, text in zip(files, ("Ships wait for the tide.", "Tides wait for no ship."), strict=True):
        file.write_text(f'{{"text": "{text}"}}\n', encoding="utf-8")
    return files


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, corpora: list[Path]) -> None:
    """It is killed while it waits for an answer about the second corpus."""
    is_at_second = threading.Event()

    def status(number: int) -> int:
        if bytes(server.bodies[number - 1]["prompt"][1:6]) != b"Tides":
            return 200
        is_at_second.set()
        return -1

    with serving(CompletionsServer(Manner(status=status))) as server:
        arguments = ["run", "--models", server.spec, "--corpora", ",".join(map(str, corpora))]
        arguments += ["--output", str(tmp_path / "runs")]
        process = subprocess.Popen(command_line(*arguments))
        try:
            assert is_at_second.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()
        [path] = cell_files(tmp_path / "runs")
        before = path.read_bytes()
        assert read_cell_of(CorpusCell, path).corpus.name == "first"
        server.manner = Manner()
        outcome = run_cli(*arguments)
        assert outcome.exit_code == 0, outcome.stderr
        assert "1 of 2 cells done, 1 to score" in outcome.stderr
        assert len(cell_files(tmp_path / "runs")) == 2
        assert path.read_bytes() == before
        after = snapshot(tmp_path / "runs")
        num_asked = len(server.bodies)
        assert run_cli(*arguments).exit_code == 0
        assert (snapshot(tmp_path / "runs"), len(server.bodies)) == (after, num_asked)


def test_a_server_that_is_refused_fails_its_own_cells(tmp_path: Path, corpora: list[Path]) -> None:
    manner = Manner(reads=lambda ids: [256, *ids])
    with serving(CompletionsServer(manner)) as server:
        outcome = run_cli(
            "run", "--models", f"{server.spec},xz", "--corpora", corpora[0], "--output", tmp_path / "runs"
        )
    assert outcome.exit_code == 1
    assert (
        f"FAILED openai:{MODEL} on first: openai:{MODEL}: the server puts token 256 before" in outcome.stdout
    )
    assert [path.parent.name for path in cell_files(tmp_path / "runs")] == ["xz"]


def test_a_key_and_an_address_are_in_no_file(
    tmp_path: Path, corpora: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_API_KEY", "sesame-77")
    with serving(CompletionsServer(Manner(wants_key="sesame-77"))) as server:
        outcome = run_cli(
            "run", "--models", server.spec, "--corpora", corpora[0], "--output", tmp_path / "runs"
        )
        assert outcome.exit_code == 0
        assert all(headers["Authorization"] == "Bearer sesame-77" for headers in server.headers)
    [path] = cell_files(tmp_path / "runs")
    for file in path.parent.iterdir():
        content = file.read_bytes()
        assert b"sesame" not in content and b"127.0.0.1" not in content, file
    assert "sesame" not in outcome.stdout + outcome.stderr


def test_names_from_a_server_are_shown_and_not_obeyed(tmp_path: Path, corpora: list[Path]) -> None:
    with serving(CompletionsServer()) as server:
        server.root = "evil\x1b[2J\u202e\nname"
        spec = server.spec.partition("#")[0]
        outcome = run_cli("run", "--models", spec, "--corpora", corpora[0], "--output", tmp_path / "runs")
        assert outcome.exit_code == 0, outcome.stderr
        other = run_cli("run", "--models", f"{spec}#mine", "--corpora", corpora[0])
        assert other.exit_code == 2
    for text in (outcome.stdout, outcome.stderr, other.stderr):
        assert "\x1b[2J" not in text and "\u202e" not in text
    assert "evil\\x1b[2J" in outcome.stdout
