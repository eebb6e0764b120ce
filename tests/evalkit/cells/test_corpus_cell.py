import dataclasses
import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from evalkit.cells import known as known_cells
from evalkit.cells.corpus_cell import CellSpec, find_cell, write_cell
from evalkit.cells.provenance import cell_environment
from evalkit.cells.reading import read_cell_of
from evalkit.cells.schema import CorpusCell, LossyDocument
from evalkit.errors import ModelError, ScoringError
from evalkit.fields import to_json
from evalkit.models.prefixes import prefix_under
from evalkit.models.protocol import Encoding
from evalkit.runner.corpora import run
from evalkit.runner.corpora_table import print_result
from evalkit.runner.options import RunOptions
from evalkit.runner.reporter import Silent
from evalkit.scoring.documents import score_documents
from tests.support.toys import PATIENCE_S, TEXTS, BigramModel, cell_files, corpus_of, snapshot

MODEL = BigramModel()
CORPUS = corpus_of(TEXTS)

CELL_KEYS = {
    "": [
        *("corpus", "created", "documents", "environment", "kind", "metrics", "model", "policy"),
        *("schema_version", "scorer_version", "seconds", "sha256", "status", "totals"),
    ],
    "corpus": [
        *("date_from", "date_to", "languages", "licenses", "limit", "name", "num_bytes", "num_documents"),
        *("records_sha256", "sha256", "sources"),
    ],
    "documents": ["lossy", "num_literal", "num_lossy", "parquet", "parquet_sha256", "token_bits"],
    "metrics": [
        *("bits_per_byte", "bits_per_byte_high", "bits_per_byte_low", "bytes_per_s"),
        *("compression_rate_percent", "confidence", "num_clusters", "tokens_per_s"),
    ],
    "model": ["dtype", "loader", "name", "revision", "tokenizer_sha256", "weights_sha256"],
    "policy": ["context_limit", "name", "prefix_ids", "prefix_rule"],
    "totals": ["num_bytes", "num_documents", "num_tokens", "total_bits"],
}
COLUMNS = {
    "id": "string",
    "sha256": "string",
    "title": "string",
    "cluster": "string",
    "num_bytes": "int64",
    "num_tokens": "int64",
    "total_bits": "double",
    "lossy": "string",
    "published_at": "string",
}
TOKEN_COLUMNS = {"token_bits": "list<element: float>", "token_ends": "list<element: int64>"}


def written(output: Path, model: BigramModel = MODEL, *, token_bits: bool = False) -> CorpusCell:
    result = run([model], [CORPUS], options=RunOptions(output=output), token_bits=token_bits)
    [cell] = result.cells
    return cell


class Literal(BigramModel):
    """Its tokenizer would lose something of every text with a 文 in it."""

    def encode(self, text: str) -> Encoding:
        return super().encode(text)._replace(is_literal="文" in text)


def spec(**changes: Any) -> CellSpec:
    return CellSpec(MODEL.identity, CORPUS, "document", None)._replace(**changes)


# --- what is in a cell


def test_documents_in_tokens_that_the_tokenizer_would_not_give_are_counted_and_marked(tmp_path: Path) -> None:
    num_literal = sum("文" in text for text in TEXTS)
    assert num_literal
    result = run([Literal()], [CORPUS], options=RunOptions(output=tmp_path))
    [cell] = result.cells
    assert cell.documents.num_literal == num_literal
    assert cell.documents.num_lossy == 0
    stream = io.StringIO()
    print_result(result, stream)
    assert (
        f"‡ {cell.model.name} on {CORPUS.name}: {num_literal} of {len(TEXTS)} documents" in stream.getvalue()
    )
    assert written(tmp_path / "ordinary").documents.num_literal == 0
    [of_codec] = run(["xz"], [CORPUS], options=RunOptions(output=tmp_path)).cells
    assert of_codec.documents.num_literal is None


def test_the_schema_is_frozen(tmp_path: Path) -> None:
    content = json.loads(written(tmp_path).path.read_text())
    assert (content["schema_version"], content["kind"]) == (2, "corpus")
    assert content["status"] == "success"
    for part, keys in CELL_KEYS.items():
        assert sorted(content[part] if part else content) == keys
    table = pq.read_schema(written(tmp_path).path.with_suffix(".parquet"))
    assert {field.name: str(field.type) for field in table} == COLUMNS
    with_tokens = written(tmp_path, token_bits=True).path.with_suffix(".parquet")
    assert {field.name: str(field.type) for field in pq.read_schema(with_tokens)} == COLUMNS | TOKEN_COLUMNS


def test_a_cell_lies_where_the_contract_says(tmp_path: Path) -> None:
    cell = written(tmp_path, BigramModel("owner/model name"))
    assert cell.path.parent == tmp_path / "corpus" / "owner-model-name"
    assert cell.path.stem == CellSpec(cell_identity(), CORPUS, "document", None).key()
    assert len(cell.path.stem) == 24


def cell_identity() -> Any:
    return BigramModel("owner/model name").identity


def test_the_numbers_are_those_of_a_plain_sum(tmp_path: Path) -> None:
    cell = written(tmp_path)
    bits = [MODEL.bits(text) for text in TEXTS]
    num_bytes = [len(text.encode()) for text in TEXTS]
    assert cell.totals.total_bits == pytest.approx(sum(bits), rel=1e-6)
    assert cell.totals.num_bytes == cell.totals.num_tokens == sum(num_bytes)
    metrics = cell.metrics
    assert metrics.bits_per_byte == pytest.approx(sum(bits) / sum(num_bytes), rel=1e-6)
    assert metrics.compression_rate_percent == 12.5 * metrics.bits_per_byte
    assert metrics.interval is not None
    assert metrics.interval.low < metrics.bits_per_byte < metrics.interval.high
    assert metrics.num_clusters == len(TEXTS)
    assert cell.policy.prefix_ids == (256,)
    rows = cell.rows()
    assert [row.total_bits for row in rows] == pytest.approx(bits, rel=1e-6)
    assert [row.num_bytes for row in rows] == num_bytes
    assert [row.cluster for row in rows] == [row.id for row in rows]


def test_token_bits_tile_the_document_and_add_up(tmp_path: Path) -> None:
    cell = written(tmp_path, token_bits=True)
    rows = pq.read_table(cell.path.with_suffix(".parquet")).to_pylist()
    for text, row in zip(TEXTS, rows, strict=True):
        assert row["token_ends"] == list(range(1, len(text.encode()) + 1))
        assert sum(row["token_bits"]) == pytest.approx(row["total_bits"], rel=1e-5)
        first = MODEL.table[256, text.encode()[0]] / np.log(2)
        assert row["token_bits"][0] == pytest.approx(first, rel=1e-5)


def test_a_token_that_is_not_paid_for_is_null(tmp_path: Path) -> None:
    [cell] = run(
        [MODEL], [CORPUS], options=RunOptions(output=tmp_path), token_bits=True, policy="uncheatable"
    ).cells
    rows = pq.read_table(cell.path.with_suffix(".parquet")).to_pylist()
    assert all(row["token_bits"][0] is None and None not in row["token_bits"][1:] for row in rows)


def test_a_document_that_cannot_be_represented_is_named_and_counts_nowhere(tmp_path: Path) -> None:
    cell = written(tmp_path, BigramModel(lossy="文"))
    lossy = CORPUS.documents[3]
    assert cell.documents.lossy == (LossyDocument(id=lossy.id, reason="the toy cannot write '文'"),)
    assert cell.documents.num_lossy == 1
    assert cell.corpus.num_bytes - cell.totals.num_bytes == lossy.num_bytes
    assert cell.totals.num_documents == len(TEXTS) - 1
    expected = sum(MODEL.bits(text) for text in TEXTS if "文" not in text)
    assert cell.totals.total_bits == pytest.approx(expected, rel=1e-6)
    row = written(tmp_path, BigramModel(lossy="文")).rows()[3]
    assert (row.total_bits, row.num_tokens) == (None, None)
    assert row.lossy == "the toy cannot write '文'"


def test_a_corpus_of_which_nothing_can_be_scored_gives_no_cell(tmp_path: Path) -> None:
    result = run([BigramModel(lossy="\n")], [corpus_of(["a\n", "b\n"])], options=RunOptions(output=tmp_path))
    [failure] = result.failures
    assert "no document of corpus could be scored: the toy cannot write" in failure.reason
    assert not cell_files(tmp_path)


# --- the key


def test_everything_that_determines_the_numbers_changes_the_key() -> None:
    keys = {spec().key(), spec(policy="lm-eval").key(), spec(limit=3).key(), spec(token_bits=True).key()}
    other = corpus_of([*TEXTS[:-1], TEXTS[-1] + "!"])
    keys.add(spec(corpus=other).key())
    keys.add(spec(corpus=corpus_of(TEXTS[::-1])).key())
    changes: dict[str, Any] = {
        "loader": "other",
        "revision": "ab" * 20,
        "weights_sha256": "other",
        "tokenizer_sha256": "other",
        "prefix": "none",
        "dtype": "bfloat16",
        "context_limit": 512,
    }
    for name, value in changes.items():
        keys.add(spec(identity=dataclasses.replace(MODEL.identity, **{name: value})).key())
    assert len(keys) == 6 + len(changes)


def test_what_does_not_determine_the_numbers_does_not() -> None:
    renamed = dataclasses.replace(MODEL.identity, name="x", details={"license": "MIT"})
    assert spec(identity=renamed).key() == spec().key()
    assert spec(corpus=corpus_of(TEXTS, "other", date="2026-01-01")).key() == spec().key()


# --- damage


class Told(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def _truncate(cell: Path) -> None:
    cell.write_bytes(cell.read_bytes()[:-30])


def _empty(cell: Path) -> None:
    cell.write_bytes(b"")


def _edit(cell: Path) -> None:
    text = cell.read_text()
    assert '"num_lossy": 0' in text
    cell.write_text(text.replace('"num_lossy": 0', '"num_lossy": 1'))


def _edit_digit(cell: Path) -> None:
    content = json.loads(cell.read_text())
    content["metrics"]["bits_per_byte"] -= 1e-12
    cell.write_text(json.dumps(content))


def _nan(cell: Path) -> None:
    content = json.loads(cell.read_text())
    content["metrics"]["bits_per_byte"] = float("nan")
    cell.write_text(json.dumps(content))


def _surrogate(cell: Path) -> None:
    content = json.loads(cell.read_text())
    content["model"]["name"] = "\ud800"
    cell.write_text(json.dumps(content))


def _not_utf8(cell: Path) -> None:
    cell.write_bytes(b"\xff" + cell.read_bytes())


def _other_json(cell: Path) -> None:
    cell.write_text("[" * 100_000)


def _flip(cell: Path) -> None:
    parquet = cell.with_suffix(".parquet")
    data = bytearray(parquet.read_bytes())
    data[len(data) // 2] ^= 1
    parquet.write_bytes(data)


def _flip_and_keep_the_time(cell: Path) -> None:
    parquet = cell.with_suffix(".parquet")
    status = parquet.stat()
    data = bytearray(parquet.read_bytes())
    data[8] ^= 0x80
    with parquet.open("rb+") as file:
        file.write(data)
    os.utime(parquet, ns=(status.st_atime_ns, status.st_mtime_ns))


def _lose_parquet(cell: Path) -> None:
    cell.with_suffix(".parquet").unlink()


DAMAGES = [
    *(_truncate, _empty, _edit, _edit_digit, _nan, _surrogate, _not_utf8, _other_json),
    *(_flip, _flip_and_keep_the_time, _lose_parquet),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cell_is_moved_aside_and_scored_again(
    damage: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, told = [BigramModel("a"), BigramModel("b", 1)], Told()
    assert run(models, [CORPUS], options=RunOptions(output=tmp_path)).num_scored == 2
    monkeypatch.setattr(known_cells, "is_settled", lambda _: True)
    found = run(models, [CORPUS], options=RunOptions(output=tmp_path))
    known = run(models, [CORPUS], options=RunOptions(output=tmp_path))  # by the stamps of the files
    assert found.cells == known.cells
    other, cell = cell_files(tmp_path)
    before = json.loads(cell.read_text())
    others = snapshot(other.parent)
    damage(cell)
    damaged = {path.name: path.read_bytes() for path in cell.parent.iterdir()}

    with pytest.raises(ScoringError, match=rf"{cell.name} .*; move it away and run again"):
        read_cell_of(CorpusCell, cell)
    again = run(models, [CORPUS], options=RunOptions(output=tmp_path, reporter=told))
    assert (again.num_scored, again.failures) == (1, ())
    [line] = told.messages
    assert line.startswith(f"{cell} ")
    assert line.endswith(f"; it was moved to {cell.name}.damaged and is scored again")
    aside = {path.name: path.read_bytes() for path in cell.parent.glob("*.damaged")}
    assert aside == {f"{name}.damaged": content for name, content in damaged.items()}
    assert snapshot(other.parent) == others
    after = json.loads(cell.read_text())
    assert after["totals"] == before["totals"]
    assert read_cell_of(CorpusCell, cell).rows() == again.cells[1].rows()
    assert run(models, [CORPUS], options=RunOptions(output=tmp_path)).num_scored == 0


def test_what_was_moved_aside_is_never_overwritten(tmp_path: Path) -> None:
    contents = []
    for number in range(3):
        cell = written(tmp_path).path
        cell.write_text(f"damage {number}")
        contents.append(f"damage {number}")
    written(tmp_path)
    assert sorted(path.read_text() for path in tmp_path.glob("*/*/*.json.damaged*")) == contents


def test_a_dry_run_moves_nothing(tmp_path: Path) -> None:
    cell = written(tmp_path)
    _flip(cell.path)
    before = snapshot(tmp_path)
    told = Told()
    result = run([MODEL], [CORPUS], options=RunOptions(output=tmp_path, dry_run=True, reporter=told))
    assert (result.cells, result.num_scored) == ((), 0)
    assert snapshot(tmp_path) == before
    [line] = told.messages
    assert line.endswith("it will be moved aside and scored again")


def test_rows_of_a_cell_whose_parquet_is_gone_are_an_error(tmp_path: Path) -> None:
    cell = written(tmp_path)
    cell.path.with_suffix(".parquet").unlink()
    with pytest.raises(ScoringError, match=r"has lost .*; delete it and run again"):
        cell.rows()


def test_leftovers_of_a_killed_run_are_not_read(tmp_path: Path) -> None:
    cell = written(tmp_path)
    leftover = cell.path.with_name(f".{cell.path.name}.abc.tmp")
    leftover.write_text('{"schema_version": 1')
    content = cell.path.read_text()
    cell.path.unlink()  # killed after the Parquet and before the JSON
    again = run([MODEL], [CORPUS], options=RunOptions(output=tmp_path))
    assert again.num_scored == 1
    assert json.loads(content)["totals"] == to_json(again.cells[0].totals)


# --- several writers


def test_the_first_of_several_writers_stays(tmp_path: Path) -> None:
    scores = score_documents(MODEL, CORPUS.documents, "document")
    barrier = threading.Barrier(8, timeout=PATIENCE_S)
    cells: list[CorpusCell] = []
    environment, start = cell_environment("cpu"), prefix_under(MODEL, "document")

    def write(seconds: float) -> None:
        barrier.wait()
        cells.append(
            write_cell(spec(), scores, tmp_path, seconds=seconds, prefix=start, environment=environment)
        )

    threads = [threading.Thread(target=write, args=(number + 1.0,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cells) == 8
    assert all(cell == cells[0] for cell in cells)
    [path] = cell_files(tmp_path)
    assert read_cell_of(CorpusCell, path) == cells[0]
    assert sorted(path.suffix for path in path.parent.iterdir()) == [".json", ".parquet"]


def test_several_finders_of_one_damage_move_it_once(tmp_path: Path) -> None:
    _flip(written(tmp_path).path)
    barrier = threading.Barrier(8, timeout=PATIENCE_S)
    told: list[str] = []
    found: list[CorpusCell | None] = []

    def find() -> None:
        barrier.wait()
        found.append(find_cell(spec(), tmp_path, warn=told.append))

    threads = [threading.Thread(target=find) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [None] * 8
    assert len(told) == 1
    assert len(list(tmp_path.glob("*/*/*.json.damaged*"))) == 1


# --- what a model says of itself


@pytest.mark.parametrize(
    ("details", "says"),
    [
        ({"num_parameters": "7B"}, "model.num_parameters must be a whole number, not '7B'"),
        ({"released": 2026}, "model.released must be a string, not 2026"),
        ({"adapters": ["one", "two"]}, "model.adapters must be a string or a whole number"),
        ({"scale": float("nan")}, "model.scale must be a string or a whole number"),
        ({"dtype": "int4"}, "its details must not be called dtype"),
    ],
)
def test_what_a_cell_cannot_say_of_a_model_is_told_before_it_is_scored(
    details: dict[str, Any], says: str, tmp_path: Path
) -> None:
    model = BigramModel(details=details)
    with pytest.raises(ModelError) as caught:
        run([model], [CORPUS], options=RunOptions(output=tmp_path))
    assert str(caught.value).startswith("bigram: ") and says in str(caught.value)
    assert model.num_calls == 0 and not cell_files(tmp_path)


def test_what_else_a_model_says_of_itself_stays_as_it_is(tmp_path: Path) -> None:
    details = {"license": "MIT", "num_parameters": 7, "adapter": None, "is_quantized": False, "scale": 0.5}
    [cell] = run([BigramModel(details=details)], [CORPUS], options=RunOptions(output=tmp_path)).cells
    assert (cell.model.license, cell.model.num_parameters) == ("MIT", 7)
    assert cell.model.details == {"adapter": None, "is_quantized": False, "scale": 0.5}
    assert json.loads(cell.path.read_text())["model"].items() >= details.items()


def test_torch_is_told_of_where_it_took_part(tmp_path: Path) -> None:
    cells = run([MODEL, "xz"], [CORPUS], options=RunOptions(output=tmp_path, device="cpu")).cells
    with_tokens, compressed = (cell.environment for cell in cells)
    assert with_tokens.torch is not None and with_tokens.torch.device == "cpu"
    assert compressed == dataclasses.replace(with_tokens, torch=None)
    assert cell_environment("cpu", num_threads=17).torch.num_threads == 17
