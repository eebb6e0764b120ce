"""Which choice a model takes: counted by hand, and as lm-evaluation-harness counts it."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from evalkit.analysis.choices import cell_choices
from evalkit.cells.choices import check_choices, read_choices
from evalkit.corpora.document import Corpus, make_corpus, make_document
from evalkit.fields import FieldError
from evalkit.requests.exports import export_requests
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.tiny_models import TEXTS, as_fast, byte_level_tokenizer, random_model, save_checkpoint
from tests.support.toys import BigramModel

CHOICES = (" bits", "a byte", "the file is text")


def questions() -> Corpus:
    documents = [
        make_document(
            CHOICES[1 + place % 2],
            source="test",
            context=text,
            choices=CHOICES,
            id=f"q{place}",
            cluster=f"c{place}",
        )
        for place, text in enumerate(TEXTS)
    ]
    return make_corpus("questions", documents)


def test_choices_are_scored_in_the_same_pass_and_compared_three_ways(tmp_path: Path) -> None:
    model, corpus = BigramModel(), questions()
    corpus = make_corpus("mixed", [*corpus.documents, make_document("no choices", source="test")])
    [cell] = run([model], [corpus], options=RunOptions(output=tmp_path)).cells
    assert cell.totals.num_documents == 7 and cell.totals.num_bytes == corpus.num_bytes
    counts = np.zeros(3)
    costs = read_choices(cell.path.with_suffix(".parquet"))
    assert costs is not None and costs[6] is None
    for document, of_row in zip(corpus.documents[:6], costs[:6], strict=True):
        context = document.context or ""
        bits = np.array([model.bits(context + choice) - model.bits(context) for choice in CHOICES])
        alone = np.array([model.bits(choice) for choice in CHOICES])
        assert of_row is not None and np.allclose(of_row.bits, bits, rtol=1e-5)
        assert np.allclose(of_row.alone_bits or (), alone, rtol=1e-5)
        gold = CHOICES.index(document.text)
        lengths = np.array([len(choice) for choice in CHOICES])
        counts += [np.argmin(costs) == gold for costs in (bits, bits / lengths, bits - alone)]
    choices = cell_choices(cell)
    assert choices is not None and (choices.num_questions, choices.num_left_out) == (6, 1)
    assert [of_method.share for of_method in choices.accuracies] == pytest.approx(list(counts / 6))
    assert all(of_method.interval is not None for of_method in choices.accuracies)
    table = pq.read_table(cell.path.with_suffix(".parquet"))
    num_bytes, bits = table["num_bytes"].to_numpy(), table["total_bits"].to_numpy().copy()
    check_choices(table, num_bytes, bits)
    bits[3] += 1
    with pytest.raises(FieldError, match="right choice is not its document's text"):
        check_choices(table, num_bytes, bits)


@pytest.mark.slow
def test_the_harness_counts_alike(tmp_path: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from evalkit.exports.harness_model import EvalkitLM

    fast = as_fast(byte_level_tokenizer())
    folder = save_checkpoint(tmp_path / "llama", random_model("llama", len(fast)), fast)
    corpus = questions()
    [cell] = run([f"hf:{folder}"], [corpus], policy="lm-eval", options=RunOptions(output=tmp_path)).cells
    choices = cell_choices(cell)
    assert choices is not None
    export_requests(corpus, "lm-eval", tmp_path / "task")
    result = simple_evaluate(
        EvalkitLM(f"hf:{folder}", device="cpu", dtype="float32"),
        tasks=["questions"],
        task_manager=TaskManager(include_path=str(tmp_path / "task"), include_defaults=False),
        bootstrap_iters=0,
    )["results"]["questions"]
    expected = [result[f"{metric},none"] for metric in ("acc", "acc_bytes", "acc_mutual_info")]
    assert [of_method.share for of_method in choices.accuracies] == pytest.approx(expected)
