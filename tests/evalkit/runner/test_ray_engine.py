"""What the Ray engine is made of, without Ray; a real cluster is what `make ray` starts."""

import pickle
import sys
import threading
from pathlib import Path

import pytest

from evalkit.cells.partial import PARTIAL_SUFFIX
from evalkit.errors import UsageError
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from evalkit.runner import parts
from evalkit.runner.corpora import planned_cells, planned_specs, run
from evalkit.runner.options import RunOptions
from evalkit.runner.plan import PlannedCell
from evalkit.runner.pool import Settled, Told
from evalkit.runner.ray_engine import Resources, Share, share_out, stream
from evalkit.runner.remote import remote_folder
from evalkit.scoring.parts import Part
from tests.support.object_stores import memory_store, stored
from tests.support.toys import BigramModel, corpus_of, numbers

CORPUS = corpus_of([f"text {number}: " + "abc " * (3 * number % 17) for number in range(24)])
OTHER = corpus_of(["another text", "and one more"], "other")
CPU, GPUS = Resources(16, 0), Resources(48, 8)


@pytest.mark.parametrize(
    ("machines", "processes", "uses_gpus", "share"),
    [
        ([CPU, CPU, CPU], None, True, Share(3, 16, 0)),
        ([CPU, Resources(4, 0)], None, True, Share(2, 4, 0)),
        ([CPU], 5, True, Share(5, 3, 0)),
        ([CPU], 100, True, Share(100, 1, 0)),
        ([GPUS, CPU, Resources(8, 2)], None, True, Share(10, 4, 1)),
        ([GPUS], 3, True, Share(3, 6, 1)),
        ([Resources(1, 4)], None, True, Share(4, 1, 1)),
        ([GPUS, CPU], None, False, Share(2, 16, 0)),
    ],
)
def test_machines_are_shared_out(
    machines: list[Resources], processes: int | None, uses_gpus: bool, share: Share
) -> None:
    assert share_out(machines, processes, uses_gpus=uses_gpus) == share


def sent(options: RunOptions) -> tuple[list[PlannedCell], RunOptions]:
    """A plan as it comes out at another machine."""
    located_models = locate_models([BigramModel(), BigramModel("next", 1)], LoadOptions())
    specs = planned_specs(located_models, [CORPUS, OTHER], "document", None, False)
    plan = planned_cells(specs, options)
    arrived: tuple[list[PlannedCell], RunOptions] = pickle.loads(pickle.dumps((plan, options)))
    return arrived


def test_a_process_elsewhere_writes_the_cells_and_says_so(tmp_path: Path) -> None:
    run(
        [BigramModel(), BigramModel("next", 1)],
        [CORPUS, OTHER],
        options=RunOptions(output=tmp_path / "local"),
    )
    plan, options = sent(RunOptions(output=tmp_path / "ray", engine="ray"))
    said = [
        *stream(plan, [(2, None), (3, None)], options, options.folder),
        *stream(plan, [(0, None), (1, None)], options, options.folder),
    ]
    assert [message for message in said if isinstance(message, Settled)] == [
        Settled(place, None, False, True) for place in (0, 1, 0, 1)
    ]
    starts = [
        message.arguments[:2] for message in said if isinstance(message, Told) and message.method == "start"
    ]
    assert starts == [("next", "corpus"), ("next", "other"), ("bigram", "corpus"), ("bigram", "other")]
    assert numbers(tmp_path / "ray") == numbers(tmp_path / "local")


def test_a_process_that_is_to_end_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.runner.pool._PROGRESS_INTERVAL_S", 0.0)
    plan, options = sent(RunOptions(output=tmp_path, engine="ray"))
    may_go_on = threading.Event()
    score = plan[0].located.instance
    assert isinstance(score, BigramModel)
    nats = score.nats

    def slow(*arguments: object, **named: object) -> object:
        if score.num_calls == 2:
            may_go_on.wait()
        return nats(*arguments, **named)  # type: ignore[arg-type]

    score.nats = slow  # type: ignore[method-assign, assignment]
    messages = stream(plan, [(0, None), (1, None)], options, tmp_path)
    num_advanced = 0
    for message in messages:
        num_advanced += isinstance(message, Told) and message.method == "advance"
        if num_advanced == 2:
            break
    join = threading.Thread.join

    def released(thread: threading.Thread, timeout: float | None = None) -> None:
        may_go_on.set()  # by now it is to end
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", released)
    messages.close()  # type: ignore[attr-defined]
    assert list(tmp_path.rglob(f".*{PARTIAL_SUFFIX}/*"))
    assert not list(tmp_path.rglob("[!.]*.json"))


def test_machines_without_a_common_folder_finish_a_cell_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a cache of its own: what one has finished of a cell, another takes from the store."""
    monkeypatch.setattr(parts, "LEAST_PART_BYTES", 1)
    monkeypatch.setattr("evalkit.runner.pool._PROGRESS_INTERVAL_S", 0.0)

    def go_to(machine: str) -> None:
        monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / machine))
        remote_folder.cache_clear()

    run([BigramModel()], [CORPUS], options=RunOptions(output=tmp_path / "local"))
    with memory_store() as url:
        go_to("driver")
        plan, options = sent(RunOptions(output=url, engine="ray", checkpoint_s=0, is_elsewhere=True))
        of_driver = options.folder
        go_to("first")
        messages = stream(plan, [(0, Part(0, 2))], options, of_driver)
        next(said for said in messages if isinstance(said, Told) and said.method == "advance")
        messages.close()  # type: ignore[attr-defined]  it is lost, and what it has finished is stored
        names = stored(url)
        assert names and all(f"{PARTIAL_SUFFIX}/" in name for name in names)
        go_to("second")
        *_, last = said = list(stream(plan, [(0, Part(1, 2))], options, of_driver))
        assert last == Settled(0, None, False, False)
        assert len(stored(url)) > len(names) and not any(name.endswith(".json") for name in stored(url))
        go_to("third")
        said = list(stream(plan, [(0, Part(0, 2))], options, of_driver))
        told = [said.arguments[0] for said in said if isinstance(said, Told) and said.method == "message"]
        assert sum(line.endswith("of 24 documents were finished before") for line in told) == 1
        assert said[-1] == Settled(0, None, False, False)
        assert [name.rpartition(".")[2] for name in stored(url)] == ["json", "parquet"]
        go_to("driver")
        result = run([BigramModel()], [CORPUS], options=RunOptions(output=url))
        assert (result.num_scored, result.failures) == (0, ())
        assert numbers(of_driver) == numbers(tmp_path / "local")


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for fields, problem in (
        ({"engine": "dask"}, "--engine dask is none; give local or ray"),
        ({"address": "auto"}, "--address is that of a Ray cluster; give --engine ray too"),
        ({"engine": "ray", "device": "cuda:1"}, "--device cuda:1 is of one machine; give cuda"),
    ):
        with pytest.raises(UsageError, match=problem):
            run(["xz"], [CORPUS], options=RunOptions(output=tmp_path, **fields))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"ray is not installed: pip install 'evalkit-bpb\[ray\]'"):
        run(["xz"], [CORPUS], options=RunOptions(output=tmp_path, engine="ray"))
