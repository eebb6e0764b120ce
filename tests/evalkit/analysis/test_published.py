"""Published tables stand as their sources print them, beside ours of the same and outside the ranks."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

import lxml.html
import pytest

from evalkit.analysis.published import compare, published_tables, read_tables
from evalkit.analysis.results import read_results
from evalkit.models.catalog import load_catalog
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.scoring.policy import POLICIES
from tests.support.sites import build_site_of
from tests.support.toys import TEXTS, BigramModel, corpus_of, run_cli

CATALOG = load_catalog()
TABLES = {table.key: table for table in published_tables()}
MAY = TABLES["uncheatable-2024-05"]
CORPORA = [corpora[0] for heading, corpora in MAY.columns.items() if heading != "average"]


def test_each_table_says_where_it_was_read_and_fits_the_catalog() -> None:
    for table in TABLES.values():
        assert table.source.startswith("https://") and table.title
        assert table.policy is None or table.policy in POLICIES
        names = [model.name for model in table.models]
        assert names and len(set(names)) == len(names)
        for model in table.models:
            assert model.catalog_name is None or model.catalog_name in CATALOG, model.name
            low, high = (0.3, 1.2) if table.unit == "bits per byte" else (3, 15)
            assert all(value is None or low < value < high for value in model.values), model


def test_averages_are_the_means_of_their_columns_but_for_the_one_that_is_told_of() -> None:
    """A slip in copying a number shows here: the sources print three decimals."""
    wrong = []
    for table in TABLES.values():
        if "average" not in table.columns or len(table.columns) < 3:
            continue
        for model in table.models:
            average, *values = [value for value in model.values if value is not None]
            if abs(average - statistics.fmean(values)) > 0.0011:
                wrong.append((table.key, model.name))
                assert table.note is not None and f"{statistics.fmean(values):.3f}" in table.note
    assert wrong == [("rwkv-wiki", "RWKV7-g0b-13.3b")]


def test_numbers_of_the_sources() -> None:
    llama = next(model for model in MAY.models if model.name == "Meta-Llama-3-8B")
    assert llama.values == (7.286, 10.605, 7.742, 7.676, 8.221, 4.287, 4.489, 7.981)
    marin = {model.name: model.values for model in TABLES["marin-8824"].models}
    assert marin["Nemotron 3 Super"] == (0.4964,) and marin["Gemma 4 26B-A4B"] == (0.5345,)
    [fifteen] = TABLES["marin-8824"].columns.values()
    assert len(fifteen) == 15 and len(TABLES["rwkv-wiki"].models) == 43


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog's Mistral 7B under two names, and others, on the table's corpora."""
    folder = tmp_path_factory.mktemp("published") / "runs"
    entry = CATALOG["mistral-7b"]
    models = [
        BigramModel("mistral-7b", 1, details={"target": entry.target}),
        BigramModel("hf:mistralai/Mistral-7B-v0.1", 2, details={"target": entry.target}),
        BigramModel("of-another-file", 3, details={"target": entry.target, "file": "other.gguf"}),
        BigramModel("unknown", 4),
    ]
    corpora = [corpus_of(TEXTS[: 2 + place], name=name) for place, name in enumerate(CORPORA)]
    for policy in ("uncheatable", "document"):
        options = RunOptions(output=folder)
        run(models[:1], corpora, policy=policy, options=options)
        run(models[1:], corpora[:2], policy=policy, options=options)
    return folder


def bits_per_byte(store: Path, model: str, policy: str) -> dict[str, float]:
    """From the files, plainly."""
    cells = [json.loads(path.read_text()) for path in store.rglob("*.json")]
    return {
        cell["corpus"]["name"]: cell["totals"]["total_bits"] / cell["totals"]["num_bytes"]
        for cell in cells
        if (cell["model"]["name"], cell["policy"]["name"]) == (model, policy)
    }


def test_ours_of_the_same_stand_beside_a_published_row(store: Path) -> None:
    rows = compare(MAY, read_results(store, warn=pytest.fail), CATALOG)
    assert [row.published for row in rows] == list(MAY.models)
    by_name = {row.published.name: row for row in rows}
    mistral = by_name.pop("Mistral-7B-v0.1")
    assert all(not row.ours for row in by_name.values())
    ours, other_name = sorted(mistral.ours, key=lambda row: row.values[0] is None)
    scored = bits_per_byte(store, "mistral-7b", "uncheatable")
    columns = [12.5 * scored[name] for name in CORPORA]
    expected = [statistics.fmean(columns), *columns]
    assert list(ours.values) == pytest.approx(expected, rel=1e-12)
    published = mistral.published.values
    assert list(ours.differences) == pytest.approx(
        [a - (b or math.nan) for a, b in zip(expected, published, strict=True)], rel=1e-9
    )
    # Under another name, and not on all corpora: of those that there are, and no average.
    assert "Mistral-7B-v0.1" in other_name.label
    assert [value is None for value in other_name.values] == [True, False, False, *[True] * 5]
    assert other_name.differences[0] is None


def test_what_is_not_the_same_is_not_put_beside(store: Path) -> None:
    results = read_results(store, warn=pytest.fail)
    for changed in (
        MAY._replace(policy="lm-eval"),
        MAY._replace(policy=None),
        MAY._replace(columns=dict.fromkeys(MAY.columns, ())),
        MAY._replace(models=tuple(model._replace(catalog_name=None) for model in MAY.models)),
    ):
        assert not [row for row in compare(changed, results, CATALOG) if row.ours]
    assert not [row for row in compare(MAY, None, CATALOG) if row.ours]
    in_bits = MAY._replace(unit="bits per byte")
    [row] = [row for row in compare(in_bits, results, CATALOG) if row.ours]
    assert row.ours[0].values[1] == pytest.approx(
        bits_per_byte(store, row.ours[0].label.split(" · ")[0], "uncheatable")[CORPORA[0]], rel=1e-12
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[t]\nunit = "nats"\nmodels = []\n[t.columns]\na = []', "published table t"),
        ('[t]\nunit = "rate %"\nmodels = [["m", "", 1.0, 2.0]]\n[t.columns]\na = []', "published table t"),
    ],
)
def test_a_table_that_does_not_fit_together_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_tables(text)


def test_the_command_prints_all_tables_with_ours_below(store: Path) -> None:
    lines = run_cli("table", store, "--published").stdout.splitlines()
    for table in TABLES.values():
        assert [line for line in lines if line.startswith(f"{table.title}: published, {table.unit}, from ")]
    place = next(
        number for number, line in enumerate(lines) if line.split()[:2] == ["Mistral-7B-v0.1", "7.581"]
    )
    scored = bits_per_byte(store, "mistral-7b", "uncheatable")
    average = 12.5 * statistics.fmean(scored[name] for name in CORPORA)
    below = [line.split() for line in lines[place + 1 : place + 5]]
    assert [line[0] for line in below] == ["ours:", "difference", "ours:", "difference"]
    numbers = {line[-8] for line in below}
    assert {f"{average:.3f}", f"{average - 7.581:+.3f}"} <= numbers
    content: Any = json.loads(run_cli("table", store, "--published", "--json").stdout)
    assert [table["key"] for table in content["tables"]] == list(TABLES)
    row = next(row for row in content["tables"][0]["models"] if row["name"] == "Mistral-7B-v0.1")
    assert len(row["ours"]) == 2 and len(row["values"]) == 8
    # Without results there is what was published, and nothing else.
    alone = run_cli("table", "no-such-folder", "--published").stdout
    assert "Meta-Llama-3-8B" in alone and "ours" not in alone
    assert run_cli("table", "no-such-folder").exit_code == 2


def test_the_command_prints_every_cell(store: Path) -> None:
    cells = json.loads(run_cli("table", store, "--json").stdout)["cells"]
    assert len(cells) == 2 * (7 + 3 * 2)
    scored = bits_per_byte(store, "unknown", "document")
    [row] = [
        row
        for row in cells
        if (row["model"].split(" · ")[0], row["corpus"], row["policy"]) == ("unknown", CORPORA[0], "document")
    ]
    assert row["bits_per_byte"] == pytest.approx(scored[CORPORA[0]], rel=1e-12)
    assert f"{scored[CORPORA[0]]:.4f}" in run_cli("table", store).stdout


def test_the_site_shows_them_as_published_and_ranks_none(store: Path, tmp_path: Path) -> None:
    build_site_of(store, tmp_path / "site")
    board = lxml.html.fromstring((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    ranked = board.get_element_by_id("leaderboard").text_content()
    assert "Meta-Llama-3-8B" not in ranked and "7.581" not in ranked
    beside = " ".join(board.get_element_by_id("published").text_content().split())
    scored = bits_per_byte(store, "mistral-7b", "uncheatable")
    average = 12.5 * statistics.fmean(scored[name] for name in CORPORA)
    assert "Mistral-7B-v0.1 7.581" in beside and f"{average:.3f}" in beside
    assert f"{average - 7.581:+.3f}".replace("-", "−") in beside
    assert "Meta-Llama-3-8B" not in beside  # not scored here: it is on the page of its own
    page = lxml.html.fromstring((tmp_path / "site" / "published.html").read_text(encoding="utf-8"))
    text = " ".join(page.text_content().split())
    for table in TABLES.values():
        assert table.title in text
    assert "Meta-Llama-3-8B 7.286 10.605" in text
    links = {link.get("href") for link in page.iter("a")}
    assert {table.source for table in TABLES.values()} <= links
