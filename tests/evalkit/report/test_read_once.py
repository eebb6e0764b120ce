"""Results are read once, however much is made of them.

Of the committed results tests/test_results.py says so.
"""

from pathlib import Path

from evalkit.analysis.results import read_results
from evalkit.plots import draw_all
from evalkit.report import SiteOptions, build_site
from tests.support.opened_files import counted, jsons
from tests.support.stores import score_small_store


def test_a_site_with_all_plots(tmp_path: Path) -> None:
    score_small_store(tmp_path / "runs")
    with counted() as opened:
        results = read_results(tmp_path / "runs", warn=lambda _: None)
        counts = jsons(tmp_path / "runs", opened)
        assert len(counts) == 21 and set(counts.values()) == {1}
        options = SiteOptions(figures=draw_all(results))
        assert {"parameters", "positions", "speed"} <= {figure.name for figure in options.figures}
        build_site(results, tmp_path / "site", options)
        # The one that is not of a whole corpus is looked at once more, as a benchmark that it might be.
        assert sorted(jsons(tmp_path / "runs", opened).values()) == [1] * 20 + [2]
