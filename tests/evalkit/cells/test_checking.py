"""A cell whose digests are right and whose numbers are not: it is refused by the field that is wrong."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.analysis.results import read_results
from evalkit.cells.files import content_sha256
from evalkit.cells.reading import read_cell
from evalkit.cells.schema import content_of
from evalkit.errors import ScoringError, UsageError
from evalkit.files import file_sha256, strict_json
from tests.support.cells import (
    corpus_content,
    corpus_table,
    probe_content,
    table_of,
    task_content,
    write_cell_files,
)
from tests.support.toys import run_cli

Change = Callable[[pa.Table], pa.Table]


def with_column(name: str, values: Any, kind: pa.DataType) -> Change:
    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.column_names.index(name), name, pa.array(values, kind))

    return change


def refusal(folder: Path, content: dict[str, Any], table: pa.Table | None = None) -> str:
    write_cell_files(folder / "cell.json", content, table)
    with pytest.raises(ScoringError) as caught:
        read_cell(folder / "cell.json")
    message = str(caught.value)
    assert message.startswith(f"{folder / 'cell.json'} is no cell: ") and "\n" not in message
    assert message.endswith("; move it away and run again")
    return message.removeprefix(f"{folder / 'cell.json'} is no cell: ").partition(";")[0]


def test_a_cell_beside_its_own_rows_is_read(tmp_path: Path) -> None:
    for content in (corpus_content(), task_content(), probe_content()):
        written = write_cell_files(tmp_path / "cell.json", content)
        assert content_of(read_cell(tmp_path / "cell.json")) == written


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("metrics.bits_per_byte", 0.1, r"metrics\.bits_per_byte is 0\.1, the totals give 1\.02425"),
        ("totals.total_bits", 50.0, r"metrics\.bits_per_byte is 1\.02425, the totals give 0\.1"),
        ("metrics.compression_rate_percent", 1.0, "the totals give 12.80"),
        ("metrics.tokens_per_s", None, r"metrics\.tokens_per_s is None, the totals give 50\.0"),
        ("metrics.bytes_per_s", 1e9, r"the totals give 200\.0"),
        ("metrics.bits_per_byte_low", None, "no interval"),
        ("metrics.bits_per_byte_low", 3.0, "no interval"),
        ("metrics.num_clusters", 3, r"metrics\.num_clusters is 3, its rows give 2"),
        ("totals.num_documents", 0, "no document"),
        ("totals.num_documents", 3, "its rows give 2"),
        ("totals.num_bytes", 0, "no byte"),
        ("totals.num_tokens", 126, r"metrics\.tokens_per_s is 50\.0"),
        ("corpus.num_documents", 4, r"corpus\.licenses are not those of 4 documents"),
        ("corpus.num_bytes", 601, r"corpus\.num_bytes is 601, its rows give 600"),
        ("corpus.sha256", "ab" * 32, r"corpus\.sha256 is not that of its rows' documents"),
        ("corpus.licenses", {"MIT": 4, "x": -1}, r"corpus\.licenses are not those of 3 documents"),
        ("corpus.date_from", "2026-13-01", r"corpus\.date_from: '2026-13-01' is no date"),
        ("corpus.date_to", "yesterday", r"corpus\.date_to: 'yesterday' is no date"),
        ("corpus.date_to", "2026-09-30", r"corpus\.date_from lies after date_to"),
        ("documents.num_lossy", 0, r"documents\.num_lossy is 0, its rows give 1"),
        ("documents.lossy", [], r"documents\.lossy is \[\], its rows give"),
        ("created", "today", "created is 'today', which is no time"),
    ],
)
def test_a_number_that_is_not_that_of_the_rows_is_refused(
    tmp_path: Path, place: str, value: Any, says: str
) -> None:
    content = corpus_content()
    *parents, name = place.split(".")
    part = content
    for parent in parents:
        part = part[parent]
    part[name] = value
    message = refusal(tmp_path, content)
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(message)


ROWS: dict[str, tuple[Change, str]] = {
    "no column": (lambda table: table.drop_columns(["total_bits"]), "have 0 columns total_bits"),
    "a column twice": (
        lambda table: table.append_column("title", table["title"]),
        "have 2 columns title",
    ),
    "another column": (lambda table: table.append_column("x", table["title"]), "x of its rows is unknown"),
    "another type": (with_column("num_bytes", ["a"] * 3, pa.string()), "type string, not int64"),
    "bytes": (with_column("title", [b"\xff"] * 3, pa.binary()), "type binary, not string"),
    "a row more": (lambda table: pa.concat_tables([table, table[:1]]), "it has 4 rows"),
    "no rows": (lambda table: table[:0], "it has 0 rows"),
    "other order": (lambda table: table.take([1, 0, 2]), "corpus.sha256 is not that of"),
    "other text": (with_column("sha256", ["12" * 32] * 3, pa.string()), "corpus.sha256 is not that of"),
    "no id": (with_column("id", ["first", None, "third"], pa.string()), "a row has no id"),
    "no bytes": (with_column("num_bytes", [300, 0, 300], pa.int64()), "without bytes"),
    "NaN": (with_column("total_bits", [300.125, math.nan, 212.0], pa.float64()), "is NaN"),
    "infinite": (
        with_column("total_bits", [math.inf, None, 212.0], pa.float64()),
        "less than 0, or infinite",
    ),
    "negative": (with_column("total_bits", [-300.0, None, 812.125], pa.float64()), "less than 0, or inf"),
    "other bits": (with_column("total_bits", [300.0, None, 212.0], pa.float64()), "its rows give 512.0"),
    "one scored more": (
        with_column("total_bits", [300.125, 0.0, 212.0], pa.float64()),
        "totals.num_documents is 2, its rows give 3",
    ),
    "a day that is none": (
        with_column("published_at", ["2026-02-30", None, None], pa.string()),
        "published_at: '2026-02-30' is no date",
    ),
    "bits of tokens": (
        with_column("token_bits", [[4.0] * 75, None, [4.0] * 50], pa.list_(pa.float32())),
        "do not add up to its total_bits",
    ),
    "ends of tokens": (
        with_column("token_ends", [[*range(74), 299], None, [*range(49), 200]], pa.list_(pa.int64())),
        "do not end at its document's end",
    ),
    "ends that fall": (
        with_column("token_ends", [[*range(73), 10, 300], None, [*range(49), 200]], pa.list_(pa.int64())),
        "do not end at its document's end",
    ),
    "fewer ends": (
        with_column("token_ends", [[300], None, [200]], pa.list_(pa.int64())),
        "have not as many ends as bits",
    ),
    "no tokens": (
        lambda table: with_column("token_ends", [None] * 3, pa.list_(pa.int64()))(
            with_column("token_bits", [None] * 3, pa.list_(pa.float32()))(table)
        ),
        "a row has no tokens",
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_another_shape_are_refused(tmp_path: Path, name: str) -> None:
    change, says = ROWS[name]
    assert says in refusal(tmp_path, corpus_content(), change(corpus_table()))


def test_a_parquet_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    whole = write_cell_files(path, corpus_content())
    rows = path.with_suffix(".parquet").read_bytes()
    for content in (b"", b"PAR1", rows[:-9], rows[: len(rows) // 2] + rows[-8:], b"PAR1" * 99):
        path.with_suffix(".parquet").write_bytes(content)
        documents = {**whole["documents"], "parquet_sha256": file_sha256(path.with_suffix(".parquet"))}
        fields = {**whole, "documents": documents}
        path.write_text(strict_json({**fields, "sha256": content_sha256(fields)}))
        with pytest.raises(ScoringError, match="is no cell: its rows are no Parquet file that can be read"):
            read_cell(path)


@pytest.mark.parametrize(
    ("name", "value"), [("token_accuracy", 0.9), ("sequence_accuracy", 0.2), ("last_position_accuracy", 0.0)]
)
def test_accuracies_of_a_probe_are_those_of_its_rows(tmp_path: Path, name: str, value: float) -> None:
    content = copy.deepcopy(probe_content())
    table = table_of(content)
    content["tests"]["512"][name] = value
    assert f"tests.512.{name} is {value}, its rows give" in refusal(tmp_path, content, table)
    content = probe_content()
    assert "tests.512.num_items is 1000, it has 999 rows" in refusal(tmp_path, content, table[:-1])
    del content["tests"]["512"]
    assert "its rows have the test '512', and tests do not" in refusal(tmp_path, content, table)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_single_number_of_a_row_can_be_changed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever is written in the place of any number, id or digest: the cell is refused, or says the same."""
    table = corpus_table()
    name = data.draw(st.sampled_from(["id", "sha256", "num_bytes", "num_tokens", "total_bits"]))
    kind = table.schema.field(name).type
    values = table[name].to_pylist()
    place = data.draw(st.integers(0, 2))
    replacements = {
        pa.string(): st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        pa.int64(): st.none() | st.integers(-(2**62), 2**62),
        pa.float64(): st.none() | st.floats(),
    }
    value = data.draw(replacements[kind].filter(lambda value: value != values[place]))
    if isinstance(value, float) and values[place] and math.isclose(value, values[place], rel_tol=1e-6):
        return  # sums are compared to 1e-9: another program may have added up in another order
    if name == "num_tokens" and place == 1:
        return  # of a document that was not scored: counts nowhere
    values[place] = value
    refusal(tmp_path_factory.mktemp("cell"), corpus_content(), with_column(name, values, kind)(table))


def test_a_report_leaves_out_what_is_no_cell_and_names_it(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name, (change, _) in ROWS.items():
        write_cell_files(runs / name / "cell.json", corpus_content(), change(corpus_table()))
    forged = corpus_content()
    forged["metrics"]["bits_per_byte"] = 0.1
    write_cell_files(runs / "forged" / "cell.json", forged)
    (tmp_path / "empty").mkdir()
    for folder, problem in (
        (runs, r"holds no whole cell that could be shown: .*; score again, or give another folder$"),
        (tmp_path / "empty", r"holds no whole cell; give the folder that `evalkit run --output` wrote$"),
    ):
        with pytest.raises(UsageError, match=problem):
            read_results(folder, warn=lambda _: None)
    write_cell_files(runs / "whole" / "cell.json", corpus_content())
    results = read_results(runs, warn=lambda _: None)
    assert [cell.path.parent.name for cell in results.cells] == ["whole"]
    assert {left_out.path.partition("/")[0] for left_out in results.left_out} == {*ROWS, "forged"}
    done = run_cli("report", runs, "--output", tmp_path / "site", "--no-plots")
    assert done.exit_code == 0, done.stderr
    assert (
        "left out: forged/cell.json is no cell: metrics.bits_per_byte is 0.1, the totals give" in done.stderr
    )
    assert "cells: 1" in done.stdout


def test_a_cell_that_gives_a_text_another_length_is_left_out(tmp_path: Path) -> None:
    for name in ("a", "b"):
        content = corpus_content()
        content["model"]["name"] = name
        write_cell_files(tmp_path / "runs" / f"{name}.json", content)
    content, table = corpus_content(), corpus_table()
    content["documents"]["token_bits"] = False
    table = table.drop_columns(["token_bits", "token_ends"])
    table = with_column("num_bytes", [299, 100, 201], pa.int64())(table)
    write_cell_files(tmp_path / "runs" / "0.json", content, table)
    warnings: list[str] = []
    results = read_results(tmp_path / "runs", warn=warnings.append)
    assert warnings == [
        "left out: 0.json gives a document another num_bytes than most cells of its corpus do"
    ]
    assert [cell.model.name for cell in results.cells] == ["a", "b"]
    assert results.corpora[0].num_bytes.tolist() == [300, 100, 200]


def test_rows_are_read_without_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow waits for ever for a pool that cannot be made."""
    write_cell_files(tmp_path / "cell.json", corpus_content())
    monkeypatch.setattr(pq, "read_table", None)
    assert read_cell(tmp_path / "cell.json").kind == "corpus"
