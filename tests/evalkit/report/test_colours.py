"""Whether text can be read on every tint of the site's style, also on those that no page here shows."""

import re
from importlib import resources

import pytest

STYLE = resources.files("evalkit.report").joinpath("static", "style.css").read_text(encoding="utf-8")
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, for text of the usual size."""


def luminance(color: str) -> float:
    """Relative, as WCAG 2.2 defines it."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def variables(theme: str) -> dict[str, str]:
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    names: dict[str, str] = {}
    for block in blocks[: 1 + (theme == "dark")]:
        names |= dict(re.findall(r"--([\w-]+): ([^;]+);", block))
    return names


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_read_on_every_tint(theme: str) -> None:
    names = variables(theme)

    def color(value: str) -> str:
        while value.startswith("var("):
            value = names[value.removeprefix("var(--").removesuffix(")")]
        return names["page"] if value == "transparent" else value

    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    rules = re.findall(r"\.([bgh]\d) \{ background: ([^;]+);(?: color: ([^;]+);)? \}", STYLE)
    assert len(rules) == 9 + 9 + 5
    contrasts = {name: contrast(color(ground), color(text or "var(--text)")) for name, ground, text in rules}
    assert {name: ratio for name, ratio in contrasts.items() if ratio < LEAST_CONTRAST} == {}
    # Of the intervals beside a board's numbers too.
    assert all(contrast(color(ground), names["note"]) >= 4.5 for name, ground, _ in rules if name[0] == "h")
