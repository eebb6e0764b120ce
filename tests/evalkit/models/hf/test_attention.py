"""Short texts through the native loop, beside torch's attention; long ones are in test_model.py."""

import pytest
import torch
from torch import Tensor, nn

from evalkit.models.hf.attention import _natively
from evalkit_kernels.native_calls import available

pytestmark = pytest.mark.skipif(not available(), reason="no C compiler")


def _operands(
    num_tokens: int, head_size: int = 32, num_keys: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Laid out as transformers gives them, ``[B, T, H, N]`` seen as ``[B, H, T, N]``; heads share keys."""
    generator = torch.Generator().manual_seed(num_tokens)
    shapes = (num_tokens, 6), (num_keys or num_tokens, 2), (num_keys or num_tokens, 2)
    query, key, value = (
        torch.randn(3, length, num_heads, head_size, generator=generator).transpose(1, 2)
        for length, num_heads in shapes
    )
    return query, key, value


@pytest.mark.parametrize("num_tokens", [2, 63, 64, 65, 200])
def test_it_is_torchs_causal_attention(num_tokens: int) -> None:
    query, key, value = _operands(num_tokens)
    attended = _natively(nn.Module(), query, key, value, {"scaling": 0.3, "dropout": 0.0})
    assert attended is not None
    expected = nn.functional.scaled_dot_product_attention(
        query.double(), key.double(), value.double(), is_causal=True, scale=0.3, enable_gqa=True
    )
    torch.testing.assert_close(attended.transpose(1, 2).double(), expected, rtol=1e-5, atol=1e-6)


def test_other_attention_is_left_to_torch() -> None:
    query, key, value = _operands(20)
    module, bidirectional = nn.Module(), nn.Module()
    setattr(bidirectional, "is_causal", False)  # noqa: B010
    assert _natively(module, query, key, value, {}) is not None
    assert _natively(bidirectional, query, key, value, {}) is None
    assert _natively(bidirectional, query, key, value, {"is_causal": True}) is not None
    others = {"is_causal": False}, {"position_bias": torch.zeros(1)}, {"softcap": 30.0}, {"dropout": 0.1}
    assert all(_natively(module, query, key, value, settings) is None for settings in others)
    after_a_cache, with_large_heads = _operands(20, num_keys=30), _operands(20, head_size=128)
    for q, k, v in (after_a_cache, with_large_heads):
        assert _natively(module, q, k, v, {}) is None
    assert _natively(module, query.bfloat16(), key.bfloat16(), value.bfloat16(), {}) is None
    assert _natively(module, query.requires_grad_(), key, value, {}) is None
