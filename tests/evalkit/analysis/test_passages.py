"""The passages that are chosen."""

import numpy as np
import pytest

from evalkit.analysis.passages import cut, lowest


def test_passages_do_not_overlap_nor_cut_characters() -> None:
    text = "aé文\U0001f469" * 300
    data = text.encode()
    rng = np.random.default_rng(1)
    costs = rng.random((len(data), 2))
    windows = cut(5, data, iter(costs.T))
    for start, end, bits in zip(windows.starts, windows.ends, windows.bits, strict=True):
        data[start:end].decode()
        assert bits == pytest.approx(costs[start:end].sum(axis=0))
    chosen = lowest(windows, windows.bits[:, 0])
    assert len(chosen) == 2
    first, second = sorted(chosen)
    assert windows.ends[first] <= windows.starts[second]
    assert min(windows.bits[:, 0]) in windows.bits[chosen, 0]
    assert lowest(windows, windows.bits[:, 0], below=0) == []
