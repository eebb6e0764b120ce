"""How much of the text is found on trafilatura's own evaluation pages, by its own metric.

The pages are their publishers' and not shipped; ``EVALKIT_TRAFILATURA_TESTS`` names the folder ``tests`` of a
checkout of https://github.com/adbar/trafilatura. What CI holds instead is the floor in ``test_pages.py``.
"""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

from evalkit_crawlers.source import FetchRefused
from evalkit_crawlers.text import pages
from tests.support.direct import capture

FOLDER = Path(os.environ.get("EVALKIT_TRAFILATURA_TESTS") or "/nonexistent")
FLOOR = 0.925  # measured: 0.9251 of 990 pages; trafilatura 2.3.1 alone: 0.926

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (FOLDER / "eval_common.py").is_file(),
        reason="EVALKIT_TRAFILATURA_TESTS names no folder with trafilatura's evaluation (not ours to ship)",
    ),
]


def metric() -> ModuleType:
    specification = importlib.util.spec_from_file_location("eval_common", FOLDER / "eval_common.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_as_much_text_is_found_as_trafilatura_finds() -> None:
    common = metric()
    annotations = common.load_evaldata(str(FOLDER))
    matrix = common.ConfusionMatrix()
    for url, (_, body) in common.read_corpus(str(FOLDER), annotations).items():
        try:
            text = pages.read_page(capture(body, None)).text
        except FetchRefused:
            text = None
        matrix.add(common.count_item(annotations[url], text))
    assert matrix.f1() >= FLOOR
