"""Causal attention by the native loop: the numbers of torch, and a query's bits whatever goes with it."""

import pytest
import torch
from torch import Tensor

from evalkit_kernels import native_calls
from evalkit_kernels.attention_cpu import causal_attention, serves

pytestmark = pytest.mark.skipif(not native_calls.available(), reason="needs a C compiler")

SHAPES = [  # batch, heads, heads of keys, tokens, tokens before, head size
    (1, 1, 1, 1, 0, 16),
    (2, 3, 3, 70, 30, 64),
    (2, 9, 3, 37, 0, 64),
    (3, 8, 2, 5, 200, 128),
    (1, 4, 1, 40, 63, 80),
    (1, 2, 2, 90, 1000, 256),
]


def operands(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    num_batch, num_heads, num_key_heads, num_tokens, num_before, head_size = shape
    source = torch.Generator().manual_seed(20)
    query = torch.randn(num_batch, num_tokens, num_heads, head_size, generator=source).transpose(1, 2)
    num_keys = -(-(num_before + num_tokens) // 64) * 64
    # Scores of -30 to 30, as models have them that look at one key.
    key, value = torch.randn(2, num_batch, num_key_heads, num_keys, head_size, generator=source)
    return 3 * query, key, value


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("num_threads", [1, 3])
def test_a_query_has_the_numbers_of_torch_and_the_same_bits_alone(
    shape: tuple[int, ...], num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, key, value = operands(shape)
    num_tokens, num_before, head_size = shape[3:]
    assert serves(query, key, value)
    before = torch.get_num_threads()
    monkeypatch.setattr(native_calls, "_PARALLEL_SIZE", 0)
    torch.set_num_threads(num_threads)
    try:
        together = causal_attention(query, key, value, num_before, head_size**-0.5)
    finally:
        torch.set_num_threads(before)
    is_seen = torch.arange(key.shape[2]) <= num_before + torch.arange(num_tokens)[:, None]
    expected = torch.nn.functional.scaled_dot_product_attention(
        query.double(), key.double(), value.double(), is_seen, enable_gqa=True
    ).transpose(1, 2)
    assert (together - expected).abs().max().item() < 5e-6
    for token in range(num_tokens):
        num_seen = num_before + token + 1
        keys = slice(-(-num_seen // 64) * 64)
        unseen = [x[:, :, keys].clone() for x in (key, value)]
        for x in unseen:
            x[:, :, num_seen:] = 0  # a decoder has read no more
        alone = causal_attention(query[:, :, token : token + 1], *unseen, num_seen - 1, head_size**-0.5)
        assert torch.equal(alone[:, 0], together[:, token])


def test_what_it_cannot_take_is_left_to_torch() -> None:
    query, key, value = operands(SHAPES[1])
    assert not serves(query.double(), key.double(), value.double())
    assert not serves(query[..., :40], key[..., :40], value[..., :40])
    assert not serves(query, key[:, :, :100], value[:, :, :100])
    assert not serves(query.clone().requires_grad_(), key, value)
    with pytest.raises(ValueError, match="100 queries after 0 tokens see more than 64 keys"):
        causal_attention(torch.zeros(1, 1, 100, 16), *torch.zeros(2, 1, 1, 64, 16), 0, 1.0)
