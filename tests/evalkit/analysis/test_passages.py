"""Kinds of text, and the passages that are chosen."""

import numpy as np
import pytest

from evalkit.analysis.passages import cut, lowest
from evalkit.analysis.slices import slices_of
from evalkit.corpora.store import make_document


def test_slices_are_partitions() -> None:
    text = "Total 12: см. https://a.b/c1 日本 カナ\n```py\nx = 1\n```\n"
    found = slices_of(make_document(text, source="x", language="ru"))
    data = text.encode()

    def bytes_of(way: str, name: str) -> str:
        mask = dict(found[way])[name]
        return bytes(byte for byte, inside in zip(data, mask, strict=True) if inside).decode()

    for parts in found.values():
        assert np.sum([mask for _, mask in parts], axis=0).tolist() == [1] * len(data)
    assert bytes_of("characters", "URLs") == "https://a.b/c1"
    assert bytes_of("characters", "digits") == "121"
    assert bytes_of("characters", "Cyrillic letters") == "см"
    assert bytes_of("characters", "Han characters") == "日本"
    assert bytes_of("characters", "kana") == "カナ"
    assert bytes_of("characters", "line ends") == "\n\n\n\n"
    assert bytes_of("code or prose", "code") == "```py\nx = 1\n```"
    assert bytes_of("language", "ru") == text
    whole = slices_of(make_document("int x;", source="x", title="main.c"))
    assert [name for name, _ in whole["code or prose"]] == ["code"]


def test_passages_do_not_overlap_nor_cut_characters() -> None:
    text = "aé文\U0001f469" * 300
    data = text.encode()
    rng = np.random.default_rng(1)
    costs = rng.random((len(data), 2))
    windows = cut(5, data, costs)
    for start, end, bits in zip(windows.starts, windows.ends, windows.bits, strict=True):
        data[start:end].decode()
        assert bits == pytest.approx(costs[start:end].sum(axis=0))
    chosen = lowest(windows, windows.bits[:, 0])
    assert len(chosen) == 2
    first, second = sorted(chosen)
    assert windows.ends[first] <= windows.starts[second]
    assert min(windows.bits[:, 0]) in windows.bits[chosen, 0]
    assert lowest(windows, windows.bits[:, 0], below=0) == []
