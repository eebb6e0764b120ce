"""The site's page of training runs."""

from pathlib import Path

import lxml.html
import numpy as np
import pytest
from playwright.sync_api import Browser

from evalkit.analysis.curves import CurveOptions, curves
from evalkit.analysis.results import read_results
from evalkit.plots import curve
from evalkit.plots.frame import figure_bytes
from evalkit.report import SiteOptions
from evalkit.report.site import SiteFigure
from tests.evalkit.report.test_browser import (
    AXE,
    NO_AXE,
    RUN_AXE,
    Complaints,
    axe_is_installed,
    browser,  # noqa: F401  a fixture
    fits,
    new_context,
    url,
)
from tests.support.sites import build_site_of
from tests.support.training_runs import corpus_of_lengths, write_checkpoint

STEPS = (100, 200, 400, 800, 1600)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on two corpora, and a single checkpoint, which is no run."""
    folder = tmp_path_factory.mktemp("training")
    rng = np.random.default_rng(3)
    lengths = rng.integers(200, 900, 12)
    for name in ("code", "prose"):
        corpus = corpus_of_lengths(lengths, name)
        base = rng.uniform(0.8, 1.2, 12) * lengths
        for run, factor in (("mix-a", 1.0), ("mix-<b>", 1.03)):
            for step in STEPS:
                bits = base * factor * (1 + 3 * step**-0.5) * rng.normal(1, 0.01, 12)
                write_checkpoint(folder / "runs", run, step, corpus, bits)
        write_checkpoint(folder / "runs", "single", 7, corpus, base)
    figure = SiteFigure(
        "curve", "Training runs", "bands", {".svg": figure_bytes(curve(folder / "runs"), ".svg")}
    )
    build_site_of(folder / "runs", folder / "site", SiteOptions(figures=[figure]))
    return folder


def test_the_page_has_the_numbers_of_the_curves_and_is_linked_from_every_page(store: Path) -> None:
    for path in ("index.html", "models/hf-mix-a-step-100.html"):
        page = lxml.html.parse(store / "site" / path).getroot()
        [link] = page.xpath("//nav/a[text()='Training']/@href")
        assert (store / "site" / path).parent.joinpath(link).resolve() == store / "site" / "training.html"
    page = lxml.html.parse(store / "site" / "training.html").getroot()
    computed = curves(read_results(store / "runs", warn=print), CurveOptions(runs=["mix-a", "mix-<b>"]))
    levels = {(each.subject, each.run.name): each.points for each in computed}
    tables = page.xpath("//details//table")
    assert len(tables) == 3 and len(levels) == 6  # each corpus, and their mean
    seen = {}
    for table in tables:
        name = table.xpath("ancestor::details/summary")[0].text.removeprefix("Every checkpoint on ")
        for row in table.xpath("./tbody/tr"):
            run, step, level, change = (cell.text_content() for cell in row)
            seen[name, run, int(step.replace(",", ""))] = (
                float(level.split(" ±")[0]),
                None if change == "–" else float(change.split()[0].replace("−", "-")),
            )
    expected = {
        (*key, point.checkpoint.step): (
            pytest.approx(point.level.value, abs=6e-4),
            point.change and pytest.approx(point.change.value, abs=6e-5),
        )
        for key, points in levels.items()
        for point in points
    }
    assert seen == expected and len(seen) == 6 * len(STEPS)
    [law, *_] = [cell.text_content() for cell in page.xpath("//td[contains(@class, 'note')]")]
    fit = computed[0].fit
    assert fit is not None and f"exponent {fit.parameters['exponent'].value:.4g} (" in law
    assert page.xpath("//figure/a/img/@src") == ["plots/curve.svg"]
    drawn = (store / "site" / "plots" / "curve.svg").read_text(encoding="utf-8")
    assert "<!-- 1,000 -->" in drawn and "mathdefault" not in drawn  # numbers on the axis, and no TeX


def test_a_site_without_runs_has_no_such_page(store: Path, tmp_path: Path) -> None:
    for step, run in ((7, "single"), (9, "another")):
        write_checkpoint(
            tmp_path / "runs", run, step, corpus_of_lengths(np.array([9, 9])), np.array([9.0, 9.0])
        )
    build_site_of(tmp_path / "runs", tmp_path / "site")
    assert not (tmp_path / "site" / "training.html").exists()
    assert "training.html" not in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_the_page_is_accessible_on_a_narrow_dark_screen(browser: Browser, store: Path) -> None:  # noqa: F811
    with new_context(browser, color_scheme="dark", viewport={"width": 390, "height": 900}) as context:
        complaints = Complaints(context)
        page = context.new_page()
        page.goto(url(store / "site", "training.html"))
        page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        assert fits(page)
        if axe_is_installed():
            page.evaluate(AXE.read_text(encoding="utf-8"))
            assert page.evaluate(RUN_AXE) == []
        assert not complaints.found
    if not axe_is_installed():
        pytest.skip(NO_AXE)
