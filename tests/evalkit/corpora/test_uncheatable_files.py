"""The main job on Uncheatable Eval's own files: real Wikipedia text of 2024.

The text is CC BY-SA and not shipped; ``EVALKIT_UNCHEATABLE_DATA`` names a folder that holds the files.
"""

import json
import os
from pathlib import Path

import pytest

import evalkit
from tests.support.rwkv7_files import TINY

FOLDER = Path(os.environ.get("EVALKIT_UNCHEATABLE_DATA") or "/nonexistent")
ENGLISH = "wikipedia_english_20241015to20241030"

pytestmark = pytest.mark.skipif(
    not (FOLDER / f"{ENGLISH}.json").is_file(),
    reason="EVALKIT_UNCHEATABLE_DATA names no folder with Uncheatable Eval's files (not ours to ship)",
)


def test_twenty_documents_of_wikipedia(tmp_path: Path) -> None:
    texts = json.loads((FOLDER / f"{ENGLISH}.json").read_text(encoding="utf-8"))[:20]
    result = evalkit.run(
        ["xz", "zstd", f"rwkv7:{TINY}"],
        [str(FOLDER / f"{ENGLISH}.json")],
        limit=20,
        options=evalkit.RunOptions(output=tmp_path),
    )
    assert not result.failures
    cells = {cell.model.name: cell for cell in result.cells}
    for cell in cells.values():
        assert cell.totals.num_documents == 20
        assert cell.totals.num_bytes == sum(len(text.encode()) for text in texts)
        assert cell.corpus.date_from == "2024-10-15"
        assert cell.corpus.date_to == "2024-10-30"
    # English prose of 3 kB a document: what these codecs are known to make of it, and a network near
    # its initialisation between their 4 bits and the 8 of no model at all.
    assert 3.4 < cells["xz"].bits_per_byte < 4.2
    assert 3.4 < cells["zstd"].bits_per_byte < 4.2
    tiny = cells[f"rwkv7:{TINY.name}"].bits_per_byte
    assert 4.2 < tiny < 7
    assert [ranked.model for ranked in result.ranking()][-1] == f"rwkv7:{TINY.name}"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_byte_of_every_file_is_read(path: Path) -> None:
    texts = json.loads(path.read_text(encoding="utf-8"))
    corpus = evalkit.load_corpus(path)
    assert len(corpus.documents) == len(set(texts)) >= 400
    assert corpus.num_bytes == sum(len(text.encode()) for text in set(texts))
