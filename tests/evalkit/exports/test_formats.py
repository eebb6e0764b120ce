"""Exports: read back by those they are for, and the same numbers as the cells."""

import csv
import json
import math
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from evalkit.analysis.results import read_results
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.store import make_corpus
from evalkit.exports.documents import document_losses
from evalkit.exports.eval_results import eval_results
from evalkit.exports.every_eval_ever import every_eval_ever_records
from evalkit.exports.lm_eval import lm_eval_results
from evalkit.exports.tables import cell_rows, document_rows
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.cells import corpus_content, task_content, write_cell_files
from tests.support.stores import HOSTILE_NAME, Counted, _documents, score_small_store
from tests.support.toys import run_cli, run_process


def read_cells(folder: Path) -> tuple[CorpusCell, ...]:
    return read_results(folder, warn=lambda _: None).cells


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 cells on three corpora, two of them under another policy besides, and one of a limited run."""
    folder = tmp_path_factory.mktemp("results")
    score_small_store(folder)
    return folder


def test_csv_has_a_row_per_whole_cell(results: Path) -> None:
    outcome = run_cli("export", results, "--format", "csv", "-o", "cells.csv")
    assert outcome.exit_code == 0 and "first 4 documents" in outcome.stderr
    with Path("cells.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    cells = read_cells(results)
    assert len(rows) == len(cells) == 20
    for row, cell in zip(rows, cells, strict=True):
        assert (row["model"], row["corpus"]) == (cell.model.name, cell.corpus.name)
        assert float(row["bits_per_byte"]) == cell.bits_per_byte
        assert row["cell_sha256"] == cell.sha256
        assert row["num_tokens"] == str(cell.totals.num_tokens or "")
    assert HOSTILE_NAME in {row["model"] for row in rows}


def test_parquet_has_a_row_per_document(results: Path) -> None:
    outcome = run_cli("export", results, "--format", "parquet", "--documents", "-o", "documents.parquet")
    assert outcome.exit_code == 0
    rows = pq.read_table("documents.parquet").to_pylist()
    cells = read_cells(results)
    assert len(rows) == sum(cell.corpus.num_documents for cell in cells)
    for cell in cells:
        own = [row for row in rows if row["cell_sha256"] == cell.sha256]
        known = [row for row in own if row["total_bits"] is not None]
        total = math.fsum(row["total_bits"] for row in known) / sum(row["num_bytes"] for row in known)
        assert total == pytest.approx(cell.bits_per_byte, rel=1e-12)


def test_lm_eval_makes_its_table_of_ours(results: Path) -> None:
    from lm_eval.utils import make_table

    assert run_cli("export", results, "--format", "lm-eval", "-o", "lm").exit_code == 0
    files = sorted(Path("lm").rglob("results_*.json"))
    assert len(files) == 6 + 2
    cells = {(cell.model.name, cell.corpus.name, cell.policy.name): cell for cell in read_cells(results)}
    for path in files:
        content = json.loads(path.read_text(encoding="utf-8"))
        table = make_table(content)
        assert path.parent.name == content["model_name_sanitized"]
        for task, metrics in content["results"].items():
            cell = cells.pop((content["model_name"], task, content["config"]["model_args"]["policy"]))
            assert metrics["bits_per_byte,none"] == cell.bits_per_byte
            assert metrics["byte_perplexity,none"] == pytest.approx(2**cell.bits_per_byte)
            assert f"{cell.bits_per_byte:.4f}" in table
            assert cell.metrics.interval is not None
            half_width = cell.metrics.interval.half_width
            assert 1.96 * metrics["bits_per_byte_stderr,none"] == pytest.approx(half_width, rel=1e-4)
            assert content["n-samples"][task]["effective"] == cell.totals.num_documents
    assert not cells


def test_the_hub_client_reads_our_eval_results(results: Path) -> None:
    revision = "0123456789abcdef0123456789abcdef01234567"
    options = ["--dataset", "some/benchmark", "--revision", revision, "--source-url", "https://e.org/board"]
    assert run_cli("export", results, "--format", "eval-results", *options, "-o", "hub").exit_code == 0
    files = sorted(Path("hub").glob("*/.eval_results/*.yaml"))
    assert not {path.parts[1] for path in files} & {"xz", "zstd"}  # a compressor has no repository
    entries = [
        e for p in files for e in parse_eval_result_entries(yaml.safe_load(p.read_text(encoding="utf-8")))
    ]
    models = [cell for cell in read_cells(results) if cell.totals.num_tokens is not None]
    assert sorted(entry.value for entry in entries) == sorted(round(cell.bits_per_byte, 6) for cell in models)
    assert {(entry.dataset_id, entry.dataset_revision) for entry in entries} == {("some/benchmark", revision)}
    assert all("lower is better" in (entry.notes or "") for entry in entries)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "cvs", "-o", "x"], "Did you mean csv"),
        (["--format", "eval-results", "-o", "x"], "needs --dataset"),
        (["--format", "eval-results", "--dataset", "no", "-o", "x"], "OWNER/NAME"),
        (
            ["--format", "lm-eval", "--documents", "-o", "x"],
            "lm-eval takes no --documents; it takes no options",
        ),
        (["--format", "csv", "-o", "."], "is a folder; give a file"),
    ],
)
def test_bad_requests_get_one_line(arguments: list[str], says: str, results: Path) -> None:
    outcome = run_cli("export", results, *arguments)
    assert outcome.exit_code == 2 and says in outcome.stderr.splitlines()[-1]


def test_damaged_cells_are_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    outcome = run_cli("export", tmp_path, "--format", "csv", "-o", "x.csv")
    assert outcome.exit_code == 2
    assert "left out" in outcome.stderr and "holds no whole cell" in outcome.stderr


def test_configurations_and_names_are_kept_apart(tmp_path: Path) -> None:
    """Two names that make one folder name, two weights under one name, and a cell without tokens' bits."""
    corpus = make_corpus("tiny", _documents(1, 6, source="x"))
    runs = tmp_path / "runs"
    for seed in ("the", "of"):
        run([Counted("same", seed, 1)], [corpus], options=RunOptions(output=runs))
    run([Counted("模型", "the", 1), Counted("文字", "of", 1)], [corpus], options=RunOptions(output=runs))
    run([Counted("same", "of", 1)], [corpus], options=RunOptions(output=runs), token_bits=True)
    cells = read_cells(runs)
    assert len(cells) == 5
    values = sorted({round(cell.bits_per_byte, 6) for cell in cells})
    assert len(values) == 2  # of "the" and of "of"
    found = {
        path: parse_eval_result_entries(yaml.safe_load(text))
        for path, text in eval_results(cells, "some/benchmark").items()
    }
    assert found.keys() == {f"{name}/.eval_results/tiny.yaml" for name in ("same", "unnamed", "unnamed-2")}
    same = found["same/.eval_results/tiny.yaml"]
    assert sorted(entry.value for entry in same) == values
    assert all("; weights " in (entry.notes or "") for entry in same)
    assert all(len(entries) == 1 for path, entries in found.items() if not path.startswith("same/"))
    objects = lm_eval_results(cells)
    assert sorted(path.split("/")[0] for path in objects) == ["same", "same", "unnamed", "unnamed-2"]
    assert {one["model_name"] for one in objects.values()} == {"same", "模型", "文字"}


def test_every_format_says_what_was_read_before_a_document(tmp_path: Path) -> None:
    content = corpus_content()
    content["policy"] |= {
        "prefix_rule": "token:3,4",
        "prefix_ids": [3, 4],
        "prefix_text": "[gMASK]<sop>",
        "chunk_prefix_ids": [3],
    }
    write_cell_files(tmp_path / "runs" / "cell.json", content)
    cells = read_cells(tmp_path / "runs")
    prefix = {
        "prefix_rule": "token:3,4",
        "prefix_ids": "3,4",
        "prefix_text": "[gMASK]<sop>",
        "chunk_prefix_ids": "3",
    }
    for row in (*cell_rows(cells), *document_rows(cells), *document_losses(cells[0], "a corpus")):
        assert row.items() >= prefix.items()
    (results,) = lm_eval_results(cells).values()
    (config,) = results["configs"].values()
    assert config.items() >= {f"evalkit_{name}": value for name, value in prefix.items()}.items()
    (record,) = every_eval_ever_records(cells).values()
    (result,) = record["evaluation_results"]
    assert result["metric_config"]["metric_parameters"].items() >= prefix.items()
    (text,) = eval_results(cells, "some/benchmark").values()
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    assert "prefix [gMASK]<sop> (token:3,4), token:3 before every chunk, " in (entry.notes or "")


def test_what_has_no_place_in_a_format_is_told(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "runs")
    write_cell_files(tmp_path / "runs" / "task.json", task_content())
    outcome = run_cli("export", tmp_path / "runs", "--format", "csv", "-o", "x.csv")
    assert outcome.exit_code == 0 and "left out: 1 cells that are not of corpora" in outcome.stderr


@pytest.mark.parametrize(("name", "output"), [("csv", "file/x.csv"), ("lm-eval", "file/x")])
def test_a_place_that_cannot_be_written_gets_one_line(name: str, output: str, results: Path) -> None:
    Path("file").write_text("")
    outcome = run_cli("export", results, "--format", name, "-o", output)
    assert outcome.exit_code == 2
    assert "cannot write file/x" in outcome.stderr.splitlines()[-1]


def test_a_table_goes_to_standard_output_alone(results: Path) -> None:
    done = run_process("export", results, "--format", "csv", "-o", "/dev/stdout")
    assert done.exit_code == 0 and done.stderr.splitlines()[-1] == "/dev/stdout: 20 rows of 20 cells"
    assert run_cli("export", results, "--format", "csv", "-o", "cells.csv").exit_code == 0
    assert done.stdout == Path("cells.csv").read_text(encoding="utf-8")
    done = run_process("export", results, "--format", "csv", "-o", "/dev/full")
    assert done.exit_code == 2 and Path("/dev/full").is_char_device()
    says = "evalkit: cannot write /dev/full: No space left on device; give another --output"
    assert done.stderr.splitlines()[-1] == says
