"""Records of Every Eval Ever: valid by its own schema, and the same numbers as the cells."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from evalkit.analysis.results import read_results
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.store import make_corpus
from evalkit.exports.every_eval_ever import SCHEMA_VERSION, every_eval_ever_records
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.cells import corpus_content, write_cell_files
from tests.support.stores import Counted, _documents
from tests.support.toys import ROOT, run_cli

SCHEMA = json.loads((ROOT / "tests/data/every-eval-ever/eval.schema.json").read_text(encoding="utf-8"))
PLACE = re.compile(  # as the package's own check of paths has it
    r"data/evalkit/[^/]+/[^/]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json"
)


def errors_of(record: object) -> list[str]:
    return [error.message for error in Draft7Validator(SCHEMA).iter_errors(record)]


def read_cells(folder: Path) -> tuple[CorpusCell, ...]:
    return read_results(folder, warn=lambda _: None).cells


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models with names that are no file names, one under two policies, on two corpora; a compressor."""
    folder = tmp_path_factory.mktemp("results")
    corpora = [make_corpus(f"corpus-{n}", _documents(n, 12 if n == 1 else 3, source="x")) for n in (1, 2)]
    models = [Counted("模型", "the", 1), Counted("文字", "of", 2)]
    assert not run([*models, "xz"], corpora, options=RunOptions(output=folder)).failures
    assert not run(models[:1], corpora[:1], options=RunOptions(output=folder), policy="uncheatable").failures
    return folder


def test_records_are_valid_and_have_the_numbers_of_the_cells(results: Path) -> None:
    arguments = ["--organization", "A lab", "--relationship", "third_party"]
    outcome = run_cli("export", results, "--format", "every-eval-ever", *arguments, "-o", "out")
    assert outcome.exit_code == 0
    assert "3 files of 5 cells; 2 of compressors, which are no models, left out" in outcome.stdout
    cells = {cell.sha256: cell for cell in read_cells(results) if not cell.is_of_a_compressor}
    identifiers = set()
    for path in Path("out").rglob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert errors_of(record) == [] and record["schema_version"] == SCHEMA["version"] == SCHEMA_VERSION
        assert PLACE.fullmatch(path.relative_to("out").as_posix())
        assert record["source_metadata"]["source_organization_name"] == "A lab"
        assert record["source_metadata"]["evaluator_relationship"] == "third_party"
        assert path.parent.name == record["model_info"]["id"].removeprefix("local/")
        identifiers.add(record["evaluation_id"])
        for result in record["evaluation_results"]:
            cell = cells.pop(result["evaluation_result_id"])
            assert record["model_info"]["name"] == cell.model.name
            assert result["evaluation_name"] == cell.corpus.name
            assert result["metric_config"]["metric_parameters"]["policy"] == cell.policy.name
            assert result["metric_config"]["metric_parameters"]["prefix_ids"] == ""
            score = result["score_details"]
            assert score["score"] == cell.bits_per_byte
            assert float(score["details"]["total_bits"]) == cell.totals.total_bits
            interval = score.get("uncertainty", {}).get("confidence_interval")
            assert (interval is None) == (cell.metrics.interval is None)
            if cell.metrics.interval is not None:
                assert (interval["lower"], interval["upper"]) == cell.metrics.interval
                assert interval["confidence_level"] == 0.95
    assert not cells and len(identifiers) == 3


def test_the_same_cells_give_the_same_records(results: Path) -> None:
    cells = read_cells(results)
    assert every_eval_ever_records(cells).keys() == every_eval_ever_records(cells[::-1]).keys()
    fewer = [cell for cell in cells if cell.corpus.name == "corpus-1"]
    # Only what was scored under the other policy is on this corpus alone.
    assert len(every_eval_ever_records(cells).keys() & every_eval_ever_records(fewer).keys()) == 1


@pytest.mark.parametrize(
    ("facts", "model_id"),
    [
        ({}, "owner/repository"),
        ({"file": "a/b q4.gguf"}, "owner/repository/a-b-q4.gguf"),
        ({"adapter": "me/lora"}, "owner/repository+me-lora"),
        ({"target": "../../etc/x"}, "local/rwkv7-toy"),
        ({"revision": None}, "local/rwkv7-toy"),  # a folder
    ],
)
def test_ids_tell_files_and_adapters_apart(facts: dict[str, Any], model_id: str, tmp_path: Path) -> None:
    content = corpus_content()
    content["model"] |= facts
    write_cell_files(tmp_path / "cell.json", content)
    records = every_eval_ever_records(read_cells(tmp_path))
    ((path, record),) = records.items()
    assert errors_of(record) == [] and PLACE.fullmatch(path)
    assert record["model_info"]["id"] == model_id
    developer, _, name = model_id.partition("/")
    assert path.startswith(f"data/evalkit/{developer}/{name.replace('/', '_')}/")
    assert record["retrieved_timestamp"] == "1795178096"  # 2026-11-20 12:34:56 UTC
    assert record["evaluation_results"][0]["metric_config"]["metric_parameters"]["prefix_ids"] == "0,7"
    assert record["source_metadata"]["source_organization_name"] == "unknown"
    assert record["model_info"]["additional_details"]["model_availability"] == "unknown"


def test_what_it_has_no_place_for_is_refused(results: Path, tmp_path: Path) -> None:
    arguments = ["--format", "every-eval-ever", "-o", "out"]
    outcome = run_cli("export", results, *arguments, "--relationship", "friend")
    says = "--relationship must be first_party, third_party, collaborative, other, not 'friend'"
    assert outcome.exit_code == 2 and says in outcome.stderr.splitlines()[-1]
    corpus = make_corpus("c", _documents(1, 3, source="x"))
    run(["xz"], [corpus], options=RunOptions(output=tmp_path / "runs"))
    outcome = run_cli("export", tmp_path / "runs", *arguments)
    assert outcome.exit_code == 2 and "only compressors were scored" in outcome.stderr.splitlines()[-1]
    assert not Path("out").exists()
