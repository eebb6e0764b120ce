"""Names in scripts that the plots' own font lacks: another font, or a line that says which to install.

Which fonts are installed is set here: those that come with matplotlib.
"""

import warnings
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

from evalkit import fonts
from evalkit.analysis.results import read_results
from evalkit.plots.drawing import draw_all
from evalkit.plots.frame import NotebookFigure, figure_bytes, frame, styled
from evalkit.plots.heatmap import heatmap
from evalkit.plots.registry import Plot, PlotTable
from evalkit.plots.scores import Warn, silent
from tests.support.stores import write_synthetic_store

HOOKED = "\u1d81"  # in STIX, not in DejaVu Sans
FILES = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@pytest.fixture(params=["STIXGeneral", ""])
def second(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only font beside the plots' own, if there is one."""
    names = {"DejaVu Sans": "DejaVuSans", "Last Resort High-Efficiency": "LastResortHE-Regular"}
    if request.param:
        names[request.param] = request.param
    installed = tuple(fonts._Font(name, str(FILES / f"{file}.ttf")) for name, file in names.items())
    monkeypatch.setattr(fonts, "_installed", lambda: installed)
    return str(request.param)


@styled
def named(names: str, *, warn: Warn = silent) -> Figure:
    figure, [axes] = frame("title", "conditions")
    axes.set_yticks([0.5], [names])
    warn("drawn")
    return figure


def test_a_name_is_drawn_with_a_font_that_has_it_or_told_of(second: str) -> None:
    told: list[str] = []
    figure = named(f"model {HOOKED}", warn=told.append)
    assert isinstance(figure, NotebookFigure)
    assert figure.families == ((second,) if second else ())
    assert (b'xlink:href="#STIXGeneral-' in figure_bytes(figure, ".svg")) == bool(second)
    if second:
        assert told == ["drawn"]
    else:
        [_, line] = told
        assert line == (
            f"no installed font has {HOOKED}, which are drawn as boxes; install fonts that have them "
            "(Debian's packages: fonts-noto-core) and draw again"
        )


@pytest.mark.parametrize("second", [""], indirect=True)
def test_a_line_names_the_packages_and_a_site_is_told_once(
    second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["\u6587\u5b57-7b", "\ud55c\uad6d\uc5b4", "\u304b\u306a \U0001faf6\U0001f3fd \u0e01"]
    with pytest.warns(UserWarning, match=r"packages: fonts-noto-cjk, fonts-noto-core, fonts-symbola\)"):
        named(" ".join(names))  # who gives no `warn` is told by Python
    write_synthetic_store(tmp_path, num_models=3, num_corpora=1, num_documents=5, names=names)
    table = PlotTable({name: Plot(name, "", heatmap) for name in ("a", "b")}, {})
    monkeypatch.setattr("evalkit.plots.drawing.find_plots", lambda: table)
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(draw_all(read_results(tmp_path, warn=pytest.fail), tell=told.append)) == 2
    [line] = told
    first = "\u0e01 \u304b \u306a \u5b57 \u6587 \uad6d \uc5b4 \ud55c"
    assert line.startswith(f"no installed font has {first} and ")


def test_what_the_own_font_has_needs_no_other(second: str) -> None:
    names = "\u05e9\u05dc\u05d5\u05dd \u0633\u0644\u0627\u0645 \u0394 \u0416 e\u0301\ufe0f \u200d ☃ \u202e"
    assert fonts.lacking(names) == []
