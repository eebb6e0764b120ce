"""Bits by position, against sums made by hand."""

from pathlib import Path

import numpy as np
import pytest

from evalkit.analysis.byte_costs import byte_costs
from evalkit.analysis.positions import position_curve, position_differences, token_rows
from evalkit.cells.schema import CorpusCell
from evalkit.errors import UsageError
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.stores import Counted
from tests.support.toys import BigramModel, corpus_of

TEXTS = ["abc" * 40, "the quick brown fox " * 7, "é€𝄞" * 20, "cab" * 40, "fox quick the brown " * 7, "short"]


def scored(tmp_path: Path, *, token_bits: bool = True) -> CorpusCell:
    result = run(
        [BigramModel()], [corpus_of(TEXTS)], options=RunOptions(output=tmp_path), token_bits=token_bits
    )
    return result.cells[0]


def test_all_positions_together_are_the_whole(tmp_path: Path) -> None:
    cell = scored(tmp_path)
    long = [row for row in cell.rows() if row.num_bytes >= 100]
    curve = position_curve(cell, [0, 7, 64, 100])
    total = sum(point.bits_per_byte * (point.end_byte - point.first_byte) for point in curve)
    by_hand = 0.0
    for row in token_rows(cell):
        if row.num_bytes >= 100:
            ends = row.token_ends
            starts = [0, *ends[:-1]]
            for start, end, bits in zip(starts, ends, row.token_bits, strict=True):
                by_hand += bits * max(0, min(end, 100) - start) / max(1, end - start)
    assert total * len(long) == pytest.approx(by_hand, rel=1e-9)


def test_one_bucket_is_the_bits_per_byte_of_the_document(tmp_path: Path) -> None:
    cell = scored(tmp_path)
    [row] = [row for row in cell.rows() if row.num_bytes >= 180]
    [point] = position_curve(cell, [0, 180])
    assert point.bits_per_byte == pytest.approx(row.total_bits / 180, rel=1e-6)  # float32 per token
    assert point.interval is None


def test_intervals_hold_the_estimate(tmp_path: Path) -> None:
    for point in position_curve(scored(tmp_path), [0, 30, 60, 100]):
        assert point.interval is not None
        assert point.interval.low <= point.bits_per_byte <= point.interval.high
        assert np.isfinite(point.bits_per_byte)


def test_differences_are_over_the_same_bytes(tmp_path: Path) -> None:
    """Also where one model cannot represent a document: then it is in neither sum."""
    texts = [f"{number} of {'q' * number} text " * 9 for number in range(1, 7)]
    models = [Counted("bytes", "the of", 1), Counted("lossy", "text", 3, refuses="2 of")]
    cells = run(models, [corpus_of(texts)], options=RunOptions(output=tmp_path), token_bits=True).cells
    first, second = sorted(cells, key=lambda cell: cell.model.name)
    [gap] = position_differences(first, second, [0, 100])
    by_hand, interval_bits = 0.0, []
    for row, partner in zip(token_rows(first), token_rows(second), strict=True):
        if partner.token_bits is not None:
            costs = [
                byte_costs(np.array(r.token_bits, float), r.token_ends)[:100].sum() for r in (row, partner)
            ]
            interval_bits.append(costs[0] - costs[1])
            by_hand += costs[0] - costs[1]
    assert len(interval_bits) == 5 and gap.bits_per_byte == pytest.approx(by_hand / 500)
    assert gap.interval is not None and gap.interval.low < gap.bits_per_byte < gap.interval.high
    [turned] = position_differences(second, first, [0, 100])
    assert turned.bits_per_byte == -gap.bits_per_byte
    with pytest.raises(UsageError, match="different texts"):
        position_differences(first, scored(tmp_path / "further"), [0, 100])


def test_what_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no document of corpus has 5,000 bytes"):
        position_curve(scored(tmp_path), [0, 5000])
    with pytest.raises(UsageError, match="run bigram again with --token-bits"):
        position_curve(scored(tmp_path / "without", token_bits=False))
