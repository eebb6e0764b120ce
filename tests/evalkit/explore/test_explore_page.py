"""The page of `evalkit explore` in a real browser: what is typed there, and what is seen."""

import threading
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from evalkit.explore.reading import predictions, read
from evalkit.explore.server import ExploreServer
from evalkit.models.loading import load_model
from evalkit.models.protocol import TokenModel
from tests.evalkit.report.test_browser import (
    AXE,
    NO_AXE,
    RUN_AXE,
    axe_is_installed,
    browser,
    fits,
    new_context,
)

__all__ = ["browser"]

HOSTILE = "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>\u202egnp\x1b[2J ĝ"


def test_type_retype_choose_and_go_on(browser: Browser) -> None:
    models = [load_model(name, device="cpu") for name in ("rwkv7-nano", "llama-nano")]
    nanos = [model for model in models if isinstance(model, TokenModel)]
    with (
        ExploreServer(0) as server,
        new_context(browser, viewport={"width": 390, "height": 900}, color_scheme="dark") as context,
    ):
        server.use(nanos)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            _use(server, context.new_page(), nanos)
        finally:
            server.shutdown()
            thread.join()


def _use(server: ExploreServer, page: Any, nanos: list[TokenModel]) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(server.url)
    typed, rows, text = page.locator("#typed"), page.locator("#totals tbody tr"), page.locator("#text")

    def column(number: int) -> list[float]:
        cells = [rows.nth(row).locator("td").nth(number).inner_text() for row in range(2)]
        return [float(cell.replace("−", "-").replace(",", "")) for cell in cells]

    typed.fill("import os")
    expect(text.locator("s")).to_have_count(3)
    short = [read(model, "import os") for model in nanos]
    assert column(1) == pytest.approx([reading.total_bits for reading in short], abs=5.1e-3)
    typed.fill("import os\nimport re")
    expect(text.locator("s")).to_have_count(6)
    long = [read(model, "import os\nimport re") for model in nanos]
    gains = [after.total_bits - before.total_bits for after, before in zip(long, short, strict=True)]
    assert column(2) == pytest.approx(gains, abs=5.1e-3)
    rates = [after.total_bits / 19 - before.total_bits / 9 for after, before in zip(long, short, strict=True)]
    assert column(4) == pytest.approx(rates, abs=5.1e-5)

    text.locator("s").nth(5).click()
    expect(page.locator("#predictions table")).to_have_count(2)
    for place, model in enumerate(nanos):
        likely = predictions(model, "import os\nimport re", 5)
        section = page.locator("#predictions section").nth(place)
        expect(section.locator("p")).to_contain_text(f"rank {likely.rank:,}.")
        expect(section.locator("summary")).to_contain_text("‹ re›")
        best = section.locator("tbody tr").first
        assert best.locator("td").first.inner_text() == f"{100 * likely.likeliest[0].probability:.2f} %"
        assert best.locator("code").inner_text() == f"‹{likely.likeliest[0].data.decode()}›"

    page.get_by_label("Tokens").fill("40")
    page.get_by_role("button", name="Sample").click()
    expect(page.locator("#continuation")).to_be_visible()
    drawn = page.locator("#continuation").inner_text()
    page.get_by_role("button", name="Sample").click()
    expect(page.locator("#drawn")).to_have_text("40 tokens")
    assert page.locator("#continuation").inner_text() == drawn
    page.get_by_role("button", name="Append").click()
    expect(text).to_contain_text(drawn.split("↵")[0])
    assert typed.input_value().startswith("import os\nimport re") and len(typed.input_value()) > 50

    typed.fill(HOSTILE)
    expect(text).to_contain_text("[U+202E]")
    expect(text).to_contain_text("<script>window.pwned = 1</script><img src=x")
    # A character of two tokens: what was likelier at the second is asked when it is opened.
    text.locator("s").last.click()
    section = page.locator("#predictions section").first
    expect(section.locator("summary code")).to_have_text(["\\xc4", "\\x9d"])
    expect(section.locator("table")).to_have_count(1)
    section.locator("summary").last.click()
    likely = predictions(nanos[0], HOSTILE, len(nanos[0].encode(HOSTILE).ids) - 1)
    expect(section.locator("details").last.locator("p")).to_contain_text(f"rank {likely.rank:,}.")
    assert page.evaluate("window.pwned === undefined") and page.locator("img").count() == 0
    assert fits(page)
    if axe_is_installed():
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.evaluate(RUN_AXE) == []
    typed.fill("é" * 10_001)
    expect(page.locator("#status")).to_contain_text("20,002 bytes, more than 20,000")
    assert not complaints and all(address.startswith(server.url) for address in requests)
    if not axe_is_installed():
        pytest.skip(NO_AXE)
