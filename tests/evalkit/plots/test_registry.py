"""Plots of other packages: drawn beside ours, and named where they cannot be."""

from pathlib import Path

import pytest

from evalkit import plots
from evalkit.errors import UsageError
from evalkit.plots.registry import BUILT_IN, PLOT_GROUP
from tests.support.stores import write_synthetic_store
from tests.support.toys import run_cli

SOURCE = '''
from evalkit.plots.frame import frame, styled
from evalkit.plots.registry import Plot
from evalkit.plots.scores import results_of


@styled
def tower(results, *, models=(), warn=lambda _: None):
    """As many storeys as there are corpora."""
    figure, [axes] = frame("A tower", "of all corpora")
    axes.bar([0], [len(results_of(results, warn).corpora)])
    return figure


tower_plot = Plot("tower", "As many storeys as there are corpora.", tower)
function = tower
'''


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with a plot that works, and four that do not."""
    info = tmp_path / "plugin" / "towers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: towers\nVersion: 1.0\n")
    points = {
        "tower": "towers:tower_plot",
        "another": "towers:tower_plot",  # whose name is not that of its entry point
        "bare": "towers:function",
        "gone": "towers_that_never_were:plot",
        "heatmap": "towers:tower_plot",
    }
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[{PLOT_GROUP}]\n{lines}")
    (tmp_path / "plugin" / "towers.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path / "plugin")


@pytest.mark.usefixtures("plugins")
def test_a_package_brings_a_plot(tmp_path: Path) -> None:
    write_synthetic_store(tmp_path / "runs", num_models=2, num_corpora=3, num_documents=5)
    figure = plots.draw("tower", tmp_path / "runs")
    assert [bar.get_height() for bar in figure.axes[0].patches] == [3]
    assert run_cli("plot", "tower", tmp_path / "runs", "-o", tmp_path / "tower.svg").exit_code == 0
    told: list[str] = []
    figures = {figure.name: figure for figure in plots.draw_all(tmp_path / "runs", tell=told.append)}
    assert (figures["tower"].title, figures["tower"].conditions) == ("A tower", "of all corpora")
    assert "heatmap" in figures  # ours
    assert set(plots.find_plots().broken.values()) <= set(told)
    shown = run_cli("plot", "--help").stdout
    assert "tower: As many storeys as there are corpora." in shown and "heatmap: Models by corpora." in shown
    outcome = run_cli("plot", "tower", tmp_path / "runs", "-o", "a.svg", "--policy", "document")
    assert outcome.exit_code == 2 and "the plot tower takes no --policy; it takes --models" in outcome.stderr


@pytest.mark.usefixtures("plugins")
def test_what_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    table = plots.find_plots()
    assert list(table.plots)[: len(BUILT_IN)] == [plot.name for plot in BUILT_IN]
    assert "tower" in table.plots and table.broken.keys() == {"another", "bare", "gone", "heatmap"}
    with pytest.raises(UsageError, match=r"'gone' \(towers_that_never_were:plot\) cannot be loaded"):
        plots.draw("gone", tmp_path)
    for name in ("another", "bare", "heatmap"):
        assert "is not an evalkit.plots.registry.Plot of that name" in table.broken[name]
    assert "towers_that_never_were:plot" in run_cli("plot", "--help").stdout.replace("\n", " ")
