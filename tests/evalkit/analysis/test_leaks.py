"""A planted leak, through real cells: documents that one model pays little for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evalkit
from evalkit.analysis.leaks import Leaks, find_leaks
from evalkit.analysis.repetitions import find_repetitions
from evalkit.analysis.results import Results, read_results
from evalkit.corpora.document import Corpus, Document, make_corpus, make_document
from evalkit.corpora.store import save_corpus
from evalkit.errors import UsageError
from evalkit.runner.options import RunOptions
from evalkit.runner.rereading import Rereading
from tests.support.stores import Counted
from tests.support.toys import run_cli

LEAKED = (17, 80)
WORDS = "the of bits and bytes model text month rain council grain road letter river stone house"


class Leaky(Counted):
    """Pays a third for the texts that it has read."""

    def __init__(self, name: str, text: str, piece: int, read: list[str]) -> None:
        super().__init__(name, text, piece)
        self._read = {tuple(super(Leaky, self).encode(document).ids.tolist()) for document in read}

    def nats(self, sequences: Any, *, contexts: Any = None) -> list[Any]:
        costs = super().nats(sequences, contexts=contexts)
        return [
            cost / 3 if tuple(map(int, ids)) in self._read else cost
            for ids, cost in zip(sequences, costs, strict=True)
        ]


def _document(text: str, document_id: str) -> Document:
    return make_document(text, id=document_id, source="drawn", license="CC0-1.0")


def corpus() -> Corpus:
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.choice(WORDS.split(" "), size=int(rng.integers(60, 200)))) for _ in range(120)]
    return make_corpus("fresh", [_document(text, f"n{place}") for place, text in enumerate(texts)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells, with the bits of tokens, of a model that has read two documents and of three that have not."""
    path = tmp_path_factory.mktemp("leaks")
    fresh = corpus()
    read = [fresh.documents[place].text for place in LEAKED]
    models: list[Any] = [Leaky("leaky", "the of and\n" * 9, 2, read)]
    models += [Counted(f"honest-{piece}", f"bits and bytes {piece}" * 5, piece) for piece in (1, 3, 4)]
    evalkit.run(models, [fresh], token_bits=True, options=RunOptions(output=path / "runs"))
    # An older corpus with one of the two, a little changed.
    older = [_document(f"Dear reader: {read[0]} and so on", "letter"), _document("Nothing of it.", "other")]
    save_corpus(make_corpus("older", older), path / "store")
    save_corpus(fresh, path / "store")
    return path


@pytest.fixture
def results(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setenv("EVALKIT_CORPORA", str(folder / "store"))
    return read_results(folder / "runs", warn=lambda text: pytest.fail(text))


def flagged(leaks: Leaks) -> list[int]:
    return sorted(document.place for document in leaks.flagged)


def test_the_leak_is_flagged_and_nothing_else(results: Results) -> None:
    leaks = find_leaks(results, "leaky")
    assert flagged(leaks) == sorted(LEAKED)
    assert leaks.panel == ("honest-1", "honest-3", "honest-4")
    assert len(leaks.documents) == 120 and leaks.with_tokens == leaks.corpora == (0,)
    for document in leaks.flagged:
        assert document.bits_per_byte / document.expected_bits_per_byte == pytest.approx(1 / 3, rel=0.1)
        assert document.min_k_probability is not None and document.min_k_probability < 1e-3
    for name in ("honest-1", "honest-3", "honest-4"):
        assert flagged(find_leaks(results, name)) == []


def test_a_panel_of_one_says_so(results: Results) -> None:
    leaks = find_leaks(results, "leaky", panel=["honest-3"])
    assert set(LEAKED) <= set(flagged(leaks))
    assert any("a panel of one" in note for note in leaks.notes)


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_is_a_share(results: Results, rate: float) -> None:
    with pytest.raises(UsageError, match="--rate"):
        find_leaks(results, "leaky", rate=rate)


def test_the_command_tells_what_was_read_before(results: Results, folder: Path) -> None:
    runs = str(folder / "runs")
    outcome = run_cli("leaks", "leaky", runs, "--older", "older")
    assert outcome.exit_code == 0, outcome.stderr
    assert "2 of 120 documents are too easy" in outcome.stdout
    assert "repeats older letter" in outcome.stdout
    assert "1 of 120 documents repeat one of an older corpus" in outcome.stdout
    content = json.loads(run_cli("leaks", "leaky", runs, "--older", "older", "--json").stdout)
    assert {document["id"] for document in content["flagged"]} == {"n17", "n80"}
    [repetition] = content["repetitions"]
    assert repetition["id"] == "n17" and repetition["older_id"] == "letter" and repetition["similarity"] > 0.9
    itself = run_cli("leaks", "leaky", runs, "--older", "fresh")
    assert itself.exit_code == 2 and "itself" in itself.stderr
    unknown = run_cli("leaks", "leak", runs)
    assert unknown.exit_code == 2 and "leaky" in unknown.stderr


def test_repetitions_are_of_the_corpus_and_the_place_that_they_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All corpora are compared at once; one whose texts are not in the store is none of them."""
    texts = [document.text for document in corpus().documents]
    parts = {"a": texts[:3], "b": texts[3:5], "c": texts[5:9]}
    corpora = [
        make_corpus(name, [_document(text, f"{name}{place}") for place, text in enumerate(part)])
        for name, part in parts.items()
    ]
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "store"))
    for stored in (corpora[0], corpora[2]):
        save_corpus(stored, tmp_path / "store")
    evalkit.run(["xz"], corpora, options=RunOptions(output=tmp_path / "runs"))
    read = read_results(tmp_path / "runs", warn=pytest.fail)
    assert [scored.name for scored in read.corpora] == ["a", "b", "c"]
    older = [make_corpus("o", [_document(texts[8], "x"), _document(texts[3], "y"), _document(texts[1], "z")])]
    outcome = find_repetitions(read, [0, 1, 2], older)
    assert [(row.corpus, row.place, row.older_id) for row in outcome.repetitions] == [
        (0, 1, "z"),
        (2, 3, "x"),
    ]
    assert outcome.num_documents == 7 and outcome.notes[0].startswith("b: its texts are not in the store")
    with pytest.raises(UsageError, match="--older c: it is c itself"):
        find_repetitions(read, [0, 1, 2], [*older, corpora[2]])


def test_min_k_plus_plus_is_a_test_beside_the_others(results: Results) -> None:
    """Given numbers of the panel that are all alike, two documents of the model's stand out."""
    rng = np.random.default_rng(3)
    hard = rng.normal(1.5, 0.2, 120)

    def scores(number: int, rows: Any) -> Any:
        assert number == 0 and len(rows) == 4
        given = -hard[:, None] + 0.02 * rng.standard_normal((120, 4))
        given[[30, 40], 0] += 0.8  # likelier, beside all that could stand there, than for anybody else
        return given

    leaks = find_leaks(results, "leaky", min_k_plus_plus=scores)
    by_chance = {*flagged(leaks)} - {*LEAKED, 30, 40}
    assert len(flagged(leaks)) == 4 + len(by_chance) and len(by_chance) <= 1  # the rate is one in twenty
    assert leaks.with_distributions == (0,)
    by_place = {document.place: document for document in leaks.documents}
    for place in (30, 40):
        assert (by_place[place].min_k_plus_plus_probability or 1) < 1e-4
        assert by_place[place].probability > 0.01
    without = find_leaks(results, "leaky", min_k_plus_plus=lambda number, rows: None)
    assert flagged(without) == sorted(LEAKED) and without.with_distributions == ()
    assert any("Min-K%++ is not tested" in note for note in without.notes)


def test_documents_are_read_again_by_the_models_of_the_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "store"))
    texts = [document.text[:40] for document in corpus().documents[:30]]
    short = make_corpus("short", [_document(text, f"s{place}") for place, text in enumerate(texts)])
    save_corpus(short, tmp_path / "store")
    names = ["rwkv7-nano", "llama-nano"]
    evalkit.run([*names, "xz"], [short], options=RunOptions(output=tmp_path / "runs"))
    read = read_results(tmp_path / "runs", warn=pytest.fail)
    rows = [next(n for n, row in enumerate(read.configurations) if row.model == name) for name in names]
    rereading = Rereading(read, "document", device="cpu")
    scores = rereading(0, rows)
    assert scores is not None and scores.shape == (30, 2) and np.isfinite(scores).all()
    [compressor] = {0, 1, 2} - {*rows}
    assert rereading(0, [rows[0], compressor]) is None
    content = json.loads(
        run_cli("leaks", "rwkv7-nano", tmp_path / "runs", "--min-k-plus-plus", "--json").stdout
    )
    assert content["corpora_with_distributions"] == ["short"]


def test_a_model_that_no_name_finds_cannot_read_again(results: Results) -> None:
    with pytest.raises(UsageError, match="honest-1"):
        Rereading(results, "document")(0, [0])
