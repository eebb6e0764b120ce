"""Typed cells: what is committed reads back to the byte, and nothing but a cell is read as one."""

import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.cells.files import content_sha256
from evalkit.cells.probe_schema import ProbeCell
from evalkit.cells.reading import cell_of, read_cell, read_cell_of, read_corpus_cell
from evalkit.cells.schema import CorpusCell, TaskCell, content_of
from evalkit.errors import ScoringError
from evalkit.files import strict_json
from tests.support.cells import corpus_content, probe_content, task_content, write_cell_files
from tests.support.toys import OLDER_CELLS, ROOT

COMMITTED = [
    path
    for folder in (ROOT / "results" / "cells", OLDER_CELLS)
    for path in sorted(folder.rglob("*.json"))
    if path.name != "manifest.json"
]


@pytest.mark.parametrize("cls", [CorpusCell, ProbeCell])
def test_committed_cells_of_every_schema_read_back_to_the_byte(cls: type) -> None:
    cells = [cell for cell in map(read_cell, COMMITTED) if type(cell) is cls]
    assert sum(cell.schema_version == 1 for cell in cells) >= 36
    for cell in cells:
        assert strict_json(content_of(cell)) == cell.path.read_text(encoding="utf-8")


def test_numbers_of_a_cell_are_those_of_the_file() -> None:
    [path] = (ROOT / "results" / "cells" / "python-stdlib" / "rwkv7-nano").glob("*.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    cell = read_cell(path)
    assert isinstance(cell, CorpusCell)
    assert cell.path == Path(path)
    assert cell.bits_per_byte == cell.metrics.bits_per_byte == content["metrics"]["bits_per_byte"]
    assert cell.totals.total_bits == content["totals"]["total_bits"]
    assert cell.model.num_parameters == content["model"]["num_parameters"]
    assert cell.policy.prefix_ids == tuple(content["policy"]["prefix_ids"])
    assert cell.environment.torch is not None
    assert cell.environment.torch.num_threads == content["environment"]["num_threads"]
    rows = cell.rows()
    assert sum(row.total_bits for row in rows if row.total_bits is not None) == pytest.approx(
        cell.totals.total_bits, rel=1e-12
    )
    assert sum(row.num_bytes for row in rows) == cell.totals.num_bytes


def test_each_kind_reads_back_as_it_was_written(folder: Path) -> None:
    for kind, cls in (("corpus", CorpusCell), ("task", TaskCell), ("trained-probe", ProbeCell)):
        cell = read_cell(folder / f"{kind}.json")
        assert (type(cell), cell.kind, cell.schema_version) == (cls, kind, 2)
        assert strict_json(content_of(cell)) == cell.path.read_text(encoding="utf-8")


def test_cells_of_schema_1_are_told_apart_without_a_kind(tmp_path: Path) -> None:
    """Cells of corpora had none, and a task's was ``probe``."""
    corpus, task = ({**content, "schema_version": 1} for content in (corpus_content(), task_content()))
    del corpus["kind"]
    task["kind"] = "probe"
    for content, cls in ((corpus, CorpusCell), (task, TaskCell)):
        written = write_cell_files(tmp_path / "cell.json", content)
        cell = read_cell(tmp_path / "cell.json")
        assert type(cell) is cls
        assert content_of(cell) == written


def test_a_trained_probe_from_before_parities_has_none(tmp_path: Path) -> None:
    content = {**probe_content(), "schema_version": 1}
    for test in content["tests"].values():
        for name in ("parity_accuracy", "parity_accuracy_low", "parity_accuracy_high"):
            del test[name]
    written = write_cell_files(tmp_path / "cell.json", content)
    cell = read_cell_of(ProbeCell, tmp_path / "cell.json")
    assert {test.parity for test in cell.tests.values()} == {None}
    assert content_of(cell) == written


def test_facts_that_are_absent_are_not_known(tmp_path: Path) -> None:
    content = corpus_content()
    for name in FACTS:
        del content["model"][name]
    content["environment"] = {
        name: value for name, value in content["environment"].items() if name not in TORCH
    }
    written = write_cell_files(tmp_path / "cell.json", content)
    cell = read_corpus_cell(tmp_path / "cell.json")
    assert (cell.model.num_parameters, cell.model.released, cell.environment.torch) == (None, None, None)
    assert cell.model.details == {name: content["model"][name] for name in OPEN_FACTS}
    assert content_of(cell) == written


def test_a_cell_of_another_kind_is_refused_by_name(folder: Path) -> None:
    path = folder / "task.json"
    with pytest.raises(ScoringError, match=r"task\.json is a cell of a task; give one of a corpus"):
        read_corpus_cell(path)
    with pytest.raises(ScoringError, match=r"task\.json is a cell of a task; give one of a trained probe"):
        read_cell_of(ProbeCell, path)


def test_a_cell_is_found_whole_under_another_name_of_its_model(folder: Path) -> None:
    cell = read_corpus_cell(folder / "corpus.json")
    renamed = dataclasses.replace(cell, model=dataclasses.replace(cell.model, name="another"))
    assert content_of(renamed)["model"] == {**CONTENTS["corpus"]["model"], "name": "another"}


# --- what a cell must say, and nothing else

Place = tuple[str | int, ...]
CONTENTS: dict[str, dict[str, Any]] = {
    "corpus": corpus_content(),
    "task": task_content(),
    "trained-probe": probe_content(),
}
FACTS = {"num_parameters", "released", "license", "target"}
"""Facts of a model that may be absent, of those in the contents."""
OPEN_FACTS = {"vocabulary", "is_quantized", "scale", "adapter"}
"""What only the model's loader knows."""
OPEN = {"licenses", "packages", "tests", "further"}
"""Objects with whatever names, whose values are of one type."""
NULLABLE = FACTS | {"revision", "date_from", "gpu", "cuda", "baseline"}
DIGESTED = {"schema_version", "status", "parquet_sha256", "documents", "items"}
"""Looked at before the schema is: what is wrong with them is told of the file."""
TORCH = {"device", "gpu", "cuda", "num_threads", "cpu_capability", "cpu_float32_gemm", "wkv7_cpu"}
WRONG: dict[type, list[Any]] = {
    str: [7, 0.5, True, [], {}, None],
    int: ["7", True, [], {}, 0.5],
    float: ["0.5", True, [], {}],
    bool: ["true", 1, 0.0, [], {}, None],
    type(None): [True, [], {}],
    list: ["text", 7, True, {}],
    dict: ["text", 7, True, []],
}
"""By the type of a value: what must not be in its place. A whole number is a number, and may be."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole cell of each kind."""
    folder = tmp_path_factory.mktemp("cells")
    for kind, content in CONTENTS.items():
        write_cell_files(folder / f"{kind}.json", content)
    return folder


def places(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every field of a cell, and every entry of its lists, but for what a task says in its own words."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield (*place, name), part
        if name != "details":
            yield from places(part, (*place, name))


PLACES = {kind: list(places(content)) for kind, content in CONTENTS.items()}
kinds = st.sampled_from(sorted(CONTENTS))


def dotted(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def changed(folder: Path, kind: str, place: Place, value: Any) -> Path:
    """A cell with another value in one place (`...`: with nothing there), and a digest that fits."""
    whole = folder / f"{kind}.json"
    content = json.loads(whole.read_text(encoding="utf-8"))
    *parents, name = place
    part = content
    for parent in parents:
        part = part[parent]
    if value is ...:
        del part[name]
    else:
        part[name] = copy.deepcopy(value)
    path = folder / "changed.json"
    path.with_suffix(".parquet").write_bytes(whole.with_suffix(".parquet").read_bytes())
    path.write_text(strict_json({**content, "sha256": content_sha256(content)}), encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ScoringError) as caught:
        read_cell(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ") and message.endswith("; move it away and run again")
    assert "\n" not in message
    return message


@settings(deadline=None)
@given(kind=kinds, data=st.data())
def test_no_field_may_be_missing(folder: Path, kind: str, data: st.DataObject) -> None:
    required = [
        place
        for place, _ in PLACES[kind]
        if isinstance(place[-1], str) and not OPEN & set(place[-2:-1]) and place[-1] not in FACTS | OPEN_FACTS
    ]
    if kind == "trained-probe":
        required.append(("model", "num_parameters"))
    place = data.draw(st.sampled_from(required))
    message = refusal(changed(folder, kind, place, ...))
    assert place[-1] in DIGESTED or f": {dotted(place)} is missing;" in message


@settings(deadline=None)
@given(kind=kinds, data=st.data(), value=st.sampled_from([None, 1, 0.5, "text", True, [1], {"a": 1}]))
def test_no_field_may_be_added(folder: Path, kind: str, data: st.DataObject, value: Any) -> None:
    closed = [place for place, part in PLACES[kind] if isinstance(part, dict) and place[-1] not in OPEN]
    place = data.draw(st.sampled_from([(), *closed]))
    if place == ("details",) or (place == ("model",) and kind != "trained-probe"):
        return
    message = refusal(changed(folder, kind, (*place, "unforeseen"), value))
    assert f": {dotted((*place, 'unforeseen'))} is unknown;" in message


@settings(deadline=None)
@given(kind=kinds, data=st.data())
def test_every_value_is_of_its_type(folder: Path, kind: str, data: st.DataObject) -> None:
    place, value = data.draw(st.sampled_from(PLACES[kind]))
    wrong = WRONG[type(value)]
    if place[-1] in OPEN_FACTS:
        wrong = [[], {"a": 1}]  # whatever scalar
    elif place[-1] in NULLABLE or "further" in place:
        wrong = wrong[:-1] if value is not None else wrong
    replacement = data.draw(st.sampled_from(wrong))
    message = refusal(changed(folder, kind, place, replacement))
    assert place[-1] in DIGESTED or f": {dotted(place)} " in message


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize("place", [("metrics", "bits_per_byte"), ("totals", "total_bits"), ("seconds",)])
def test_what_is_no_number_is_refused_by_name(folder: Path, place: Place, number: float) -> None:
    """Also where no file is: a file with NaN in it is no JSON, and gets no digest."""
    content = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    part = content if len(place) == 1 else content[place[0]]
    part[place[-1]] = number
    with pytest.raises(
        ScoringError, match=rf"^x\.json is no cell: {'.'.join(map(str, place))} must be a number"
    ):
        cell_of(Path("x.json"), content)


@settings(deadline=None)
@given(
    bits=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**80), 2**80),
    num_bytes=st.integers(-(2**63), 2**63 - 1),
    low=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    losses=st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
    ),
    text=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_numbers_and_texts_read_back_as_they_were_written(
    folder: Path, bits: float, num_bytes: int, low: float | None, losses: list[tuple[int, float]], text: str
) -> None:
    def read(kind: str, place: Place, value: Any) -> Any:
        """Not from disk: nothing else says what these numbers would have to be."""
        path = changed(folder, kind, place, value)
        return cell_of(path, json.loads(path.read_text(encoding="utf-8")))

    corpus = read("corpus", ("totals", "total_bits"), bits)
    assert (corpus.totals.total_bits, type(corpus.totals.total_bits)) == (bits, type(bits))
    corpus = read("corpus", ("totals", "num_bytes"), num_bytes)
    assert corpus.totals.num_bytes == num_bytes
    corpus = read("corpus", ("metrics", "bits_per_byte_low"), low)
    assert corpus.metrics.bits_per_byte_low == low
    corpus = read("corpus", ("model", "remark"), text)
    assert corpus.model.details["remark"] == text
    assert strict_json(content_of(corpus)) == corpus.path.read_text(encoding="utf-8")
    probe = read("trained-probe", ("training", "history"), losses)
    assert probe.training.history == tuple(losses)
