"""The bits of a byte inside a token: one rule for classes, passages, positions and the explorer."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.analysis.byte_costs import byte_costs
from evalkit.analysis.passages import cut
from evalkit.analysis.positions import position_curve, token_rows
from evalkit.report.explorer_data import coarse_data
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.scoring.tokens import Tokens
from tests.support.stores import Counted, _documents
from tests.support.toys import corpus_of

NAN = math.nan


@pytest.mark.parametrize(
    ("bits", "ends", "costs"),
    [
        # A token of two bits without bytes before one of four bits and four bytes.
        ([2, 4], [0, 4], [1.5, 1.5, 1.5, 1.5]),
        # Unpaid is not 0.
        ([NAN, 3], [1, 2], [NAN, 3]),
        # At the end the last pays, and of several each.
        ([6, 1, 2], [3, 3, 3], [3, 3, 3]),
        ([1, 2, 4], [0, 0, 1], [7]),
        # What is paid is paid by somebody: not by the unpaid token that follows, but by the next.
        ([2, NAN, 4], [0, 1, 3], [NAN, 3, 3]),
        ([4, 2, NAN], [1, 1, 2], [6, NAN]),
        # An unpaid token without bytes costs nothing.
        ([NAN, 4], [0, 2], [2, 2]),
        ([NAN, NAN], [2, 2], [NAN, NAN]),
        ([], [], []),
    ],
)
def test_costs(bits: list[float], ends: list[int], costs: list[float]) -> None:
    np.testing.assert_array_equal(byte_costs(bits, ends), costs)


@given(st.lists(st.tuples(st.none() | st.integers(0, 100), st.integers(0, 4)), max_size=30))
def test_paid_bytes_cost_what_paid_tokens_do(tokens: list[tuple[int | None, int]]) -> None:
    bits = [NAN if paid is None else float(paid) for paid, _ in tokens]
    ends = np.cumsum([length for _, length in tokens], dtype=np.int64)
    costs = byte_costs(bits, ends)
    assert len(costs) == sum(length for _, length in tokens)
    is_paid = [paid is not None for paid, length in tokens for _ in range(length)]
    assert (~np.isnan(costs)).tolist() == is_paid
    if any(is_paid):
        assert np.nansum(costs) == pytest.approx(sum(paid for paid, _ in tokens if paid is not None))


def test_a_passage_that_is_paid_for_in_part_is_nobodys_cheapest() -> None:
    costs = np.ones((400, 2))
    costs[300, 0] = NAN
    windows = cut(3, b"a" * 400, [costs[:, 0], costs[:, 1]])
    assert windows.starts.tolist() == [0, 80, 160]
    assert windows.bits[:, 1].tolist() == [240, 240, 240]
    assert windows.bits[0].tolist() == [240, 240] and np.isnan(windows.bits[1:, 0]).all()


def test_stretches_of_a_hidden_text_say_what_of_them_is_paid() -> None:
    tokens = Tokens(np.array([NAN, 1.5, 3.0], np.float32), np.array([10, 100, 130]))
    assert coarse_data(tokens) == {"bits": [90, 340, 20], "lengths": [64, 64, 2], "paid": [54, 64, 2]}
    unpaid = Tokens(np.array([NAN, 1.5], np.float32), np.array([64, 65]))
    assert coarse_data(unpaid) == {"bits": [None, 150], "lengths": [64, 1], "paid": [0, 1]}
    assert "paid" not in coarse_data(Tokens(np.array([1.0], np.float32), np.array([70])))


def test_positions_leave_unpaid_bytes_out(tmp_path: Path) -> None:
    texts = [document.text for document in _documents(1, 9, source="x") if document.num_bytes >= 256]
    model = Counted("threes", "text", 3)  # whose first token, the first three bytes, is not paid for
    result = run(
        [model],
        [corpus_of(texts)],
        policy="uncheatable",
        options=RunOptions(output=tmp_path),
        token_bits=True,
    )
    [point] = position_curve(result.cells[0], [0, 256])
    bits = 0.0
    for row in token_rows(result.cells[0]):
        start = 0
        for token_bits, end in zip(row.token_bits, row.token_ends, strict=True):
            bits += (token_bits or 0.0) * max(0, min(end, 256) - start) / (end - start)
            start = end
    assert point.bits_per_byte == pytest.approx(bits / (253 * len(texts)), rel=1e-9)
