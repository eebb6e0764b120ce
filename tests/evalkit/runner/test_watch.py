"""`run --watch`: checkpoints are scored as they appear, whole ones only, each once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evalkit.errors import ModelError, UsageError
from evalkit.models.completeness import Look, look_at
from evalkit.runner import watch
from evalkit.runner.options import RunOptions
from evalkit.runner.reporter import Silent
from evalkit.runner.watch import SETTLE_S, Scoring, Watch, watch_run
from tests.support.rwkv7_files import random_tensors, save_fla_folder, save_official
from tests.support.toys import TEXTS, corpus_of

SMALL = {"vocab_size": 257, "num_channels": 64, "num_layers": 1}


def training(folder: Path) -> Iterator[float]:
    """Checkpoints of a training, written between two looks, of which some break off; yields nothing."""
    save_official(folder / "rwkv-1.pth", **SMALL)
    yield 0
    save_official(folder / "whole", seed=2, **SMALL)
    content = (folder / "whole").read_bytes()
    for share in (0.3, 0.7, 1.0):
        (folder / "rwkv-2.pth").write_bytes(content[: int(share * len(content))])
        yield 0
    while True:
        yield 0


def waiting(steps: Iterator[float], waits: list[float]) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        waits.append(seconds)
        next(steps)

    return sleep


def test_what_a_training_writes_is_scored_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run-a" / "out"
    folder.mkdir(parents=True)
    waits: list[float] = []
    result = watch_run(
        [f"rwkv7:{folder}/rwkv-*.pth"],
        Scoring([corpus_of(TEXTS)]),
        Watch(60.0, until=2),
        RunOptions(output=tmp_path / "runs"),
        sleep=waiting(training(folder), waits),
    )
    assert [(cell.model.name, cell.model.details["step"]) for cell in result.cells] == [
        ("rwkv7:out/rwkv-1.pth", 1),
        ("rwkv7:out/rwkv-2.pth", 2),
    ]
    assert not result.failures
    # Nothing; 1 is new; 1 is scored and 2 cut off; cut off still; whole, but just written; scored.
    assert waits == [60.0, SETTLE_S, SETTLE_S, SETTLE_S, SETTLE_S]


def test_the_end_is_a_file_and_what_is_broken_is_named(tmp_path: Path) -> None:
    save_official(tmp_path / "rwkv-1.pth", **SMALL)
    content = (tmp_path / "rwkv-1.pth").read_bytes()
    (tmp_path / "rwkv-2.pth").write_bytes(content[:-100])
    ended = tmp_path / "ended"
    ended.touch()
    waits: list[float] = []
    result = watch_run(
        [f"rwkv7:{tmp_path}"],
        Scoring([corpus_of(TEXTS)]),
        Watch(1.0, until=ended),
        RunOptions(output=tmp_path / "runs"),
        sleep=waits.append,
    )
    assert [cell.model.details["step"] for cell in result.cells] == [1]
    assert waits == [1.0]
    with pytest.raises(UsageError, match="--watch waits for what matches"):
        watch_run([f"rwkv7:{tmp_path}/rwkv-1.pth"], Scoring(), Watch(1.0), RunOptions())
    with pytest.raises(UsageError, match="--watch 0: give the seconds"):
        watch_run([f"rwkv7:{tmp_path}"], Scoring(), Watch(0.0), RunOptions())


class Lines(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def test_a_hub_out_of_reach_is_waited_for_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_official(tmp_path / "rwkv-1.pth", **SMALL)
    (tmp_path / "ended").touch()
    failures = iter([None, *[ModelError("cannot reach the hub")] * 3, None, None])

    def look(spec: str) -> Look | None:
        if (error := next(failures)) is not None:
            raise error
        return look_at(spec)

    monkeypatch.setattr(watch, "look_at", look)
    waits: list[float] = []
    reporter = Lines()
    options = RunOptions(output=tmp_path / "runs", reporter=reporter)
    models, end = [f"rwkv7:{tmp_path}/rwkv-*.pth"], Watch(60.0, until=tmp_path / "ended")
    result = watch_run(models, Scoring([corpus_of(TEXTS)]), end, options, sleep=waits.append)
    assert len(result.cells) == 1
    # New; out of reach three times, although the end is there; there again; scored.
    assert waits == [SETTLE_S] * 5
    assert [line for line in reporter.lines if "waiting" in line] == ["cannot reach the hub; waiting"]


def test_checkpoints_on_a_hub_that_is_gone_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[list[str] | ModelError] = [
        ["hub:o/run@step-1", "rwkv7:/nowhere/rwkv-1.pth"],
        ModelError("out of reach"),
    ]

    def expand(*_: object) -> list[str]:
        if isinstance(answer := answers.pop(0), ModelError):
            raise answer
        return answer

    monkeypatch.setattr(watch, "specs_of", expand)
    watcher = watch._Watcher(["hub:o/run@step-*"], Scoring(), Watch(1.0), RunOptions())
    assert watcher._specs() == ["hub:o/run@step-1", "rwkv7:/nowhere/rwkv-1.pth"]
    assert watcher._specs() == ["hub:o/run@step-1"]  # a file that is gone here is gone


def test_a_folder_is_whole_when_all_that_it_speaks_of_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "step-1"
    save_fla_folder(folder, random_tensors(**SMALL))
    spec = f"rwkv7:{folder}"
    assert look_at(spec) is not None and look_at(spec) == look_at(spec)
    weights = next(folder.glob("*.safetensors"))
    content = weights.read_bytes()
    headers = (b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": ["0", [4]]}}', b"[" * 100_000, b"[]")
    foreign = [len(header).to_bytes(8, "little") + header for header in headers]
    for damaged in (b"", content[:4], content[:100], content[:-1], content + b"\0", *foreign):
        weights.write_bytes(damaged)
        assert look_at(spec) is None
    weights.write_bytes(content)
    assert look_at(spec) is not None
    (folder / "optimizer.pt").touch()  # the Trainer has more to write
    assert look_at(spec) is None
    (folder / "trainer_state.json").write_text('{"global_step": ')
    assert look_at(spec) is None
    (folder / "trainer_state.json").write_text('{"global_step": 1}')
    (folder / "optimizer.pt").write_bytes(b"not a zip, and not empty")
    assert look_at(spec) is not None
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-2.safetensors"}}')
    assert look_at(spec) is None
