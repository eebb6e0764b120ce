import dataclasses
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evalkit.cells import partial
from evalkit.cells.environment_schema import GitState
from evalkit.cells.partial import PARTIAL_SUFFIX
from evalkit.cells.provenance import cell_environment
from evalkit.environment import sources_sha256
from evalkit.runner import corpus_scoring
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.runner.reporter import Silent
from tests.support.toys import BigramModel, SlowCodec, corpus_of

TEXTS = [f"text {number}: " + "abc " * (3 * number % 17) for number in range(24)]
TEXTS[5] = "x"
CORPUS = corpus_of(TEXTS)
TIMES = {"created", "seconds", "bytes_per_s", "tokens_per_s", "sha256"}


class BatchSensitive(BigramModel):
    """Its costs depend on which rows a batch has, as those of float32 products do in their last digits."""

    tokens_per_batch = 96

    def __init__(self, num_calls_until_stop: int | None = None) -> None:
        super().__init__()
        self.num_calls_until_stop = num_calls_until_stop

    def nats(
        self, sequences: Sequence[Sequence[int]], *, contexts: Sequence[Sequence[int]] | None = None
    ) -> list[NDArray[np.float32]]:
        if self.num_calls == self.num_calls_until_stop:
            raise KeyboardInterrupt
        costs = super().nats(sequences, contexts=contexts)
        length = sum(map(len, sequences))
        return [cost + np.float32(1e-3 * row / length) for row, cost in enumerate(costs)]


class Lines(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def score(model: Any, folder: Path, reporter: Silent | None = None, **settings: Any) -> None:
    options = RunOptions(output=folder, checkpoint_s=0, reporter=reporter or Silent())
    run([model], [CORPUS], options=options, **settings)


def content(folder: Path) -> tuple[Any, bytes]:
    """What the only cell says but for times, and the bytes of its rows; nothing lies beside it."""
    [path] = folder.rglob("*.json")
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.stem}.parquet"]
    return without_times(json.loads(path.read_text())), path.with_suffix(".parquet").read_bytes()


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(entry) for name, entry in value.items() if name not in TIMES}
    return value


def interrupted(folder: Path, num_calls: int = 3, **settings: Any) -> list[Path]:
    """The files of the documents that were finished when a run was interrupted."""
    with pytest.raises(KeyboardInterrupt):
        score(BatchSensitive(num_calls), folder, **settings)
    assert not list(folder.rglob("*.json"))
    return sorted(folder.rglob(f".*{PARTIAL_SUFFIX}/*"))


@pytest.mark.parametrize("token_bits", [False, True])
def test_an_interrupted_cell_is_the_one_that_it_would_have_been(tmp_path: Path, token_bits: bool) -> None:
    undisturbed = BatchSensitive()
    score(undisturbed, tmp_path / "whole", token_bits=token_bits)
    expected, num_calls = content(tmp_path / "whole"), undisturbed.num_calls
    assert num_calls > 8
    for stop in (0, 1, num_calls // 2, num_calls - 1):
        folder = tmp_path / str(stop)
        assert len(interrupted(folder, stop, token_bits=token_bits)) >= stop // 2
        lines, model = Lines(), BatchSensitive()
        score(model, folder, lines, token_bits=token_bits)
        assert content(folder) == expected
        # What is computed twice is the batches of documents that were open.
        assert num_calls - stop <= model.num_calls <= num_calls - stop // 2
        assert (stop == 0) == (not any("finished before" in line for line in lines.lines))


def test_a_run_that_is_interrupted_time_and_again_gets_to_the_end(tmp_path: Path) -> None:
    score(BatchSensitive(), tmp_path / "whole")
    for _ in range(40):
        try:
            score(BatchSensitive(2), tmp_path / "often")
            break
        except KeyboardInterrupt:
            continue
    assert content(tmp_path / "often") == content(tmp_path / "whole")


def test_a_compressor_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []

    def code_length_bytes(_: SlowCodec, data: bytes) -> int:
        if len(calls) == 7:
            calls.append(b"")
            raise KeyboardInterrupt
        calls.append(data)
        return len(data) // 2 + 1

    monkeypatch.setattr(SlowCodec, "code_length_bytes", code_length_bytes)
    with pytest.raises(KeyboardInterrupt):
        score(SlowCodec("slow"), tmp_path / "stopped")
    score(SlowCodec("slow"), tmp_path / "stopped")
    assert calls[:7] + calls[8:] == [text.encode() for text in TEXTS]
    score(SlowCodec("slow"), tmp_path / "whole")
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_a_commit_between_two_runs_loses_nothing_and_other_sources_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, state, sources in (
        ("commit", GitState(commit="c0ffee", dirty=True), sources_sha256()),
        ("sources", None, "other"),
    ):
        interrupted(tmp_path / name)
        lines, model = Lines(), BatchSensitive()
        with monkeypatch.context() as patched:
            of_process = cell_environment("cpu")
            changed_environment = dataclasses.replace(of_process, git=state)
            patched.setattr(corpus_scoring, "cell_environment", lambda _, of=changed_environment: of)
            patched.setattr(partial, "sources_sha256", lambda digest=sources: digest)
            score(model, tmp_path / name, lines)
        is_refused = any("other software" in line for line in lines.lines)
        assert is_refused == (name == "sources")
        assert any("finished before" in line for line in lines.lines) == (name == "commit")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def of_another_machine(path: Path) -> None:
    path.rename(path.with_name("0" * 16 + path.name[16:]))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def without_name(path: Path) -> None:
    path.rename(path.with_name("x.part"))


@pytest.mark.parametrize("damage", [cut, emptied, changed, of_another_machine, a_folder, without_name])
def test_damaged_and_foreign_files_are_told_and_not_taken(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    score(BatchSensitive(), tmp_path / "whole")
    folder = tmp_path / "stopped"
    parts = interrupted(folder, 6)
    assert len(parts) >= 3
    damage(parts[1])
    lines = Lines()
    score(BatchSensitive(), folder, lines)
    assert content(folder) == content(tmp_path / "whole")
    [line] = [line for line in lines.lines if "scored again" in line]
    assert re.search(r"\.evalkit\.partial: .*\.part", line)


def test_what_is_left_beside_a_finished_cell_goes_with_the_next_run(tmp_path: Path) -> None:
    [part, *_] = interrupted(tmp_path)
    data = part.read_bytes()
    score(BatchSensitive(), tmp_path)
    expected = content(tmp_path)
    part.parent.mkdir()
    part.write_bytes(data)
    run([BatchSensitive()], [CORPUS], options=RunOptions(output=tmp_path, dry_run=True))
    assert part.is_file()
    score(BatchSensitive(), tmp_path)
    assert content(tmp_path) == expected
