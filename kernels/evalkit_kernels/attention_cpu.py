"""Causal attention whose sums go in one order for every query, by the native loop of `attention_cpu.c`.

Shape legend: B = batch, T = time, H = heads, K = keys, N = head size.
"""

import ctypes

import torch
from torch import Tensor

from evalkit_kernels import native_calls
from evalkit_kernels.native_calls import INT, POINTER, Operand, available, operands, rows
from evalkit_kernels.wkv7_cpu import needs_gradient

MAX_HEAD_SIZE = 256
KEY_BLOCK = 64
"""The number of keys is a multiple of it."""
_MAX_QUERIES = 32
"""``MAX_QUERIES``: that a thread computes side by side."""


class _Attention(ctypes.Structure):
    """``struct attention``."""

    _fields_ = (
        ("query", Operand),
        ("key", Operand),
        ("value", Operand),
        ("out", POINTER),
        ("scratch", POINTER),
        ("num_batch", INT),
        ("num_tokens", INT),
        ("num_heads", INT),
        ("head_size", INT),
        ("next_piece", INT),
        ("num_key_heads", INT),
        ("num_keys", INT),
        ("num_before", INT),
        ("next_scratch", INT),
        ("scale", ctypes.c_float),
    )


def serves(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether `causal_attention` can take these: float32 on CPU, without a gradient."""
    head_size = query.shape[3]
    return (
        all(x.device.type == "cpu" and x.dtype == torch.float32 for x in (query, key, value))
        and head_size % 16 == 0
        and head_size <= MAX_HEAD_SIZE
        and key.shape == value.shape
        and key.shape[2] % KEY_BLOCK == 0
        and query.shape[1] % key.shape[1] == 0
        and not needs_gradient(query, key, value)
        and available()
    )


def causal_attention(query: Tensor, key: Tensor, value: Tensor, num_before: int, scale: float) -> Tensor:
    """Softmax attention of queries over all keys up to their own.

    A query gets the same bits, whatever is computed with it and in however many threads.

    Args:
        query: ``[B, H, T, N]`` float32, N a multiple of 16 up to `MAX_HEAD_SIZE`.
        key: ``[B, H_key, K, N]``, where H is a multiple of H_key and K one of `KEY_BLOCK`; keys past
            the last query's own are finite numbers that are not looked at.
        value: as ``key``.
        num_before: keys before the first query's own.
        scale: factor on the products of queries and keys.

    Returns:
        ``[B, T, H, N]``.

    Raises:
        ValueError: there are fewer keys than queries see.
    """
    num_batch, num_heads, num_tokens, head_size = query.shape
    num_keys = key.shape[2]
    if num_before < 0 or num_before + num_tokens > num_keys:
        raise ValueError(f"{num_tokens} queries after {num_before} tokens see more than {num_keys} keys")
    # An operand's axes are batch, time and head.
    tensors = [rows(x).transpose(1, 2) for x in (query, key, value)]
    out = torch.empty(num_batch, num_tokens, num_heads, head_size)
    scratch = torch.empty(torch.get_num_threads(), _MAX_QUERIES * num_keys)
    arguments = _Attention(
        *operands(tensors, 3),
        out.data_ptr(),
        scratch.data_ptr(),
        num_batch,
        num_tokens,
        num_heads,
        head_size,
        num_key_heads=key.shape[1],
        num_keys=num_keys,
        num_before=num_before,
        scale=scale,
    )
    native_calls.run("evalkit_attention", num_batch * num_heads * num_tokens * num_keys, arguments)
    return out
