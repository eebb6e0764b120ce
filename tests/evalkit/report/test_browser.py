"""The site in a real browser, opened as files: what a reader clicks, types and sees.

The browser is the system's Chromium (Debian's package ``chromium``); `evalkit` depends on none.
"""

import csv
import dataclasses
import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import evalkit
from evalkit.analysis.byte_costs import byte_costs
from evalkit.analysis.rankings import Choice, compute
from evalkit.analysis.results import read_results
from evalkit.corpora.store import make_corpus, make_document, save_corpus
from evalkit.report.text import visible
from tests.evalkit.report.conftest import Large, Small
from tests.evalkit.report.test_numbers import read_data
from tests.support.cells import probe_content, task_content, write_cell_files
from tests.support.sites import build_site_of
from tests.support.stores import Counted, _documents, _write_cell

_PATIENCE_MS = 120_000  # an expectation that is not met ends its test after that
expect.set_options(timeout=_PATIENCE_MS)

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Of the module, not of the session: while Playwright runs, asyncio.run cannot be used in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        problem = "there is no Chromium; `make test` installs Debian's package, or: apt-get install chromium"
        if os.environ.get("CI") or shutil.which("apt-get"):
            pytest.fail(problem)
        pytest.skip(f"{problem} (and this system has no apt)")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS, timeout=_PATIENCE_MS)
        yield found
        found.close()


def new_context(browser: Browser, **options: Any) -> BrowserContext:
    """Pages that wait as long as a busy machine takes."""
    context = browser.new_context(**options)
    context.set_default_timeout(_PATIENCE_MS)
    return context


class Complaints:
    """A page's context, and everything that went wrong in it."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.found: list[str] = []
        context.on("console", lambda message: self.found.append(f"{message.type}: {message.text}"))
        context.on("weberror", lambda error: self.found.append(f"error: {error.error}"))
        context.on("dialog", lambda dialog: self.found.append(f"dialog: {dialog.message}"))

        def request(one: Any) -> None:
            if not one.url.startswith(("file:", "data:")):
                self.found.append(f"request: {one.url}")

        context.on("request", request)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in which nothing may go wrong: no message on the console, no request but for files."""
    context = new_context(browser, viewport={"width": 1280, "height": 900})
    complaints = Complaints(context)
    yield context.new_page()
    context.close()
    assert not complaints.found


def url(site: Path, path: str) -> str:
    name, _, fragment = path.partition("#")
    return (site / name).as_uri() + (f"#{fragment}" if fragment else "")


def models_in_order(page: Page) -> list[str]:
    return page.locator("#leaderboard tbody th a").all_inner_texts()


def fits(page: Page) -> bool:
    """Whether the page as a whole does not scroll sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def open_filters(page: Page) -> None:
    page.locator("#filters").evaluate("(filters) => { filters.open = true; }")


def open_leaderboard(page: Page, site: Path, fragment: str = "#month=all") -> None:
    """With all its controls in view, and of all months unless told otherwise."""
    page.goto(url(site, f"index.html{fragment}"))
    expect(page.locator("#controls")).to_be_visible()
    open_filters(page)


def test_the_script_shows_what_the_page_says_without_it(browser: Browser, page: Page, small: Small) -> None:
    def table(one: Page) -> list[dict[str, Any]]:
        return list(
            one.evaluate(
                """() => [...document.querySelectorAll("#leaderboard tbody tr")].map((row) => ({
                    name: row.querySelector("th").innerText,
                    rank: row.cells[0].innerText, size: row.querySelector(".size").innerText,
                    score: row.querySelector("[data-aggregate=macro]").innerText,
                    cells: [...row.querySelectorAll("[data-corpus]")].map((cell) =>
                        [cell.className, cell.innerText, cell.querySelector("a").outerHTML]),
                }))"""
            )
        )

    open_leaderboard(page, small.site, "")
    with new_context(browser, java_script_enabled=False) as context:
        plain = context.new_page()
        plain.goto(url(small.site, "index.html"))
        # Playwright evaluates also where the page's own scripts are off.
        assert table(plain) == table(page)
        assert plain.locator("#controls").is_hidden()
        assert plain.locator("[data-aggregate=geometric]").count() == 6


def test_sort(page: Page, small: Small) -> None:
    open_leaderboard(page, small.site)
    first = models_in_order(page)
    page.get_by_role("button", name="model").click()
    assert models_in_order(page) == sorted(first, key=str.lower) != first
    assert page.locator("th.model[aria-sort]").get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="model").press("Enter")
    assert models_in_order(page) == sorted(first, key=str.lower, reverse=True)
    page.get_by_role("button", name="closed-2026-11").click()
    shown = page.locator("td[data-corpus='0'] a").all_inner_texts()
    assert shown == sorted(shown, key=float)
    page.get_by_role("button", name="size").click()
    sizes = page.locator("#leaderboard tbody td.size").all_inner_texts()
    assert sizes == ["7", "256", "2 B", "–", "–", "–"]


def test_filter(page: Page, small: Small) -> None:
    open_leaderboard(page, small.site)
    page.locator("[name=license]").select_option("MIT")
    assert set(models_in_order(page)) == {"xz", "zstd", "bytes"}
    page.get_by_label("compressors too").uncheck()
    assert models_in_order(page) == ["bytes"]
    expect(page.locator("#status")).to_have_text("1 of 6 models on 3 corpora")
    assert page.locator("#leaderboard tbody td.rank").all_inner_texts() == ["1"]
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("#leaderboard tbody tr")).to_have_count(6)
    page.locator("[name=size]").press("Home")
    expect(page.locator("#size-limit")).to_have_text("0.2 B")
    assert "pairs" not in models_in_order(page) and "bytes" in models_in_order(page)
    page.get_by_role("button", name="Reset").click()
    page.locator("[name=month]").select_option("all months")
    page.get_by_label("wiki").check()
    expect(page.locator("#leaderboard thead .corpus")).to_have_count(1)
    page.locator("[name=month]").select_option("2026-11")
    expect(page.locator("#status")).to_have_text("No corpus fits these filters.")
    page.get_by_label("wiki").uncheck()
    expect(page.locator("#leaderboard thead .corpus")).to_have_count(2)
    page.get_by_role("button", name="Reset").click()
    page.locator("[name=month]").select_option("all months")
    page.get_by_label("Policy").select_option("uncheatable")
    expect(page.locator("#leaderboard thead .corpus")).to_have_count(1)
    assert set(models_in_order(page)) == {"xz", "zstd", "bytes", "pairs"}
    assert "policy=uncheatable" in page.url
    page.reload()
    expect(page.locator("#leaderboard caption b")).to_have_text("uncheatable")


def test_switch_the_aggregate_and_the_unit(page: Page, small: Small) -> None:
    data = read_data(small.site, "data/leaderboard.js")
    view = data["views"][data["choices"][0][3]]
    open_leaderboard(page, small.site, "#month=all&corpora=all")
    for kind in ("micro", "geometric", "macro"):
        page.get_by_role("radio", name=kind).check(force=True)
        levels = view["aggregates"][kind]["levels"]
        order = sorted(levels, key=lambda configuration: levels[configuration][0])
        rows = page.locator("#leaderboard tbody tr")
        assert [row.get_attribute("data-configuration") for row in rows.all()] == order
        first = page.locator("#leaderboard tbody .aggregate .value").first.inner_text()
        assert float(first) == pytest.approx(levels[order[0]][0], abs=5.1e-4)
    page.get_by_role("radio", name="rate %").check(force=True)
    first = page.locator("#leaderboard tbody .aggregate .value").first.inner_text()
    assert float(first) == pytest.approx(12.5 * levels[order[0]][0], abs=5.1e-3)
    page.get_by_role("radio", name="difference").check(force=True)
    assert page.locator("#leaderboard tbody tr").first.locator(".aggregate").inner_text() == "reference"
    page.get_by_label("Difference to").select_option("zstd")
    row = page.locator("#leaderboard tbody tr", has=page.get_by_role("link", name="xz", exact=True))
    names = [configuration["label"] for configuration in data["configurations"]]
    xz, zstd = names.index("xz"), names.index("zstd")
    gap, low, high = view["aggregates"]["macro"]["pairs"][str(xz)][str(zstd)]
    text = row.locator(".aggregate").inner_text()
    printed = [float(part.replace("−", "-")) for part in re.findall(r"[+−]?\d+\.\d+", text)]
    assert printed == pytest.approx([gap, low, high], abs=5.1e-5)


def test_only_corpora_newer_than_every_model_shown_count(page: Page, small: Small) -> None:
    """`bytes` was released in September 2026, `pairs` ends on 2026-10-03, of two nobody says."""
    data = read_data(small.site, "data/leaderboard.js")
    labels = [corpus["label"] for corpus in data["corpora"]]
    columns, counted = page.locator("#leaderboard thead .corpus"), page.locator("#counted")
    newer = ["closed-2026-11", "hostile"]

    def shown() -> list[str]:
        return [name for name in labels if columns.filter(has_text=name).count()]

    def aggregate(name: str) -> tuple[float, str]:
        row = page.locator("#leaderboard tbody tr", has=page.get_by_role("link", name=name, exact=True))
        mark = row.locator(".aggregate sup")
        return float(row.locator(".aggregate .value").inner_text()), "".join(mark.all_inner_texts())

    open_leaderboard(page, small.site)
    expect(counted).to_have_text(
        "2 of 3 corpora count: those newer than every model shown (cutoffs and releases until 2026-10-03). "
        "2 models do not decide this, for it is not known when their training data end: ?."
    )
    assert shown() == newer
    number = {
        model["label"]: str(model["index"])
        for model in data["configurations"]
        if model["policy"] == "document"
    }
    for name, mark in (("bytes", ""), ("pairs", ""), ("lossy", "?")):
        levels = [data["levels"][labels.index(corpus)][number[name]][0] for corpus in newer]
        value, shown_mark = aggregate(name)
        assert value == pytest.approx(np.mean(levels), abs=5.1e-4) and shown_mark == mark
    ranks = page.locator("#leaderboard tbody td.rank").all_inner_texts()
    assert sum("?" in rank for rank in ranks) == 2 and not any("†" in rank for rank in ranks)

    # Without the model whose data end in October all are newer than what is shown.
    page.locator("[name=license]").select_option("MIT")
    expect(counted).to_have_text(
        "Every corpus is newer than every model shown (cutoffs and releases until 2026-09-30)."
    )
    assert shown() == labels
    page.get_by_role("button", name="Reset").click()
    page.locator("[name=month]").select_option("all months")
    expect(columns).to_have_count(2)

    page.get_by_role("radio", name="all", exact=True).check(force=True)
    expect(columns).to_have_count(3)
    expect(counted).to_have_text("Every corpus counts, also what a model shown may have read: see the marks.")
    assert aggregate("pairs")[1] == "†" and aggregate("bytes")[1] == "" and aggregate("lossy")[1] == "?"
    assert page.url.endswith("#corpora=all&month=all")
    page.reload()
    expect(columns).to_have_count(3)
    open_filters(page)
    # Of a source whose texts `pairs` may have read nothing would be left: then all count, with their marks.
    page.get_by_role("radio", name="newer than every model").check(force=True)
    page.get_by_label("wiki").check()
    expect(counted).to_contain_text(
        "No corpus is newer than every model shown (cutoffs and releases until 2026-10-03)"
    )
    expect(columns).to_have_count(1)
    assert aggregate("pairs")[1] == "†"


def test_the_newest_window_comes_first_and_links_say_the_rest(page: Page, small: Small) -> None:
    data = read_data(small.site, "data/leaderboard.js")
    columns, rows = page.locator("#leaderboard thead .corpus"), page.locator("#leaderboard tbody tr")
    open_leaderboard(page, small.site, "")
    expect(columns).to_have_text([re.compile("closed-2026-11"), re.compile("hostile")])
    assert "No model was scored" not in page.content()  # on those of other months it was
    page.get_by_role("button", name="Month before").click()
    expect(columns).to_have_text([re.compile("free-2026-10")])
    assert page.url.endswith("#month=2026-10")
    page.locator("[data-sort=model]").click()
    page.locator("[data-sort=model]").click()
    backwards = models_in_order(page)
    assert page.url.endswith("#month=2026-10&sort=-model") and backwards == sorted(backwards, reverse=True)
    page.go_back()
    page.go_back()
    expect(page.locator("th.headline[aria-sort=ascending]")).to_be_visible()
    page.go_back()
    expect(columns).to_have_count(2)

    rank = rows.filter(has_text="pairs").locator(".rank").inner_text()
    page.locator("[name=q]").fill("PAIR")
    expect(rows).to_have_count(1)
    assert rows.locator(".rank").inner_text() == rank  # among all, not among those that were sought
    page.get_by_label("cutoff", exact=True).check()
    page.get_by_role("radio", name="difference").check(force=True)
    page.get_by_label("Difference to").select_option("zstd")
    shown = rows.inner_text()
    assert "2026-10-03" in shown
    page.reload()
    expect(rows).to_have_count(1)
    assert rows.inner_text() == shown and "reference=zstd" in page.url

    page.locator("[name=q]").fill("")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = list(csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines()))
    labels = [configuration["label"] for configuration in data["configurations"]]
    assert sorted(line["model"] for line in lines) == sorted(models_in_order(page))
    for line in lines:
        level = data["levels"][0].get(str(labels.index(line["model"])))
        written = [line[f"closed-2026-11{end}"] for end in ("", " low", " high")]
        assert [float(number) for number in written if number] == (level or [])
        # What is shown are differences, so that the file has them too.
        model, zstd = labels.index(line["model"]), labels.index("zstd")
        pairs = data["pairs"][0]
        gap = pairs.get(str(model), {}).get(str(zstd))
        back = pairs.get(str(zstd), {}).get(str(model))
        gap = [-back[0], -back[2], -back[1]] if back else gap or []
        written = [line[f"closed-2026-11 minus zstd{end}"] for end in ("", " low", " high")]
        assert [float(number) for number in written if number] == gap
        assert bool(line["macro minus zstd"]) == (model != zstd and level is not None)
    assert "cutoff" in lines[0] and "licence" not in lines[0] and "license" not in lines[0]


def test_any_sources_together_have_the_numbers_of_their_corpora(page: Page, small: Small) -> None:
    """The script's aggregates, intervals, ranks and differences are those of the analysis of these alone."""
    results = read_results(small.results, warn=str)
    assert [corpus.name for corpus in results.corpora] == ["closed-2026-11", "free-2026-10", "hostile"]
    pair = dataclasses.replace(results, corpora=results.corpora[1:])
    labels = [configuration.label for configuration in results.configurations]
    board = compute(pair, ["a", "b"])
    assert any(cell.documents.num_lossy for corpus in pair.corpora for cell in corpus.cells.values())
    open_leaderboard(page, small.site, "#month=all&corpora=all")
    page.get_by_label("wiki").check()
    page.locator("[name=source]").first.check()
    expect(page.locator("#status")).to_have_text("6 of 6 models on 2 corpora")
    assert re.search(r"#corpora=all&month=all&source=[\w-]+,wiki$", page.url)
    view = board.views[Choice("document", None, None)]
    for kind in ("macro", "micro", "geometric"):
        page.get_by_role("radio", name=kind).check(force=True)
        with page.expect_download() as download:
            page.get_by_role("button", name="CSV").click()
        lines = list(csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines()))
        ranks = view.ranks(kind, view.configurations)
        assert len(lines) == len(ranks) == 6
        for line in lines:
            [model] = [index for index in ranks if visible(labels[index]) == line["model"].removeprefix("'")]
            level = [float(line[f"{kind}{end}"]) for end in ("", " low", " high")]
            assert level == pytest.approx(view.levels[kind][model], abs=1.1e-6)
            assert (int(line["rank from"]), int(line["rank to"])) == ranks[model]
    page.get_by_role("radio", name="difference").check(force=True)
    page.get_by_label("Difference to").select_option("lossy")  # which cannot represent every document
    lossy = labels.index("lossy")
    for row in page.locator("#leaderboard tbody tr").all():
        model = int(row.get_attribute("data-configuration") or "")
        text = row.locator(".headline").inner_text().replace("−", "-")
        gap = view.pairs["geometric"].difference(model, lossy)
        printed = [float(part) for part in re.findall(r"[+-]?\d+\.\d+", text)]
        assert (text == "reference") if gap is None else printed == pytest.approx(gap, abs=5.1e-5)
    page.go_back()
    page.go_back()
    expect(page.get_by_role("radio", name="geometric")).to_be_checked()
    shown = page.locator("#leaderboard").inner_text()
    page.reload()
    expect(page.locator("#status")).to_have_text("6 of 6 models on 2 corpora")
    assert page.locator("#leaderboard").inner_text() == shown
    open_filters(page)
    page.get_by_label("en", exact=True).check()
    expect(page.locator("#leaderboard thead .corpus")).to_have_text([re.compile("free-2026-10")])
    page.get_by_role("button", name="Reset").click()
    expect(page).to_have_url(re.compile("^[^#]*$"))
    assert not page.locator("[name=source]:checked, [name=language]:checked").count()


def test_compressors_do_not_set_the_axis_of_the_dots(page: Page, tmp_path: Path) -> None:
    models = [Counted(name, "the of and text 12\n" * 9, 1) for name in ("small", "large")]
    for model, share in zip(models, (0.2, 0.18), strict=True):
        model.costs *= share
    corpus = make_corpus("c", _documents(1, 12, source="x"))
    evalkit.run(
        models=[*models, "xz"], corpora=[corpus], options=evalkit.RunOptions(output=tmp_path / "runs")
    )
    build_site_of(tmp_path / "runs", tmp_path / "site")
    open_leaderboard(page, tmp_path / "site")
    rows = page.locator("#leaderboard tbody tr")
    assert models_in_order(page) == ["large", "small", "xz"]
    dots = [float(rows.nth(place).locator("circle").get_attribute("cx") or "") for place in (0, 1)]
    assert dots[1] - dots[0] > 30  # of 120; with room for xz it was 6
    assert rows.nth(2).locator("circle").count() == 0
    expect(rows.nth(2).locator("path.beyond")).to_have_attribute("d", "M112 3 L119 8 L112 13 Z")
    expect(page.locator(".legend", has_text="an arrow is a compressor beyond it")).to_be_visible()
    page.get_by_role("radio", name="difference").check(force=True)
    page.get_by_label("Difference to").select_option("xz")
    assert rows.nth(2).locator("path.beyond").count() == 1 and rows.nth(0).locator("circle").count() == 1
    expect(page.locator("#counted")).to_have_text(
        "Every corpus counts: of no model shown is it known when its training data end."
    )


def test_open_a_cell(page: Page, small: Small) -> None:
    open_leaderboard(page, small.site, "#month=all&corpora=all")
    row = page.locator("#leaderboard tbody tr", has=page.get_by_role("link", name="bytes", exact=True))
    row.locator("td[data-corpus='1'] a").click()
    page.wait_for_url("**/cells/**.json")
    cell = json.loads(page.locator("pre").inner_text())
    assert cell["model"]["name"] == "bytes" and cell["corpus"]["name"] == "free-2026-10"


def test_compare_two_models(page: Page, small: Small) -> None:
    data = read_data(small.site, "data/leaderboard.js")
    open_leaderboard(page, small.site)
    best = models_in_order(page)[:2]
    page.get_by_role("link", name="Compare").click()
    expect(page.locator("#pairs thead th").nth(1)).to_have_text(best[0])
    expect(page.locator("#pairs thead th").nth(2)).to_have_text(best[1])
    page.goto("about:blank")
    page.goto(url(small.site, "compare.html#a=xz&b=zstd"))
    expect(page.locator("#pairs .corpora tr")).to_have_count(3)
    verdicts = page.locator("#pairs .corpora td:last-child").all_inner_texts()
    num_better, num_worse = verdicts.count("xz is better"), verdicts.count("zstd is better")
    end = "; the others are ties." if "tie" in verdicts else "."
    expect(page.locator("#status")).to_have_text(
        f"xz is better on {num_better}, zstd on {num_worse} of 3 corpora{end}"
    )
    totals = page.locator("#pairs .totals tr")
    assert totals.locator("th").all_inner_texts() == [
        "macro average over the 2 corpora of 2026-11",
        "macro average over all 3 corpora",
    ]
    names = [configuration["label"] for configuration in data["configurations"]]
    xz, zstd = str(names.index("xz")), str(names.index("zstd"))
    view = data["views"][data["choices"][0][3]]
    mean_gap = view["aggregates"]["macro"]["pairs"][xz][zstd][0]
    assert float(totals.nth(1).locator(".gap").inner_text().replace("−", "-")) == pytest.approx(
        mean_gap, abs=5.1e-5
    )
    gap = data["pairs"][1][xz][zstd]
    row = page.locator("#pairs tr[data-corpus='free-2026-10']")
    printed = float(row.locator(".gap").inner_text().replace("−", "-"))
    assert printed == pytest.approx(gap[0], abs=5.1e-5)
    page.get_by_role("button", name="Swap").click()
    assert float(row.locator(".gap").inner_text().replace("−", "-")) == -printed
    page.get_by_label("Corpus").select_option("free-2026-10")
    expect(page.locator("#documents-summary")).to_contain_text("of 15 documents")
    expect(page.locator("#won td").first).to_be_visible()
    assert page.url.endswith("#a=zstd&b=xz&corpus=free-2026-10")
    page.go_back()
    expect(page.get_by_label("Corpus")).to_have_value("0")
    page.go_back()
    assert float(row.locator(".gap").inner_text().replace("−", "-")) == printed
    page.go_forward()
    page.go_forward()
    page.reload()
    expect(page.locator("#documents-summary")).to_contain_text("of 15 documents")
    page.get_by_label("Model A").select_option("pairs (uncheatable)")
    page.get_by_label("Model B").select_option("bytes (document)")
    expect(page.locator("#status")).to_have_text("Numbers of different policies are not compared.")


def test_losses_of_two_models(page: Page, small: Small) -> None:
    page.goto(url(small.site, "corpora/free-2026-10.html"))
    page.get_by_role("link", name="Losses by kind of text").click()
    page.get_by_label("Model A").select_option("bytes")
    page.get_by_label("against").select_option("pairs")
    data = read_data(small.site, "data/losses/free-2026-10.js")
    row = next(row for row in data["parts"][0]["classes"] if row["name"] == "function words")
    [pair] = [gap for pair, gap in row["gaps"].items() if set(pair.split()) == {"bytes", "pairs"}]
    turned = "bytes pairs" not in row["gaps"]
    shown = page.locator("tr[data-class='function words']")
    printed = float(shown.locator(".gap").inner_text().replace("−", "-"))
    assert printed == pytest.approx(-pair[0][0] if turned else pair[0][0], abs=5.1e-5)
    expect(shown.locator("svg")).to_be_visible()
    page.get_by_label("against").select_option("pairs-uncheatable")
    expect(page.locator("#status")).to_have_text("Numbers of different policies are not compared.")
    page.go_back()
    expect(page.get_by_label("against")).to_have_value("pairs")
    expect(shown.locator("svg")).to_be_visible()
    page.goto(url(small.site, "compare.html") + "#a=bytes&b=pairs")
    page.locator("#losses").get_by_role("link", name="free-2026-10").click()
    expect(page.get_by_label("against")).to_have_value("pairs")


def test_explore_a_document(page: Page, small: Small) -> None:
    page.goto(url(small.site, "explorer.html"))
    page.get_by_role("link", name="free-2026-10").click()
    page.get_by_label("Model A").select_option("bytes")
    page.get_by_label("against").select_option("pairs")
    link = page.locator("#documents a", has_text="src/add.py")
    link.click()
    expect(page.locator("#title")).to_have_text("src/add.py")
    segment = page.locator("#text s").nth(2)
    expect(segment).to_be_visible()
    segment.hover()
    tip = page.locator("#tip")
    expect(tip).to_be_visible()
    # Two bytes, which are one token of one model and two of the other.
    expect(tip).to_contain_text("bytes 4–6")
    expect(tip).to_contain_text("‹ad›")
    expect(tip).to_contain_text("‹a›")
    data = read_data(small.site, "data/explorer/free-2026-10/14.pairs.js")
    expect(tip).to_contain_text(f"{data['bits'][2] / 100:.2f} bits")
    text = page.locator("#text").inner_text().replace("↵", "")
    assert text.strip() == ("def add(a, b):\n    return a + b\n" * 9).strip()
    page.locator("#text").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#text s.current")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    page.get_by_label("against").select_option("nothing: its own cost")
    expect(page.locator("#scale")).to_contain_text("bits per byte from")
    assert page.locator("#text s").first.get_attribute("class") in {f"b{step}" for step in range(9)}
    page.go_back()
    expect(page.get_by_label("against")).to_have_value("pairs")
    expect(page.locator("#scale")).not_to_contain_text("bits per byte from")


def test_explore_more_models_than_have_passages_of_their_own(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "corpora"))
    monkeypatch.setattr("evalkit.report.explorer.MAX_ALL_PAIRS", 4)  # losses of 14 models take their time
    monkeypatch.setattr("evalkit.report.explorer.NUM_NEIGHBORS", 1)
    monkeypatch.setattr("evalkit.report.explorer_pages.MAX_LABELS", 3)
    long = make_document("of words a line\n" * 900, source="x", license="MIT", title="long")
    corpus = make_corpus("many", [*_documents(1, 8, source="x", license="MIT"), long])
    save_corpus(corpus)
    models = [
        Counted(f"m{number}", "the of text " * number, 1, refuses="7: " if number == 4 else "\uffff")
        for number in range(5)
    ]
    evalkit.run(models, [corpus], options=evalkit.RunOptions(output=tmp_path / "runs"), token_bits=True)
    build_site_of(tmp_path / "runs", tmp_path / "site")
    data = read_data(tmp_path / "site", "data/explorer/many.js")
    keys = [model["key"] for model in data["configurations"]]
    # The best with all, each of the others with the next.
    assert len(keys) == 5 and len(data["won"]) == 4 + 3
    assert f"{keys[1]} {keys[2]}" in data["won"] and f"{keys[1]} {keys[3]}" not in data["won"]
    page.goto(url(tmp_path / "site", f"explorer/many.html#a={keys[1]}&b={keys[4]}"))
    expect(page.locator("#status")).to_contain_text("The two are far apart in rank")
    gaps = []
    for text in page.locator("#passages section").first.locator("small").all_inner_texts():
        first, second = re.findall(r"(\d+\.\d) against (\d+\.\d) bits", text)[0]
        gaps.append(float(first) - float(second))
    bits = [(passage["bits"][1], passage["bits"][4]) for passage in data["passages"]]
    best = min(first - second for first, second in bits if None not in (first, second))
    assert gaps == sorted(gaps) and 0 < len(gaps) <= 8 and gaps[0] == pytest.approx(best, abs=0.11)
    page.locator("#documents a").first.click()
    expect(page.locator("#text s").first).to_be_visible()
    expect(page.get_by_label("against")).to_have_value(keys[4])
    expect(page.get_by_label("Model A").locator("option")).to_have_count(5)
    number = [document.title for document in corpus.documents].index("long")
    page.goto(url(tmp_path / "site", f"explorer/document.html#d=many/{number}"))
    expect(page.locator("#title")).to_have_text("long")
    expect(page.locator("#text s").first).to_be_visible()
    last = page.locator("#text .block").last
    expect(last).to_be_empty()  # it is far from the window
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#text").inner_text().replace("↵", "").split() == long.text.split()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(last).to_be_empty()
    page.goto(url(tmp_path / "site", "explorer.html"))
    expect(page.locator(".cards small")).to_contain_text("and 2 more")


def test_the_page_spreads_bits_over_bytes_as_the_analysis_does(
    page: Page, small: Small, tmp_path: Path
) -> None:
    shutil.copytree(small.site, tmp_path / "site")
    path = "data/explorer/free-2026-10/14.bytes.js"
    num_bytes = sum(read_data(small.site, path)["lengths"])
    tokens = {"bits": [200, 400, None, 300, 100], "lengths": [0, 4, 1, num_bytes - 5, 0]}
    (tmp_path / "site" / path).write_text(f"evalkitData({json.dumps(path)},{json.dumps(tokens)});\n")
    page.goto(url(tmp_path / "site", "explorer/document.html#d=free-2026-10/14&a=bytes"))
    expect(page.locator("#text s")).to_have_count(3)
    costs = byte_costs(
        [np.nan if bits is None else bits / 100 for bits in tokens["bits"]], np.cumsum(tokens["lengths"])
    )
    for segment, (start, end) in enumerate([(0, 4), (4, 5), (5, num_bytes)]):
        page.locator("#text s").nth(segment).hover()
        expect(page.locator("#tip")).to_contain_text(f"bytes {start}–{end}")
        total = costs[start:end].sum()
        words = f"{total:.2f} bits, {costs[start]:.2f} per byte" if start != 4 else "bytes unpaid"
        expect(page.locator("#tip")).to_contain_text(words)
    classes = [page.locator("#text s").nth(segment).get_attribute("class") for segment in range(3)]
    assert classes == ["b4", "unpaid", "b0"]


def test_a_text_that_may_not_be_shown(page: Page, small: Small) -> None:
    page.goto(url(small.site, "explorer/document.html#d=closed-2026-11/0&a=bytes"))
    expect(page.locator("#status")).to_contain_text("The licence does not allow the text to be shown")
    page.locator("#text s").first.hover()
    expect(page.locator("#tip")).to_contain_text("‹64 B›")
    texts = [document.text for document in small.corpora[1].documents]
    for path in small.site.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(text[10:90].encode() in content for text in texts), path


@pytest.mark.slow
def test_a_document_of_a_megabyte(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evalkit

    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "corpora"))
    lines = "".join(f"line {number}: some words of no meaning at all\n" for number in range(23_000))
    line = "an endless line " * 630_000
    for name, text, piece in (("long", lines, 6), ("wide", line, 48)):
        corpus = make_corpus(name, [make_document(text, source="x", license="MIT", title=name)])
        save_corpus(corpus)
        model = Counted("words", lines, piece)
        evalkit.run(
            models=[model],
            corpora=[corpus],
            options=evalkit.RunOptions(output=tmp_path / "runs"),
            token_bits=True,
        )
    build_site_of(tmp_path / "runs", tmp_path / "site")
    page.goto(url(tmp_path / "site", "explorer/document.html#d=long/0&a=words"))
    expect(page.locator("#text s").first).to_be_visible()
    assert page.locator("#text s").count() < 20_000  # of 170,000
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#text .block").last.locator("s").last).to_be_visible()
    expect(page.locator("#text .block").last).to_contain_text("line 22999")
    page.locator("#text .block").last.locator("s").last.hover()
    expect(page.locator("#tip")).to_contain_text(f"{len(lines):,}")
    assert fits(page)
    page.goto(url(tmp_path / "site", "explorer/document.html#d=wide/0&a=words-pieces-of-48"))
    expect(page.locator("#title")).to_have_text("wide")
    expect(page.locator("#text s").first).to_be_visible()
    assert page.locator("#text s").count() < 20_000
    assert fits(page)


def test_everything_is_reached_by_keyboard(page: Page, small: Small) -> None:
    open_leaderboard(page, small.site)
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """() => { const at = document.activeElement;
                return [at.tagName, at.name || at.textContent.trim().slice(0, 40),
                    getComputedStyle(at).outlineStyle !== "none" || at.matches("input") ] }"""
            )
        )
    reached = [one for one in reached if one[0] != "BODY"]  # between the last and the first
    names = [name for _, name, _ in reached]
    assert names[0] == "Skip to content"
    for name in (
        "Leaderboard",
        "Compare",
        "Explorer",
        "Probes",
        "Method",
        "aggregate",
        "unit",
        "policy",
        "model",
    ):
        assert name in names
    assert all(seen for _, _, seen in reached), [one for one in reached if not one[2]]
    page.get_by_role("radio", name="macro").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="micro")).to_be_checked()
    expect(page.locator("#leaderboard thead .aggregate")).to_contain_text("micro average")


PAGES = [
    "index.html",
    "index.html#unit=gap",
    "compare.html",
    "explorer.html",
    "explorer/free-2026-10.html",
    "explorer/document.html#d=free-2026-10/0&a=bytes&b=pairs",
    "explorer/hostile.html",
    "probes.html",
    "plots.html",
    "published.html",
    "method.html",
    "models/bytes.html",
    "corpora/hostile.html",
]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_pages_are_accessible_and_as_wide_as_the_screen(
    browser: Browser, small: Small, scheme: Any, width: int
) -> None:
    """No page scrolls sideways; axe finds nothing against WCAG or good practice, contrast among it."""
    axe = AXE.read_text(encoding="utf-8") if axe_is_installed() else None
    with new_context(browser, color_scheme=scheme, viewport={"width": width, "height": 900}) as context:
        complaints = Complaints(context)
        page = context.new_page()
        for path in PAGES:
            page.goto("about:blank")
            page.goto(url(small.site, path))
            page.wait_for_load_state("load")
            assert fits(page), path
            if axe is None:
                continue
            expect(page.locator("#status, #text s, main :is(p, table)").first).to_be_attached()
            page.evaluate(axe)
            assert page.evaluate(RUN_AXE) == [], path
        ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g)")
        assert (sum(map(int, ground)) > 3 * 128) == (scheme == "light")
        assert not complaints.found
    if axe is None:
        pytest.skip(NO_AXE)


AXE = Path(sys.prefix) / "node_modules" / "axe-core" / "axe.min.js"
NO_AXE = "no axe-core (`make test` installs it by npm): only the widths were looked at"
RUN_AXE = """async () => (await axe.run()).violations.map((rule) =>
    [rule.id, rule.nodes.map((node) => `${node.target}: ${node.failureSummary}`)])"""


def axe_is_installed() -> bool:
    if not AXE.is_file() and os.environ.get("CI"):
        pytest.fail("there is no axe-core; `make test` installs it by npm")
    return AXE.is_file()


def test_the_table_is_seen_at_once_and_names_stay_in_view(browser: Browser, small: Small) -> None:
    with new_context(browser, viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        page.goto(url(small.site, "index.html"))
        expect(page.locator("#controls")).to_be_visible()
        box = page.locator("#leaderboard thead").bounding_box()
        assert box and box["y"] < 900 / 3
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(url(small.site, "index.html#month=all&corpora=all"))
        expect(page.locator("#leaderboard thead .corpus")).to_have_count(3)
        page.get_by_role("region", name="Leaderboard").evaluate("(table) => { table.scrollLeft = 1e6; }")
        row = page.locator("#leaderboard tbody tr").first
        for name in ("rank", "model", "headline"):
            box = row.locator(f".{name}").bounding_box()
            assert box and 0 <= box["x"] < box["x"] + box["width"] < 300, name
        page.set_viewport_size({"width": 1040, "height": 700})  # A4 on its side
        page.emulate_media(media="print")
        for path in ("index.html#month=all&corpora=all", "models/bytes.html", "compare.html"):
            page.goto(url(small.site, path))
            expect(page.locator("table").first).to_be_visible()
            widths = page.locator(".scroll").evaluate_all(
                "(all) => all.map((one) => [one.scrollWidth, one.clientWidth])"
            )
            assert widths and all(needed <= there for needed, there in widths), path
        months = page.goto(url(small.site, "models/bytes.html")) and page.locator("details.month table")
        assert months.count() == 3 and all(table.bounding_box()["height"] > 50 for table in months.all())


def test_hostile_content_is_inert(page: Page, small: Small) -> None:
    paths = [path.relative_to(small.site).as_posix() for path in small.site.rglob("*.html")]
    hostile = next(
        index for index, document in enumerate(small.corpora[2].documents) if "<script>" in document.text
    )
    paths += [
        f"explorer/document.html#d=hostile/{hostile}&a=bytes&b=pairs",
        "index.html#policy=<script>&unit=x",
    ]
    for path in paths:
        page.goto("about:blank")
        page.goto(url(small.site, path))
        page.wait_for_load_state("load")
        assert page.evaluate("window.pwned === undefined"), path
        sources = page.locator("img").evaluate_all("(all) => all.map((one) => one.getAttribute('src'))")
        assert all(re.fullmatch(r"plots/[a-z-]+\.svg", source) for source in sources)
        assert bool(sources) == (path == "plots.html")
        for link in page.locator("a").evaluate_all("(all) => all.map((one) => one.href)"):
            assert link.startswith(("file:", "https:", "http:")), link
        assert page.locator("footer").is_visible() and fits(page), path
        # Marks that would turn what follows are nowhere.
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00]", page.content()), path
    expect(page.locator("#leaderboard tbody tr")).to_have_count(6)
    page.goto(url(small.site, paths[-2]))
    expect(page.locator("#text")).to_contain_text("<script>window.pwned = 1</script></style></script>")
    expect(page.locator("#text")).to_contain_text("[U+202E]")
    expect(page.locator("#text")).to_contain_text("[U+0000]")
    assert page.locator("#meta a").count() == 1 or "javascript" not in (
        page.locator("#meta a").last.get_attribute("href") or ""
    )


def test_plots_are_seen(page: Page, small: Small) -> None:
    page.goto(url(small.site, "index.html"))
    page.get_by_role("link", name="Plots").click()
    shown = page.get_by_role("img")
    assert {"parameters", "heatmap", "differences", "positions"} <= {
        Path(shown.nth(index).get_attribute("src") or "").stem for index in range(shown.count())
    }
    for index in range(shown.count()):
        shown.nth(index).scroll_into_view_if_needed()
        expect(shown.nth(index)).to_have_js_property("complete", True)
        assert shown.nth(index).evaluate("(image) => image.naturalWidth") > 100
        alternative = shown.nth(index).get_attribute("alt") or ""
        assert "policy document" in alternative or "on " in alternative  # speed: on which machine
    [heading] = page.locator("h1").all_inner_texts()
    assert heading == "Plots"
    page.get_by_role("link", name="PNG").first.click()
    assert page.url.endswith("/plots/parameters.png")


def test_plots_tell_their_numbers(browser: Browser, page: Page, small: Small) -> None:
    with new_context(browser, java_script_enabled=False) as context:
        plain = context.new_page()
        plain.goto(url(small.site, "plots.html"))
        expect(plain.locator("#differences img")).to_be_visible()
        assert plain.locator(".series, #tip:visible").count() == 0
    page.goto(url(small.site, "plots.html"))
    figure = read_data(small.site, "data/plots.js")["differences"]
    plot, tip = page.locator("#differences .plot"), page.locator("#tip")
    plot.scroll_into_view_if_needed()
    expect(page.locator("#differences .series button")).to_have_count(len(figure["series"]))
    marks = [dict(zip(figure["fields"], row, strict=True)) for row in figure["marks"]]
    mark = next(mark for mark in marks if mark["ends"] is not None)
    name, color = figure["series"][mark["series"]]
    box = plot.locator("svg.marks").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * mark["x"], box["y"] + box["height"] * mark["y"])
    expect(tip).to_contain_text(name)
    for number in ("value", "low", "high"):
        expect(tip).to_contain_text(f"{abs(mark[number]):.3g}"[:4])
    expect(tip).to_contain_text("below 0 is better")
    page.mouse.move(0, 0)
    expect(tip).to_be_hidden()
    button = page.locator("#differences .series button").nth(mark["series"])
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert plot.locator(f"svg.marks circle[fill='{color}']").count() == 1
    assert plot.locator("svg.marks rect").count() == 1  # the others are veiled
    button.click()
    expect(plot.locator("svg.marks *")).to_have_count(0)
    plot.focus()
    page.keyboard.press("ArrowDown")
    expect(tip).to_contain_text(figure["series"][0][0])
    page.keyboard.press("ArrowDown")
    expect(tip).to_contain_text(figure["series"][1][0])
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()


@pytest.mark.slow
def test_a_large_store_loads_fast(page: Page, large: Large) -> None:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    open_leaderboard(page, large.site)
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    # Time on the page's thread, not on the clock: whoever else uses the machine does not count.
    assert 0 < metrics["TaskDuration"] < 2
    expect(page.locator("#leaderboard tbody tr")).to_have_count(40)
    expect(page.locator("#leaderboard tbody td.cell")).to_have_count(800)
    assert fits(page)


def test_a_store_of_probes_alone(page: Page, tmp_path: Path) -> None:
    write_cell_files(tmp_path / "runs" / "1.json", task_content())
    for seed, share in enumerate((0.5, 0.25, 1.0)):
        content = probe_content("s3", "lstm", accuracies={48: share}, seed=seed)
        write_cell_files(tmp_path / "runs" / f"{seed + 2}.json", content)
    build_site_of(tmp_path / "runs", tmp_path / "site")
    for name in ("index.html", "compare.html"):
        with page.expect_event("requestfinished", lambda one: one.url.endswith("leaderboard.js")):
            page.goto(url(tmp_path / "site", name))
        expect(page.locator(".notice").first).to_contain_text("No model was scored on a corpus here")
        expect(page.locator("#status")).to_be_empty()
        expect(page.locator("#controls")).to_be_hidden()
    page.goto(url(tmp_path / "site", "probes.html"))
    row = page.locator("tr", has_text="lstm").first
    expect(row).to_contain_text("50.0")
    expect(row.locator(".seeds")).to_be_hidden()
    page.get_by_label("every seed").check()
    expect(row.locator(".seeds")).to_have_text("50.0 25.0 100.0")
    expect(row.locator(".seeds")).to_be_visible()


def test_long_names_fit(browser: Browser, tmp_path: Path) -> None:
    models = [Counted("m" * 200, "the of", 1), Counted("org/" + "n" * 90, "text", 2)]
    corpus = make_corpus("c" * 200, _documents(1, 9, source="x", license="MIT"))
    evalkit.run(
        models=models, corpora=[corpus], options=evalkit.RunOptions(output=tmp_path / "runs"), token_bits=True
    )
    save_corpus(corpus)
    build_site_of(tmp_path / "runs", tmp_path / "site")
    with new_context(browser, viewport={"width": 390, "height": 800}) as context:
        page = context.new_page()
        for path in sorted((tmp_path / "site").rglob("*.html")):
            page.goto(path.as_uri())
            if path.name != "document.html" and page.locator("#controls").count():
                expect(page.locator("#controls")).to_be_visible()
            assert fits(page), path.name


def test_numbers_in_the_middle_between_two_texts(browser: Browser, page: Page, tmp_path: Path) -> None:
    num_bytes = np.array([1600, 3200, 4800])
    for model, level in enumerate((1.0625, 1.77, 2.1875)):  # 12.5 * 1.77 is 22.125 exactly
        _write_cell(
            tmp_path / "runs",
            0,
            model,
            num_bytes=num_bytes,
            bits=num_bytes * level,
            clusters=["a", "b", "c"],
            interval=(level, level),
        )
    build_site_of(tmp_path / "runs", tmp_path / "site")
    open_leaderboard(page, tmp_path / "site")
    with new_context(browser, java_script_enabled=False) as context:
        plain = context.new_page()
        plain.goto(url(tmp_path / "site", "index.html"))
        for one in (plain, page):
            rows = one.locator("#leaderboard tbody tr")
            assert [text.split()[0] for text in rows.locator(".cell").all_inner_texts()] == [
                "1.062",
                "1.770",
                "2.188",
            ]
        plain.goto(url(tmp_path / "site", "models/model-01.html"))
        assert (
            plain.get_by_role("region", name="Cells of model-01").locator("tbody td").nth(1).inner_text()
            == "22.12"
        )
    page.get_by_role("radio", name="rate %").check(force=True)
    assert page.locator("#leaderboard tbody .value").all_inner_texts()[1] == "22.12"


def test_what_one_document_cannot_say_is_no_tie(page: Page, tmp_path: Path) -> None:
    corpora = [
        make_corpus("one", _documents(1, 1, source="x")),
        make_corpus("many", _documents(2, 20, source="x")),
    ]
    models = [Counted("bytes", "the of and text", 1), Counted("pairs", "zzz", 1)]
    assert not evalkit.run(
        models=models, corpora=corpora, options=evalkit.RunOptions(output=tmp_path / "runs")
    ).failures
    build_site_of(tmp_path / "runs", tmp_path / "site")
    page.goto(url(tmp_path / "site", "compare.html#a=bytes&b=pairs"))
    expect(page.locator("#status")).to_have_text(
        "bytes is better on 1, pairs on 0 of 2 corpora; on 1 it cannot be said; ties: 0."
    )
    expect(page.locator("tr[data-corpus=one] td").last).to_have_text("cannot be said: too few clusters")


def test_an_aggregate_over_what_a_model_has_says_so_wherever_it_stands(
    browser: Browser, page: Page, tmp_path: Path
) -> None:
    corpora = [
        make_corpus(f"{name}-{month}", _documents(seed, 8, source=name, published_at=f"{month}-05"))
        for seed, (month, name) in enumerate(itertools.product(("2026-10", "2026-11"), "ab"))
    ]
    options = evalkit.RunOptions(output=tmp_path / "runs")
    evalkit.run(["xz", "zstd"], corpora, options=options)
    done = evalkit.run("brotli", [*corpora[:2], corpora[3]], options=options)
    levels = [cell.metrics.bits_per_byte for cell in done.cells]  # of 2026-11 one of two corpora
    build_site_of(tmp_path / "runs", tmp_path / "site")
    with new_context(browser, java_script_enabled=False) as context:
        plain = context.new_page()
        plain.goto(url(tmp_path / "site", "index.html"))
        months = plain.get_by_role("region", name="Months").locator("tr", has_text="brotli")
        month, whole = months.locator("td").all_inner_texts()
        headline = plain.locator("#leaderboard tr", has_text="brotli").locator("[data-aggregate=macro]")
        headline_text = headline.inner_text()
        assert "of" not in whole and month == headline_text and month.endswith(" 1 of 2")
        assert float(month.split()[0]) == pytest.approx(levels[2], abs=5.1e-4)
        plain.goto(url(tmp_path / "site", "models/brotli.html"))
        expect(plain.locator(".standing")).to_contain_text(
            f"no rank, for it has 1 of the 2 corpora; over what it has: macro average {levels[2]:.3f}"
        )
        past = plain.get_by_role("region", name="Months of brotli").locator("tbody tr")
        texts = [row.locator("th, td").all_inner_texts() for row in past.all()]
        assert [text[0] for text in texts] == ["2026-11", "2026-10"]
        assert texts[0][1:4] == ["–", "2", headline_text] and texts[1][2:] == ["3", whole, "2"]

    page.goto(url(tmp_path / "site", "index.html#month=all"))
    row = page.locator("#leaderboard tbody tr", has_text="brotli")
    expect(row.locator(".rank")).to_have_text("–")
    shown = row.locator(".headline").inner_text()
    assert shown.endswith(" 3 of 4")
    assert float(shown.split()[0]) == pytest.approx(np.mean(levels), abs=5.1e-4)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = list(csv.DictReader(download.value.path().read_text(encoding="utf-8").splitlines()))
    parts = {line["model"]: (line["rank from"], line["macro corpora"], line["corpora"]) for line in lines}
    assert parts["brotli"] == ("", "3", "4") and parts["xz"][1:] == ("4", "4") and parts["xz"][0]
    [written] = [float(line["macro"]) for line in lines if line["model"] == "brotli"]
    assert written == pytest.approx(np.mean(levels), abs=1e-6)

    page.goto(url(tmp_path / "site", "compare.html#a=brotli&b=xz"))
    totals = page.locator("#pairs .totals tr")
    expect(totals).to_have_count(2)
    for total, part in zip(totals.all(), (" 1 of 2", " 3 of 4"), strict=True):
        cells = total.locator("td").all_inner_texts()
        assert cells[0].endswith(part) and "of" not in cells[1]
        assert cells[2:] == ["–", "not over the same corpora"]
