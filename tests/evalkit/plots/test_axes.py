"""Compressors need several times the bits of language models and do not set the axes; omissions are named."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evalkit import plots
from evalkit.analysis.results import read_results
from evalkit.corpora.store import make_corpus
from evalkit.plots.edges import limits_of
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.evalkit.plots.test_plots import texts_of as lines_of
from tests.support.stores import Counted, _documents


def cheap(name: str, share: float, **details: Any) -> Counted:
    """A model that pays this share of what counted bytes cost: about 1.2 bits per byte for 0.2."""
    model = Counted(name, "the of and text 12\n" * 9, 1, released="2025-12", **details)
    model.costs *= share
    return model


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two language models at about 1.2 bits per byte and three compressors at 3, on two months."""
    folder = tmp_path_factory.mktemp("cells")
    models = [cheap("small", 0.2, num_parameters=10**8), cheap("large", 0.18, num_parameters=10**9)]
    corpora = [
        make_corpus(
            f"wiki-2026-0{month}", _documents(month, 12, source="wiki", published_at=f"2026-0{month}-03")
        )
        for month in (1, 2)
    ]
    assert not run([*models, "xz", "zstd", "brotli"], corpora, options=RunOptions(output=folder)).failures
    return folder


def texts_of(figure: Any) -> str:
    return " ".join(lines_of(figure).split())


def levels_of(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Bits per byte on each corpus, from the documents' bits."""
    store = read_results(folder, warn=lambda _: None)
    return {
        row.label: np.array([c.bits[:, index].sum() / c.num_bytes.sum() for c in store.corpora])
        for index, row in enumerate(store.configurations)
    }


def test_parameters_has_room_for_language_models(cells: Path) -> None:
    figure = plots.parameters(cells)
    levels = {name: values.mean() for name, values in levels_of(cells).items()}
    low, high = figure.axes[0].get_ylim()
    assert low < levels["large"] < levels["small"] < high < 1.5 < 2.7 < levels["brotli"]
    assert (levels["small"] - levels["large"]) / (high - low) > 0.4  # 3 % with room for xz
    text = texts_of(figure)
    for name in ("xz", "zstd", "brotli"):
        assert f"{name} ↑ {levels[name]:.2f}" in text
    assert "arrows: compressors beyond the axis" in text
    assert all(max(line.get_ydata()) <= high for line in figure.axes[0].lines)


def test_differences_has_room_for_language_models(cells: Path) -> None:
    figure = plots.differences(cells)
    levels = {name: values.mean() for name, values in levels_of(cells).items()}
    low, high = figure.axes[0].get_xlim()
    gap = levels["small"] - levels["large"]
    assert low < 0 < gap < high < 2 * gap
    arrows = [line for line in figure.axes[0].lines if line.get_marker() == ">"]
    assert [(line.get_xdata()[0], line.get_clip_on()) for line in arrows] == [(high, False)] * 3
    assert f"→ +{levels['xz'] - levels['large']:.3f} [" in texts_of(figure)
    # Beside a compressor its own 0 would take the room.
    low, high = plots.differences(cells, reference="xz").axes[0].get_xlim()
    assert low < levels["large"] - levels["xz"] < levels["small"] - levels["xz"] < high < -1


def test_months_has_room_for_language_models(cells: Path) -> None:
    figure = plots.months(cells)
    levels = levels_of(cells)
    axes = figure.axes[1]
    low, high = axes.get_ylim()
    assert low < levels["large"].min() < levels["small"].max() < high < 1.5
    arrows = [line for line in axes.lines if line.get_marker() == "^" and not line.get_clip_on()]
    assert [line.get_ydata()[0] for line in arrows] == [high] * 6  # three compressors, two months
    days = {round(line.get_xdata()[0]) for line in arrows}
    assert days == {dt.date(2026, 1, 3).toordinal(), dt.date(2026, 2, 3).toordinal()}
    assert "xz ↑ " in texts_of(figure)


def test_colours_of_the_heat_map_tell_language_models_apart(cells: Path) -> None:
    figure = plots.heatmap(cells)
    mesh = figure.axes[0].collections[0]
    percent = np.asarray(mesh.get_array()).reshape(2, 5)
    levels = levels_of(cells)
    mean = (levels["small"] + levels["large"]) / 2
    expected = 100 * np.stack([levels["large"], levels["small"]], 1) / mean[:, None] - 100
    assert percent[:, :2] == pytest.approx(expected, abs=1e-3)  # levels have six decimals
    low, high = mesh.get_clim()
    assert high == -low == pytest.approx(np.abs(percent[:, :2]).max()) and percent[:, 2:].min() > 100
    assert "compressors further off than any language model" in texts_of(figure)


def test_ranks_and_speeds_have_room_for_language_models(cells: Path) -> None:
    for axes in plots.ranks(cells).axes:
        assert axes.get_ylim() == (2.5, 0.5)
        arrows = [line for line in axes.lines if line.get_marker() == "v" and not line.get_clip_on()]
        assert [line.get_ydata()[0] for line in arrows] == [2.5] * 6  # three compressors, two months
    assert "xz ↓ " in texts_of(plots.ranks(cells))
    results = read_results(cells, warn=pytest.fail)
    of_models = ("small", "large")
    rates = {
        name: max(cell.metrics.bytes_per_s for cell in results.cells if cell.model.name == name)
        for name in of_models
    }
    assert plots.speed(results).axes[0].get_xlim() == pytest.approx(
        (min(rates.values()) / 1.5, max(rates.values()) * 1.5)
    )


@pytest.mark.parametrize("name", ["differences", "heatmap", "months"])
def test_compressors_alone_set_their_axes(name: str, cells: Path) -> None:
    text = texts_of(plots.draw(name, cells, models=["xz", "zstd", "brotli"]))
    assert not {"↑", "→"} & set(text) and "compressors" not in text


def test_parameters_names_the_models_that_it_leaves_out(tmp_path: Path) -> None:
    corpora = [make_corpus(name, _documents(number, 9, source="x")) for number, name in enumerate("ab")]
    models = [cheap("sized", 0.2, num_parameters=256), cheap("unsized", 0.3)]
    run([*models, "xz"], corpora, options=RunOptions(output=tmp_path))
    run([cheap("partial", 0.2, num_parameters=512)], corpora[:1], options=RunOptions(output=tmp_path))
    warnings: list[str] = []
    conditions = " ".join(plots.parameters(tmp_path, warn=warnings.append).texts[1].get_text().split())
    assert (
        "; not drawn, size not known: unsized; not drawn, not scored on every corpus: partial" in conditions
    )
    assert warnings == [
        "unsized: how many parameters it has is not known; not drawn",
        "partial: it was not scored on every one of these corpora; not drawn",
    ]


def test_limits_hold_numbers_and_intervals() -> None:
    from evalkit.analysis.estimates import Estimate

    limits = limits_of([Estimate(1.0, 0.9, 1.1), Estimate(1.4, None, None)], margin=0.1)
    assert limits == pytest.approx((0.85, 1.45))
    assert [limits.side(value) for value in (0.8, 1.0, 1.5)] == [-1, 0, 1]
    assert [limits.pinned(value) for value in (0.8, 1.0, 1.5)] == [limits.low, 1.0, limits.high]
    assert limits_of([Estimate(2.0, None, None)]) == pytest.approx((1.9, 2.1))


def test_aggregates_are_over_corpora_newer_than_every_model(tmp_path: Path) -> None:
    """As on the board; a corpus that is named counts, and so do all with the switch."""
    days = ("2025-12-30", "2026-01-03", "2026-02-03")
    corpora = [
        make_corpus(f"wiki-{day}", _documents(seed, 12, source="wiki", published_at=day))
        for seed, day in enumerate(days)
    ]
    models = [cheap("small", 0.2, num_parameters=10**8), cheap("large", 0.18, num_parameters=10**9)]
    run(models, corpora, options=RunOptions(output=tmp_path))
    levels = levels_of(tmp_path)
    newer, every = slice(1, 3), slice(0, 3)
    for options, counted in (
        ({}, newer),
        ({"all_corpora": True}, every),
        ({"corpora": ["wiki-2025-12-30"]}, [0]),
    ):
        figure = plots.parameters(tmp_path, **options)
        shown = sorted(
            y for line in figure.axes[0].lines if line.get_marker() == "o" for y in line.get_ydata()
        )
        assert shown == pytest.approx([levels[name][counted].mean() for name in ("large", "small")], abs=1e-6)
        gap = (levels["small"] - levels["large"])[counted].mean()
        assert f"+{gap:.3f} [" in texts_of(plots.differences(tmp_path, **options))
        assert ("of 3 corpora those newer than every model" in texts_of(figure)) == (counted is newer)
        assert ("†" in texts_of(figure)) == (counted is not newer)
