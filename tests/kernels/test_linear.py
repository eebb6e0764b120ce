"""The product of rows: its value, and how many shapes of it there are."""

import importlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evalkit_kernels.linear import linear, padded_num_rows

MODULE = importlib.import_module("evalkit_kernels.linear")  # the package has the function under its name


@given(st.integers(1, 1 << 20))
def test_rows_are_padded_little(num_rows: int) -> None:
    padded = padded_num_rows(num_rows)
    assert num_rows <= padded <= max(num_rows + 15, num_rows * 17 // 16)
    assert padded_num_rows(padded) == padded


def test_numbers_of_rows_are_few() -> None:
    assert len({padded_num_rows(num_rows) for num_rows in range(1, 513)}) == 32
    assert len({padded_num_rows(num_rows) for num_rows in range(1, 8193)}) == 96


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (1, 16), (2, 301), (1, 600)])
def test_the_product_is_that_of_float64(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    monkeypatch.setattr(MODULE, "onednn_is_faster", lambda: True)
    x, weight = torch.randn(*shape, 24), torch.randn(40, 24)
    with torch.no_grad():
        for operand in (weight, torch.randn(24, 40).T):
            product = linear(x, operand)
            assert product.shape == (*shape, 40)
            assert torch.allclose(product.double(), x.double() @ operand.double().T, atol=2e-5)
