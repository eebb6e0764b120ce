from pathlib import Path

import pytest

from evalkit.errors import ModelError, UsageError
from evalkit.models.loading import LocatedModel
from evalkit.models.protocol import LoadOptions
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.runner.plan import places_of_run, work_of
from evalkit.runner.reporter import Silent
from evalkit.runner.shards import Shard, Work, parse_shard, places_of_shard
from tests.support.toys import BigramModel, cell_files, corpus_of, identity


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_every_cell_is_in_one_shard_and_no_shard_has_much_more_than_a_share(count: int) -> None:
    works = [Work(model, 1 + (7 * model + corpus) % 5) for model in range(12) for corpus in range(4)]
    shards = [places_of_shard(works, Shard(number, count)) for number in range(1, count + 1)]
    assert sorted(place for places in shards for place in places) == list(range(48))
    loads = [sum(works[place].amount for place in places) for places in shards]
    largest = max(works, key=lambda work: work.amount).amount
    share = sum(work.amount for work in works) / count
    assert max(loads) <= 2 * share + largest


def test_models_stay_whole_where_that_is_fair() -> None:
    works = [Work(model, 1.0) for model in "abcd" for _ in range(5)]
    assert places_of_shard(works, Shard(1, 2)) == [*range(5), *range(10, 15)]
    assert places_of_shard(works, Shard(3, 4)) == list(range(10, 15))


def test_there_may_be_far_more_shards_than_cells() -> None:
    works = [Work("a", 1.0), Work("b", 2.0)]
    count = 10**12
    assert [places_of_shard(works, Shard(number, count)) for number in (1, 2, 3, count)] == [[1], [0], [], []]


def test_one_model_is_cut_for_several_machines() -> None:
    works = [Work("only", 1.0) for _ in range(6)]
    assert [places_of_shard(works, Shard(number, 3)) for number in (1, 2, 3)] == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "1", "1/", "/2", "a/b", "-1/2", "1/2/3", "1/0", "²/3", "", f"1/{'9' * 5000}"]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"give e\.g\. 1/4"):
        parse_shard(text)
    assert parse_shard("4/4") == Shard(4, 4)


def test_shards_of_a_run_make_the_cells_of_the_whole(tmp_path: Path) -> None:
    models = [BigramModel(f"model-{number}", number) for number in range(3)]
    corpora = [corpus_of(["text " * size], f"corpus-{size}") for size in (1, 5)]
    for number in (1, 2):
        options = RunOptions(output=tmp_path / "shards", shard=Shard(number, 2))
        result = run(models, corpora, options=options)
        assert 0 < result.num_scored < 6
    run(models, corpora, options=RunOptions(output=tmp_path / "whole"))
    names = [
        [path.relative_to(tmp_path / of) for path in cell_files(tmp_path / of)] for of in ("shards", "whole")
    ]
    assert names[0] == names[1]
    assert len(names[0]) == 6
    [empty] = [run(models[:1], corpora[:1], options=RunOptions(output=tmp_path, shard=Shard(2, 2)))]
    assert empty.cells == ()


def test_work_is_size_times_parameters_and_an_unknown_size_is_told() -> None:
    def located(name: str, problem: ModelError | None = None, **details: int) -> LocatedModel:
        named = identity(name, details=details)
        return LocatedModel(named, None, LoadOptions(), problem=problem)

    gone = ModelError("no hub")
    models = [
        located("small", num_parameters=2),
        located("large", num_parameters=10**9),
        located("compressor"),
        located("stated", gone, num_parameters=5),
        located("unknown", gone),
    ]
    assert [work_of(model, 3) for model in models] == [6.0, 3e9, 3e6, 15.0, 3e6]
    lines: list[str] = []
    reporter = Silent()
    reporter.message = lines.append  # type: ignore[method-assign]
    cells = [(model, work_of(model, 3)) for model in models]
    assert list(places_of_run(cells, RunOptions(reporter=reporter))) == [0, 1, 2, 3, 4]
    assert lines == []
    assert list(places_of_run(cells, RunOptions(reporter=reporter, shard=Shard(1, 2)))) == [1]
    [line] = lines
    assert line.startswith("unknown: its size is not known here (no hub), and --shard cuts plans by size")
