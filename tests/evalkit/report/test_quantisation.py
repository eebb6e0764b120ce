"""What quantisation costs: which models belong together, and the site's table of it."""

import dataclasses
import re
from pathlib import Path

import gguf
import pytest

from evalkit.analysis.compare import compare_cells, comparison_lines
from evalkit.analysis.configurations import ModelConfiguration
from evalkit.analysis.quantisation import quantised_models, stored_weights
from evalkit.analysis.results import read_results
from evalkit.cells.schema import CorpusCell
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.gguf_files import Tensors, random_model
from tests.support.sites import build_site_of
from tests.support.toys import TEXTS, corpus_of

CORPUS = corpus_of(TEXTS, "notes")


def retrained(tensors: Tensors) -> None:
    tensors["output_norm.weight"] = tensors["output_norm.weight"] * 1.001


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[CorpusCell]]:
    """One model in four types, and one that was trained on; xz beside them."""
    folder = tmp_path_factory.mktemp("quantised")
    names = []
    for name in ("Q4_1", "F32", "Q8_0", "F16"):
        kind = gguf.GGMLQuantizationType[name]
        names.append(f"gguf:{random_model(folder / f'{name}.gguf', 'llama', quantisation=kind)}")
    other = random_model(
        folder / "other.gguf", "llama", quantisation=gguf.GGMLQuantizationType.Q8_0, change=retrained
    )
    result = run([*names, f"gguf:{other}", "xz"], [CORPUS], options=RunOptions(output=folder / "runs"))
    assert not result.failures
    return folder / "runs", list(result.cells)


def test_files_of_one_model_are_found_by_what_quantisation_leaves(
    scored: tuple[Path, list[CorpusCell]],
) -> None:
    configurations = read_results(scored[0], warn=print).configurations
    names = [row.model.removeprefix("gguf:") for row in configurations]
    pairs = [(names[pair.configuration], names[pair.original]) for pair in quantised_models(configurations)]
    assert pairs == [(f"{name}.gguf", "F32.gguf") for name in ("F16", "Q8_0", "Q4_1")]
    bits = {name: stored_weights(row.facts).bits_per_weight for name, row in zip(names, configurations)}  # noqa: B905
    assert bits["F32.gguf"] == 32
    assert 16 < bits["F16.gguf"] < 16.2  # type: ignore[operator]  # vectors are float32
    assert 8.5 < bits["Q8_0.gguf"] < 8.7  # type: ignore[operator]
    assert 5 < bits["Q4_1.gguf"] < 5.3  # type: ignore[operator]


def changed(configuration: ModelConfiguration, name: str, **details: str | None) -> ModelConfiguration:
    facts = dataclasses.replace(
        configuration.facts, details={**configuration.facts.details, **details}, loader="hf"
    )
    return dataclasses.replace(configuration, model=name, facts=facts)


def test_an_origin_that_is_named_counts_where_it_was_scored_in_the_same_way(
    scored: tuple[Path, list[CorpusCell]],
) -> None:
    small = next(
        row for row in read_results(scored[0], warn=print).configurations if row.model == "gguf:Q4_1.gguf"
    )
    quantised = changed(small, "quantised", origin="whole", origin_sha256=None)
    whole = changed(small, "whole", origin_sha256=None, stored_dtype="bfloat16")
    assert quantised_models([whole, quantised]) == [(1, 0)]
    assert quantised_models([changed(small, "stranger", origin_sha256=None), quantised]) == []
    for setting in ({"context_limit": 77}, {"prefix_ids": (5,)}, {"name": "lm-eval"}):
        settings = dataclasses.replace(whole.settings, **setting)  # type: ignore[arg-type]
        assert quantised_models([dataclasses.replace(whole, settings=settings), quantised]) == []


def test_the_site_shows_each_beside_its_original(
    scored: tuple[Path, list[CorpusCell]], tmp_path: Path
) -> None:
    build_site_of(scored[0], tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text()
    section = page[page.index('<section id="quantisation">') :]
    rows = re.findall(r"<tr data-quantised.*?</tr>", section, re.DOTALL)
    assert len(rows) == 3
    texts = [re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", row)).strip() for row in rows]
    cells = {cell.model.name.removeprefix("gguf:"): cell for cell in scored[1]}
    for text, name in zip(texts, ("F16", "Q8_0", "Q4_1"), strict=True):
        comparison = compare_cells(cells[f"{name}.gguf"], cells["F32.gguf"])
        weights = comparison.weights_a
        assert weights.bits_per_weight is not None
        assert weights.file_bytes is not None
        assert text.startswith(f"gguf:{name}.gguf ")
        assert f" {weights.bits_per_weight:.2f} of 32.00 {weights.file_bytes / 1e6:.1f} of " in text
        assert comparison.interval is not None
        shown = [comparison.difference, comparison.interval.low, comparison.interval.high]
        found = re.search(r"(\S+) (\S+) to (\S+)$", text)
        assert found is not None
        places = len(found[1].partition(".")[2])
        assert [float(part.replace("−", "-")) for part in found.groups()] == pytest.approx(
            shown, abs=0.51 * 10**-places
        )
        line = comparison_lines(comparison, 0)[1]
        kind = "float16" if name == "F16" else name
        bits, megabytes = weights.bits_per_weight, weights.file_bytes / 1e6
        assert line.endswith(f"bits/byte  ({kind}, {bits:.2f} bits per weight, {megabytes:.1f} MB)")


def test_a_site_without_quantised_models_has_no_such_table(tmp_path: Path) -> None:
    run(["xz"], [CORPUS], options=RunOptions(output=tmp_path / "runs"))
    build_site_of(tmp_path / "runs", tmp_path / "site")
    assert "quantisation" not in (tmp_path / "site" / "index.html").read_text()
