"""The picture of a site: names in scripts that its own font lacks are never drawn as boxes."""

import io
from pathlib import Path

import matplotlib
import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from PIL import ImageFont

from evalkit import fonts
from evalkit.analysis.estimates import Estimate
from evalkit.report.preview import UNKNOWN_CHARACTER, CardRow, card

FILES = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
HOOKED = "\u1d81"  # in STIX, neither in DejaVu Sans nor in its bold face


def drawn(label: str, told: list[str]) -> NDArray[np.uint8]:
    """The pixels of the row of a model's name."""
    row = CardRow("1", label, Estimate(0.9, 0.8, 1.0))
    data = card("Board", "bits per byte", [row], "1 model", warn=told.append)
    return np.asarray(PIL.Image.open(io.BytesIO(data)).convert("L"))[200:258, 164:700]


@pytest.mark.parametrize("second", ["STIXGeneral", ""])
def test_a_name_is_drawn_by_a_font_that_has_it_or_replaced_and_told_of(
    second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"DejaVu Sans": "DejaVuSans", "Last Resort High-Efficiency": "LastResortHE-Regular"}
    if second:
        names[second] = second
    installed = tuple(fonts._Font(name, str(FILES / f"{file}.ttf")) for name, file in names.items())
    monkeypatch.setattr(fonts, "_installed", lambda: installed)
    told: list[str] = []
    pixels = drawn(f"rival {HOOKED}{HOOKED}-7b", told)
    if not second:
        assert np.array_equal(pixels, drawn(f"rival {UNKNOWN_CHARACTER * 2}-7b", []))
        [line] = told
        assert line.startswith(
            f"the site's picture: no installed font has {HOOKED}, which are drawn as \ufffd; "
        )
        assert "packages: fonts-noto-core" in line
        return
    assert told == []
    own, other = (ImageFont.truetype(str(FILES / f"{name}.ttf"), 30) for name in ("DejaVuSans-Bold", second))
    dark = np.flatnonzero((pixels < 128).any(axis=0))
    width = own.getlength("rival ") + other.getlength(HOOKED * 2) + own.getlength("-7b")
    assert dark[-1] == pytest.approx(width, abs=5)
    # On one line, whatever the other font's height.
    alone, end = drawn("rival ", []), int(own.getlength("rival "))
    assert np.array_equal(pixels[:, :end] < 128, alone[:, :end] < 128)
