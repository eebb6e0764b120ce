"""Whatever lies under a cell's name and is not that cell: a run sets it aside, names it and scores again.

Digests are right in all of these: they are what another program, or somebody's hand, may have written.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.analysis.results import read_results
from evalkit.cells.files import content_sha256
from evalkit.errors import EvalkitError
from evalkit.files import strict_json
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.runner.reporter import Silent
from tests.support.cells import probe_content, write_cell_files
from tests.support.toys import TEXTS, BigramModel, cell_files, corpus_of, snapshot

CORPUS = corpus_of(TEXTS)
MODELS = [BigramModel("a"), BigramModel("b", 1)]


class Told(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def rewritten(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """The same rows beside a JSON that says something else."""

    def damage(cell: Path) -> None:
        content = json.loads(cell.read_text())
        change(content)
        write_cell_files(cell, content, pq.read_table(cell.with_suffix(".parquet")))

    return damage


def with_rows(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def damage(cell: Path) -> None:
        table = pq.read_table(cell.with_suffix(".parquet"))
        write_cell_files(cell, json.loads(cell.read_text()), change(table))

    return damage


def _less(content: dict[str, Any]) -> None:
    content["metrics"]["bits_per_byte"] /= 2


def _other_weights(content: dict[str, Any]) -> None:
    content["model"]["weights_sha256"] = "ab" * 32


def _other_policy(content: dict[str, Any]) -> None:
    content["policy"]["name"] = "uncheatable"


def _limited(content: dict[str, Any]) -> None:
    content["corpus"]["limit"] = 2


def _text_for_a_number(content: dict[str, Any]) -> None:
    content["totals"]["total_bits"] = "many"


def _no_corpus(content: dict[str, Any]) -> None:
    del content["corpus"]


def _to_come(content: dict[str, Any]) -> None:
    content["schema_version"] = 99


def _unknown_kind(content: dict[str, Any]) -> None:
    content["kind"] = "poem"


def _of_the_other_model(cell: Path) -> None:
    [source] = [path for path in cell_files(cell.parents[2]) if path.parent != cell.parent]
    for suffix in (".json", ".parquet"):
        cell.with_suffix(suffix).write_bytes(source.with_suffix(suffix).read_bytes())


def _of_other_texts(cell: Path) -> None:
    texts = corpus_of([text + "!" for text in TEXTS])
    [foreign] = run([MODELS[1]], [texts], options=RunOptions(output=cell.parents[3] / "foreign")).cells
    for suffix in (".json", ".parquet"):
        cell.with_suffix(suffix).write_bytes(foreign.path.with_suffix(suffix).read_bytes())


def _of_a_probe(cell: Path) -> None:
    write_cell_files(cell, probe_content())


def _no_parquet(cell: Path) -> None:
    rows = b"PAR1 cut"
    cell.with_suffix(".parquet").write_bytes(rows)
    content = json.loads(cell.read_text())
    content["documents"]["parquet_sha256"] = hashlib.sha256(rows).hexdigest()
    cell.write_text(strict_json({**content, "sha256": content_sha256(content)}))


def _folder(cell: Path) -> None:
    cell.unlink()
    cell.mkdir()


def _link_to_nothing(cell: Path) -> None:
    cell.unlink()
    cell.symlink_to("nothing")


FOREIGN: dict[str, tuple[Callable[[Path], None], str]] = {
    "other sum": (rewritten(_less), "is no cell: metrics.bits_per_byte is "),
    "other weights": (rewritten(_other_weights), "is no cell: its weights is 'abab"),
    "other policy": (rewritten(_other_policy), "is no cell: its policy is 'uncheatable', its key says 'doc"),
    "a limited run": (rewritten(_limited), "is no cell: its limit is 2, its key says None"),
    "other type": (rewritten(_text_for_a_number), "is no cell: totals.total_bits must be a number"),
    "no corpus": (rewritten(_no_corpus), "is no cell: corpus"),
    "a schema to come": (rewritten(_to_come), "is not a cell of schema 1 or 2"),
    "unknown kind": (rewritten(_unknown_kind), "is no cell: kind is 'poem'"),
    "another model's": (_of_the_other_model, "is no cell: its weights is "),
    "of other texts": (_of_other_texts, "is no cell: its corpus is "),
    "a probe's": (_of_a_probe, "is no cell: it is of a trained probe, not of a corpus"),
    "fewer rows": (with_rows(lambda table: table[:-1]), "is no cell: it has 6 rows"),
    "no column": (with_rows(lambda table: table.drop_columns(["cluster"])), "have 0 columns cluster"),
    "no Parquet": (_no_parquet, "no Parquet file that can be read"),
    "a folder": (_folder, "is no file"),
    "a link to nothing": (_link_to_nothing, "is no file"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_run_scores_again_and_keeps_what_lay_there(name: str, tmp_path: Path) -> None:
    damage, says = FOREIGN[name]
    output = tmp_path / "runs"
    before = run(MODELS, [CORPUS], options=RunOptions(output=output))
    first, second = (cell.path for cell in before.cells)
    damage(second)
    untouched = snapshot(first.parent)
    damaged = {path.name: path.read_bytes() for path in second.parent.iterdir() if path.is_file()}

    planned, told = Told(), Told()
    dry = RunOptions(output=output, dry_run=True, reporter=planned)
    assert run(MODELS, [CORPUS], options=dry).num_scored == 0
    assert {path.name: path.read_bytes() for path in second.parent.iterdir() if path.is_file()} == damaged
    again = run(MODELS, [CORPUS], options=RunOptions(output=output, reporter=told))
    assert (again.num_scored, again.failures) == (1, ())
    for messages, ending in (
        (planned.messages, "it will be moved aside and scored again"),
        (told.messages, f"it was moved to {second.name}.damaged and is scored again"),
    ):
        [line] = messages
        assert line.startswith(f"{second} ") and says in line and line.endswith(f"; {ending}")
    assert [cell.totals for cell in again.cells] == [cell.totals for cell in before.cells]
    assert snapshot(first.parent) == untouched
    aside = {
        path.name.removesuffix(".damaged"): path.read_bytes()
        for path in second.parent.glob("*.damaged")
        if path.is_file()
    }
    assert aside == damaged
    # What was set aside is no cell to whoever reads results, and the next run has nothing to do.
    assert len(read_results(output, warn=pytest.fail).cells) == 2
    assert run(MODELS, [CORPUS], options=RunOptions(output=output)).num_scored == 0


def test_a_contradiction_is_left_out_of_a_report_and_named(tmp_path: Path) -> None:
    cells = run(MODELS, [CORPUS], options=RunOptions(output=tmp_path)).cells
    rewritten(_less)(cells[1].path)
    told: list[str] = []
    assert len(read_results(tmp_path, warn=told.append).cells) == 1
    [line] = told
    assert line.startswith(f"left out: {cells[1].path.relative_to(tmp_path)} is no cell: metrics.bits_per")


def test_of_another_generation_only_what_is_a_cell_is_accepted(tmp_path: Path) -> None:
    [cell] = run(MODELS[:1], [CORPUS], options=RunOptions(output=tmp_path)).cells
    rewritten(_less)(cell.path)
    elsewhere = cell.path.with_stem("0" * 24)
    for suffix in (".json", ".parquet"):
        cell.path.with_suffix(suffix).rename(elsewhere.with_suffix(suffix))
    told = Told()
    options = RunOptions(output=tmp_path, accept_versions=True, reporter=told)
    assert run(MODELS[:1], [CORPUS], options=options).num_scored == 1
    [line] = told.messages
    assert line.startswith(f"{elsewhere} is no cell: metrics.bits_per_byte") and line.endswith(
        "; passed over"
    )
    assert elsewhere.is_file()


def test_what_cannot_be_read_fails_its_own_cell_alone(tmp_path: Path) -> None:
    cells = run(MODELS, [CORPUS], options=RunOptions(output=tmp_path)).cells
    parquet = cells[0].path.with_suffix(".parquet")
    parquet.unlink()
    parquet.symlink_to("/proc/self/mem")  # a file whose first byte is an input/output error
    cells[1].path.unlink()
    told = Told()
    again = run(MODELS, [CORPUS], options=RunOptions(output=tmp_path, reporter=told))
    assert [cell.model.name for cell in again.cells] == ["b"] and again.num_scored == 1
    [failure] = again.failures
    assert failure.model == "a" and failure.reason.startswith(f"{cells[0].path} and its .parquet cannot be")
    assert cells[0].path.is_file() and parquet.is_symlink()
    assert len(told.messages) == 1
    with pytest.raises(EvalkitError, match="cannot be read"):
        run(MODELS, [CORPUS], options=RunOptions(output=tmp_path, debug=True))


def test_a_pipe_in_place_of_rows_is_set_aside(tmp_path: Path) -> None:
    [cell] = run(MODELS[:1], [CORPUS], options=RunOptions(output=tmp_path)).cells
    parquet = cell.path.with_suffix(".parquet")
    for path in (cell.path, parquet):
        path.unlink()
    os.mkfifo(parquet)
    assert run(MODELS[:1], [CORPUS], options=RunOptions(output=tmp_path)).num_scored == 1
    assert parquet.is_file() and parquet.with_name(f"{parquet.name}.damaged").is_fifo()
