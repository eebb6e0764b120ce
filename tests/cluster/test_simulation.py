"""The simulation in small, and what the schedule of a run reads of claims."""

from pathlib import Path
from typing import Any

import pytest

from evalkit.models.loading import LocatedModel
from evalkit.models.protocol import LoadOptions
from evalkit.runner import loop
from evalkit.runner.loop import Schedule
from evalkit.runner.options import RunOptions
from evalkit.runner.plan import PlannedCell
from tests.cluster.simulation import WholeModels, simulate
from tests.support.toys import identity


@pytest.mark.parametrize(
    ("shape", "mean_life_h", "most"),
    [((24, 10, 8), 1e9, 1.05), ((24, 10, 8), 0.5, 1.25), ((2, 20, 8), 1e9, 1.17)],
)
def test_gpus_end_at_about_the_same_time_also_where_they_fail(
    shape: tuple[int, int, int], mean_life_h: float, most: float
) -> None:
    made = simulate(*shape, mean_life_h)
    assert (made.num_finished, made.num_finished_twice) == (shape[0] * shape[1], 0)
    assert 1 <= made.makespan_s / made.bound_s <= most
    assert (made.num_lost > 0) is (mean_life_h < 1e6)


def test_models_that_stay_whole_take_as_long_as_the_largest() -> None:
    whole, shared = (simulate(2, 20, 8, 1e9, scheduling=kind) for kind in (WholeModels, Schedule))
    assert whole.num_finished == shared.num_finished == 40
    assert whole.makespan_s > 2 * shared.makespan_s


def planned(model: int, sizes: list[float]) -> list[PlannedCell[Any]]:
    located = LocatedModel(identity(f"model-{model}"), None, LoadOptions())

    def nothing(*_: object) -> None:
        return None

    return [
        PlannedCell(located, f"corpus-{n}", 1, "", Path(f"/none/{model}/{n}"), None, nothing, nothing, size)
        for n, size in enumerate(sizes)
    ]


def test_a_model_is_cut_where_it_is_more_than_an_equal_share() -> None:
    schedule = Schedule([*planned(0, [1.0]), *planned(1, [4, 4, 4, 4]), *planned(2, [2, 1])], RunOptions())
    schedule.share_out(2)
    pieces = []
    while piece := schedule.next():
        pieces.append([(cell.model, cell.subject) for cell in piece])
    assert pieces == [
        [("model-1", "corpus-0"), ("model-1", "corpus-1")],
        [("model-1", "corpus-2")],
        [("model-1", "corpus-3")],
        [("model-2", "corpus-0")],
        [("model-2", "corpus-1")],
        [("model-0", "corpus-0")],
    ]


def test_claims_are_read_of_the_models_that_are_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(loop, "is_claimed", lambda path: bool(read.append(path)))
    schedule = Schedule([cell for model in range(50) for cell in planned(model, [1.0] * 4)], RunOptions())
    for _ in range(10):
        assert len(schedule.next()) == 4
    assert len(read) == 40
