"""The export of documents: loss and bits per byte worked out by hand, and null where there is none."""

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.corpora.store import make_corpus, make_document
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.stores import Counted
from tests.support.toys import run_cli

NATS = 5.55  # of every byte: ln 256 in hundredths, as `Counted` rounds it
TEXTS = ["a" * 1500, "b", "c no d", "é" * 40]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of equal costs under two policies, and a compressor; two corpora of one name."""
    folder = tmp_path_factory.mktemp("results")
    corpus = make_corpus("texts", [make_document(text, source="x") for text in TEXTS])
    namesake = make_corpus("texts", [make_document("further", source="x")])
    model = Counted("even", "", 1, refuses="no")
    options = RunOptions(output=folder)
    assert not run([model, "xz"], [corpus], options=options).failures
    for texts in (corpus, namesake):
        assert not run([model], [texts], options=options, policy="uncheatable").failures
    return folder


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        assert table.schema.field("prefix_text").type == pa.string()  # though there is none
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["documents.jsonl", "documents.parquet"])
def test_loss_is_of_paid_tokens_and_bits_are_over_all_bytes(name: str, results: Path) -> None:
    assert run_cli("export", results, "--format", "documents", "-o", name).exit_code == 0
    rows = rows_of(Path(name))
    assert len(rows) == 4 * 3 + 1
    assert all(list(row)[:4] == ["doc_id", "corpus_id", "loss", "bits_per_byte"] for row in rows)
    assert len({row["corpus_id"] for row in rows}) == 2
    assert len({(row["doc_id"], row["corpus_id"], row["cell_sha256"]) for row in rows}) == len(rows)
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        kind = "xz" if row["model"] == "xz" else row["policy"]
        groups.setdefault((kind, row["num_bytes"]), []).append(row)
        assert (row["prefix_rule"], row["prefix_text"]) == ("none", None)
        assert row["prefix_ids"] == (None if kind == "xz" else "")
    full = NATS / math.log(2)
    for num_bytes in (1500, 1, 80):
        (row,) = groups["document", num_bytes]
        assert row["loss"] == pytest.approx(NATS, rel=1e-6) and row["num_paid_tokens"] == num_bytes
        assert row["bits_per_byte"] == pytest.approx(full, rel=1e-6)
    for num_bytes, num_paid in ((1500, 1498), (80, 79), (7, 6)):  # the first of each chunk is not paid for
        (row,) = groups["uncheatable", num_bytes]
        assert row["loss"] == pytest.approx(NATS, rel=1e-6) and row["num_paid_tokens"] == num_paid
        assert row["bits_per_byte"] == pytest.approx(full * num_paid / num_bytes, rel=1e-6)


def test_what_has_no_number_is_null(results: Path) -> None:
    assert run_cli("export", results, "--format", "documents", "-o", "documents.jsonl").exit_code == 0
    rows = rows_of(Path("documents.jsonl"))
    refused = [row for row in rows if row["lossy"]]
    assert [(row["num_bytes"], row["policy"]) for row in refused] == [(6, "document"), (6, "uncheatable")]
    unpaid = [row for row in rows if row["policy"] == "uncheatable" and row["num_bytes"] == 1]
    assert [row["num_paid_tokens"] for row in unpaid] == [0]
    for row in refused + unpaid:
        assert row["loss"] is row["bits_per_byte"] is row["total_bits"] is None
    compressed = [row for row in rows if row["model"] == "xz"]
    assert len(compressed) == 4
    for row in compressed:
        assert row["loss"] is row["num_paid_tokens"] is None
        assert row["bits_per_byte"] == row["total_bits"] / row["num_bytes"] > 0


@pytest.mark.parametrize("name", ["documents", "documents.json", "documents.csv"])
def test_a_name_that_does_not_say_what_to_write_is_refused(name: str, results: Path) -> None:
    outcome = run_cli("export", results, "--format", "documents", "-o", name)
    says = f"evalkit: --output {name} must end in .jsonl or .parquet"
    assert outcome.exit_code == 2 and outcome.stderr.splitlines()[-1] == says
    assert not Path(name).exists()
