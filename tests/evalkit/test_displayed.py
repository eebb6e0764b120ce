import pytest

from evalkit.api import build_report, compare, read_results
from evalkit.errors import ScoringError, UsageError
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions, listed
from evalkit.runner.tasks import run_tasks
from evalkit.tasks import TaskOptions
from tests.evalkit.runner.test_tasks import Counting
from tests.support.toys import TEXTS, BigramModel, BrokenModel, corpus_of


def test_results_are_a_line_a_table_and_a_frame(tmp_path) -> None:
    corpus = corpus_of(["<b>bold</b> " * 9, *TEXTS], "texts")
    options = RunOptions(output=tmp_path)
    result = run(BigramModel(), corpus, options=options)  # single ones, not in lists
    assert repr(result) == ("<RunResult: 1 model on texts, policy document: 1 cell, 1 scored now, 0 failed>")
    frame = result.to_pandas()
    [cell] = result.cells
    assert frame[["model", "corpus", "policy"]].values.tolist() == [["bigram", "texts", "document"]]
    assert frame["bits_per_byte"].item() == cell.bits_per_byte
    assert frame["total_bits"].item() == cell.totals.total_bits
    assert repr(cell) == f"<CorpusCell: bigram on texts, policy document: {cell.bits_per_byte:.4f} bits/byte>"
    assert cell.to_pandas()["total_bits"].sum() == pytest.approx(cell.totals.total_bits)
    results = read_results(tmp_path)
    assert repr(results) == f"<Results: {tmp_path}: 1 model, 1 cell of corpora, 0 of tasks>"
    assert results.to_pandas().to_dict() == frame.drop(columns="mark").to_dict()
    assert len(repr(corpus)) < 100 and len(repr(corpus.documents[1])) < 90
    page = corpus._repr_html_()
    assert "&lt;b&gt;bold" in page and "<b>" not in page and "…" in page
    assert list(corpus.to_pandas()["text"]) == [document.text for document in corpus.documents]


def test_tasks_and_comparisons_too(tmp_path) -> None:
    options = RunOptions(output=tmp_path)
    tasks = Counting().make(["sheep"], TaskOptions("2026-11-01"))
    result = run_tasks(BigramModel("lamb"), tasks[0], options=options)
    assert repr(result) == "<TaskRunResult: 1 cell, 1 scored now, 0 failed>"
    assert result.to_pandas()["accuracy"].tolist() == [row.accuracy for row in result.cells[0].summary]
    corpus = corpus_of(TEXTS)
    comparison = compare(BigramModel("a"), BigramModel("b", 1), corpus, options=options)
    a, b = run([BigramModel("a"), BigramModel("b", 1)], [corpus], options=options).cells
    assert comparison.difference == pytest.approx(a.bits_per_byte - b.bits_per_byte)
    assert comparison == compare(a, str(b.path))
    assert repr(comparison).startswith(f"<Comparison: a minus b on corpus: {comparison.difference:+.4f} [")
    assert len(comparison.to_pandas()) == len(TEXTS)
    built = build_report(tmp_path, tmp_path / "site", plots=False)
    assert (built.num_models, built.num_corpora) == (2, 1) and (tmp_path / "site" / "index.html").is_file()


def test_what_cannot_be_compared_is_told(tmp_path) -> None:
    options = RunOptions(output=tmp_path)
    corpus = corpus_of(["BREAK", *TEXTS])
    [cell] = run(BigramModel(), corpus, options=options).cells
    for arguments in (
        (cell, "xz"),
        ("xz", "zstd"),
        (cell, cell, corpus),
        ("xz", 3, corpus),
        ("xz", "no.json"),
    ):
        with pytest.raises(UsageError):
            compare(*arguments, options=options)  # type: ignore[arg-type]
    with pytest.raises(ScoringError, match="broken-nan on corpus"):
        compare(BigramModel(), BrokenModel("nan"), corpus, options=options)


def test_a_text_names_models_as_on_the_command_line() -> None:
    assert listed("xz, ppmd,") == ["xz", "ppmd"]
    assert listed(["a,b", "c"]) == ["a,b", "c"]
    assert listed(3) == [3]
