import io
from pathlib import Path
from typing import Any

import pytest

from evalkit.corpora.store import Corpus
from evalkit.runner.corpora import run
from evalkit.runner.corpora_table import notes, print_result
from evalkit.runner.options import RunOptions
from evalkit.runner.ranking import RunResult
from tests.support.toys import TEXTS, BigramModel, BrokenModel, corpus_of

CORPUS = corpus_of(TEXTS, "first", date="2026-03-04")
OTHER = corpus_of(TEXTS[:3], "second", date="2026-03-05")


def printed(result: RunResult) -> list[str]:
    stream = io.StringIO()
    print_result(result, stream)
    return stream.getvalue().splitlines()


def rows(lines: list[str]) -> dict[str, list[str]]:
    """By model; without the marks of what may have been read."""
    parts = [
        [part.rstrip("†?") for part in line.split()] for line in lines[2:] if line.lstrip()[:1] in "1234–"
    ]
    return {row[1]: row for row in parts if len(row) > 5}


def test_one_corpus_ranked_with_rate_and_interval(tmp_path: Path) -> None:
    models = [BigramModel("zero"), BigramModel("one", 1), "zstd"]
    result = run(models, [CORPUS], options=RunOptions(output=tmp_path))
    lines = printed(result)
    table = rows(lines)
    expected = {
        model: sum(map(BigramModel(seed=seed).bits, TEXTS)) / CORPUS.num_bytes
        for seed, model in enumerate(["zero", "one"])
    }
    by_rank = sorted(table, key=lambda name: int(table[name][0]))
    values = [float(table[name][2]) for name in by_rank]
    assert values == sorted(values)
    for cell in result.cells:
        row = table[cell.model.name]
        assert row[2] == f"{cell.bits_per_byte:.4f}"
        assert row[3] == "±"
        assert cell.metrics.interval is not None
        assert row[4] == f"{cell.metrics.interval.half_width:.4f}"
        assert row[5] == f"{12.5 * cell.bits_per_byte:.2f}"
        assert row[-2:] == ["document", "–" if cell.is_of_a_compressor else "token:256"]
        if cell.model.name in expected:
            assert cell.bits_per_byte == pytest.approx(expected[cell.model.name], rel=1e-6)
    assert "macro average" not in lines[1]


def test_several_corpora_are_ranked_by_macro_average(tmp_path: Path) -> None:
    # `short` is better on the short corpus by more than it is worse on the long one: by macro average it
    # wins, by the sum over all bytes it would lose.
    long, short = corpus_of([text * 40 for text in TEXTS], "long"), corpus_of(["ab" * 9, "ba" * 9], "short")
    for_long, for_short = BigramModel("for-long"), BigramModel("for-short")
    for_long.table, for_short.table = for_long.table * 0 + 2.0, for_short.table * 0 + 2.1
    for_short.table[[97, 98, 256, 256], [98, 97, 97, 98]] = 0.1
    result = run([for_long, for_short], [long, short], options=RunOptions(output=tmp_path))
    per_cell = {(cell.model.name, cell.corpus.name): cell.bits_per_byte for cell in result.cells}
    assert per_cell["for-long", "long"] < per_cell["for-short", "long"]
    lines = printed(result)
    table = rows(lines)
    assert list(table) == ["for-short", "for-long"]
    for name, row in table.items():
        macro = (per_cell[name, "long"] + per_cell[name, "short"]) / 2
        assert f"{macro:.4f}" in row
        assert f"{12.5 * macro:.2f}" in row
    assert "macro average" in lines[1]


def test_lossy_documents_are_marked_and_named(tmp_path: Path) -> None:
    result = run(
        [BigramModel("lossy", lossy="t"), BigramModel("good")], [CORPUS], options=RunOptions(output=tmp_path)
    )
    lines = printed(result)
    assert any(part.endswith("*") for part in rows(lines)["lossy"])
    assert not any(part.endswith("*") for part in rows(lines)["good"])
    [note] = [line for line in lines if line.startswith("* ")]
    lost = [document for document in CORPUS.documents if "t" in document.text]
    assert note.startswith(f"* lossy on first: {len(lost)} of {len(TEXTS)} documents left out")
    assert lost[0].id in note
    assert "cannot write 't'" in note


def test_a_failed_cell_is_in_the_table_and_named(tmp_path: Path) -> None:
    breaking = corpus_of([*TEXTS, "BREAK"], "breaking")
    result = run(
        [BrokenModel("nan"), BigramModel("good")], [breaking, OTHER], options=RunOptions(output=tmp_path)
    )
    lines = printed(result)
    row = rows(lines)["broken-nan"]
    assert row[0] == "–"
    assert row[2] == "failed"
    [scored] = [cell for cell in result.cells if cell.model.name == "broken-nan"]
    assert row.count("failed") == 1
    assert row[3] == f"{scored.bits_per_byte:.4f}" and row[4] == row[3] and row[5:8] == ["1", "of", "2"]
    [failure] = [line for line in lines if line.startswith("FAILED ")]
    assert failure.startswith("FAILED broken-nan on breaking: broken-nan: document ")


def test_the_corpus_is_described_once(tmp_path: Path) -> None:
    lines = printed(
        run([BigramModel("a"), BigramModel("b", 1)], [CORPUS], options=RunOptions(output=tmp_path), limit=3)
    )
    [note] = [line for line in lines if line.startswith("first: ")]
    limited = CORPUS.limited(3)
    assert note == (
        f"first: 3 documents, {limited.num_bytes} bytes, 2026-03-04, sha256 {limited.sha256[:12]}, "
        "the first 3 documents only"
    )


def test_the_policy_stands_beside_the_numbers(tmp_path: Path) -> None:
    model = BigramModel(context_limit=64)
    lines = printed(run([model], [CORPUS], options=RunOptions(output=tmp_path), policy="uncheatable"))
    assert rows(lines)["bigram"][-3:] == ["uncheatable", "≤64", "none"]
    assert "policy uncheatable: the first token of each chunk is not paid for; its bytes count" in lines


OLD, UNKNOWN = (
    "† bigram on corpus: may have been read in training: ",
    "? bigram on corpus: not known whether ",
)


@pytest.mark.parametrize(
    ("details", "date", "begins", "ends"),
    [
        ({"knowledge_cutoff": "2024-08"}, "2024-08-01", OLD, "the model's cutoff, 2024-08"),
        ({"knowledge_cutoff": "2024-08"}, "2024-08-31", OLD, "the model's cutoff, 2024-08"),
        ({"knowledge_cutoff": "2024-08"}, "2024-09-01", None, ""),
        ({"knowledge_cutoff": "2024"}, "2024-12-31", OLD, "the model's cutoff, 2024"),
        ({"knowledge_cutoff": "2024"}, "2025-01-01", None, ""),
        ({"knowledge_cutoff": "2024-08-14"}, "2024-08-14", OLD, "the model's cutoff, 2024-08-14"),
        ({"knowledge_cutoff": "2024-08-14"}, "2024-08-15", None, ""),
        ({"released": "2025-02-11"}, "2025-02-10", OLD, "the model's release, 2025-02-11"),
        ({"released": "2025-02-11"}, "2025-02-12", None, ""),
        ({"released": "2025-02-11", "knowledge_cutoff": "2024-08"}, "2024-12-01", None, ""),
        (
            {"released": "2025-02-11", "knowledge_cutoff": None},
            "2024-12-01",
            OLD,
            "the model's release, 2025-02-11",
        ),
        ({"knowledge_cutoff": "2024-08"}, None, UNKNOWN, "the model's cutoff, 2024-08"),
        ({}, None, UNKNOWN, "nobody says when the model's training data end"),
        ({}, "2020-01-01", UNKNOWN, "nobody says when the model's training data end"),
    ],
)
def test_what_dates_say_of_a_model_and_a_corpus_is_noted(
    details: dict[str, Any], date: str | None, begins: str | None, ends: str, tmp_path: Path
) -> None:
    corpus = corpus_of(TEXTS, date=date)
    result = run([BigramModel(details=details), "zstd"], [corpus], options=RunOptions(output=tmp_path))
    warnings = [note for note in notes(result) if "read in training" in note]
    if begins is None:
        assert warnings == []
    else:
        [note] = warnings
        assert note.startswith(begins) and note.endswith(ends)


def test_what_is_the_same_of_many_checkpoints_is_noted_once(tmp_path: Path) -> None:
    models = [BigramModel(f"step-{step}", step) for step in range(6)]
    told = list(notes(run(models, [CORPUS], options=RunOptions(output=tmp_path))))
    names = "step-0, step-1, step-2, step-3 and 2 more"
    audit, reading = [note for note in told if "step-" in note]
    assert audit.startswith(f"not audited: {names}; ")
    assert reading.startswith(f"? {names} on first: not known whether it was read in training: ")


def test_without_a_terminal_no_number_is_cut_however_many_corpora(tmp_path: Path) -> None:
    corpora: list[str | Corpus] = [
        corpus_of(TEXTS[:5], f"a-rather-long-name-{number}") for number in range(14)
    ]
    result = run([BigramModel("m" * 60)], corpora, options=RunOptions(output=tmp_path))
    lines = printed(result)
    row = rows(lines)["m" * 60]
    assert row.count("±") == 15
    assert all(str(corpus.name) in lines[1] for corpus in corpora if isinstance(corpus, Corpus))
    assert not any("…" in line for line in lines)


def test_nothing_scored_prints_no_table(tmp_path: Path) -> None:
    result = run([BrokenModel("nan")], [corpus_of(["BREAK"])], options=RunOptions(output=tmp_path))
    [line] = printed(result)
    assert line.startswith("FAILED broken-nan on corpus: ")


def test_a_narrow_terminal_cuts_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    result = run([BigramModel()], [CORPUS, OTHER], options=RunOptions(output=tmp_path))
    stream = Terminal()
    print_result(result, stream)
    for cell in result.cells:
        assert f"{cell.bits_per_byte:.4f}" in stream.getvalue()
    assert "…" not in stream.getvalue()


def test_codecs_alone_have_no_note_on_the_policy(tmp_path: Path) -> None:
    lines = printed(run(["xz"], [CORPUS], options=RunOptions(output=tmp_path), policy="uncheatable"))
    assert rows(lines)["xz"][-2:] == ["document", "–"]
    assert not any(line.startswith("policy ") for line in lines)


def test_ranks_count_corpora_that_are_newer_than_every_model(tmp_path: Path) -> None:
    """As on a leaderboard; a model of which nobody says when its data end does not decide."""
    old, new = corpus_of(TEXTS, "old", date="2026-01-31"), corpus_of(TEXTS[:4], "new", date="2026-02-01")
    models = [
        BigramModel("dated", details={"knowledge_cutoff": "2026-01"}),
        BigramModel("undated", 1),
        BigramModel("older", 2, details={"released": "2025"}),
    ]
    result = run([*models, "zstd"], [old, new], options=RunOptions(output=tmp_path))
    values = {(cell.model.name, cell.corpus.name): cell.bits_per_byte for cell in result.cells}
    assert result.counted == ("new",)
    for ranked in result.ranking():
        mean = (values[ranked.model, "old"] + values[ranked.model, "new"]) / 2
        assert ranked.bits_per_byte == values[ranked.model, "new"]
        assert ranked.bits_per_byte_of_all == pytest.approx(mean)
        assert ranked.mark == {"undated": "?"}.get(ranked.model, "")
    order = [ranked.model for ranked in result.ranking()]
    assert order == sorted(order, key=lambda name: values[name, "new"])
    lines = printed(result)
    assert "macro average" in lines[1] and "of all corpora" in lines[1]
    [dated] = [line.split() for line in lines[2:6] if line.split()[1] == "dated"]
    assert [part for part in dated if part.endswith("†")] == [dated[4]]  # on `old` alone
    [undated] = [line.split() for line in lines[2:6] if line.split()[1] == "undated"]
    assert undated[0].endswith("?") and sum(part.endswith("?") for part in undated) == 4
    assert (
        "rank and macro average count new, newer than every model here (cutoffs and releases until "
        "2026-01-31), and not old"
    ) in lines
    content = result.to_json()
    assert content["corpora_counted"] == ["new"]
    # Where none is newer all count, as ever.
    alone = run(models, [old], options=RunOptions(output=tmp_path))
    assert alone.counted == ("old",) and not any("rank and macro" in line for line in printed(alone))
    assert [ranked.mark for ranked in alone.ranking() if ranked.model == "dated"] == ["†"]
