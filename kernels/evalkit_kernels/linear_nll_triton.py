"""Triton kernels of `linear_nll`: product and log-sum-exp in one, and the log-sum-exp alone.

Shape legend: T = rows (token positions), C = channels, V = vocabulary, S = splits of the vocabulary,
R = rows and B = columns of a block of logits.

`_fused_kernel` is a matrix product whose programs walk over their share of the vocabulary and keep, per
row, the maximum, the sum of exponentials and the target's logit; logits stay in registers. Every program
writes three numbers per row of its own, which are merged afterwards: no atomics, so that the same call
gives the same bits. The target's logit is picked out of the float32 accumulators (as quack's
``linear_cross_entropy`` does); the running pair is Milakov & Gimelshein's (2018, arXiv 1805.02867).

Block sizes follow from shapes, dtype and the GPU's shared memory; none is tuned while running.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

NUM_PROGRAMS = 1024
"""What a launch aims at: some 8 per multiprocessor of an H100, so that the last ones leave few idle."""
GROUP = 16
"""Row blocks that run side by side: 2048 rows of 2048 channels are 8 MiB in 16 bits."""
_INTERPRETED: bool = triton.knobs.runtime.interpret


@triton.jit  # type: ignore[untyped-decorator]
def _logits_of(
    product: tl.tensor,
    bias: tl.tensor,
    softcap: tl.tensor,
    scale: tl.tensor,
    HAS_BIAS: tl.constexpr,
    HAS_SOFTCAP: tl.constexpr,
) -> tl.tensor:
    logits = product
    if HAS_BIAS:
        logits += bias
    logits *= scale
    if HAS_SOFTCAP:
        # tanh through an exponential that cannot overflow; exact to 1e-7 of the softcap.
        decay = tl.exp(-2.0 * tl.abs(logits) / softcap)
        size = softcap * (1.0 - decay) / (1.0 + decay)
        logits = tl.where(logits < 0, -size, size)
    return logits


@triton.jit  # type: ignore[untyped-decorator]
def _add_tile(
    logits: tl.tensor,
    columns: tl.tensor,
    targets: tl.tensor,
    num_columns: tl.tensor,
    maximum: tl.tensor,
    total: tl.tensor,
    at_target: tl.tensor,
) -> tl.tensor:
    """The running three of each row after one more tile ``[rows, columns]`` of logits."""
    logits = tl.where((columns < num_columns)[None, :], logits, float("-inf"))
    at_target += tl.sum(tl.where(columns[None, :] == targets[:, None], logits, 0.0), 1)
    new_maximum = tl.maximum(maximum, tl.max(logits, 1))
    shift = tl.where(new_maximum == float("-inf"), 0.0, new_maximum)
    total = total * tl.exp(maximum - shift) + tl.sum(tl.exp(logits - shift[:, None]), 1)
    return new_maximum, total, at_target


@triton.jit  # type: ignore[untyped-decorator]
def _fused_kernel(
    hidden: tl.tensor,  # [T, C]
    weight: tl.tensor,  # [V, C]
    bias: tl.tensor,  # [V]
    targets: tl.tensor,  # [T]
    maxima: tl.tensor,  # [S, T] float32, as the next two
    totals: tl.tensor,  # sums of exponentials of the logits less their maximum
    at_targets: tl.tensor,  # the target's logit, or 0 in the splits without it
    num_rows: tl.tensor,
    num_columns: tl.tensor,
    num_splits: tl.tensor,
    hidden_stride: tl.tensor,
    weight_stride: tl.tensor,
    softcap: tl.tensor,
    scale: tl.tensor,
    NUM_CHANNELS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_SOFTCAP: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_T: tl.constexpr,
    BLOCK_V: tl.constexpr,
    BLOCK_C: tl.constexpr,
    GROUP: tl.constexpr,
) -> None:
    # Programs that run at the same time share GROUP row blocks and few splits, so that what they read
    # again and again, hidden states and weights alike, fits into the L2 cache.
    program = tl.program_id(0)
    num_row_blocks = tl.cdiv(num_rows, BLOCK_T)
    group_size = GROUP * num_splits
    first_block = program // group_size * GROUP
    blocks_in_group = tl.minimum(num_row_blocks - first_block, GROUP)
    row_block = first_block + program % group_size % blocks_in_group
    split = program % group_size // blocks_in_group

    # Beyond the end the last row and column are read again, and masked where they would count.
    rows = row_block * BLOCK_T + tl.arange(0, BLOCK_T)
    safe_rows = tl.minimum(rows, num_rows - 1)
    row_targets = tl.load(targets + safe_rows)
    channels = tl.arange(0, BLOCK_C)
    hidden_rows = hidden + safe_rows.to(tl.int64)[:, None] * hidden_stride + channels[None, :]

    maximum = tl.full((BLOCK_T,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_T,), tl.float32)
    at_target = tl.zeros((BLOCK_T,), tl.float32)
    num_tiles = tl.cdiv(num_columns, BLOCK_V)
    for tile in range(split * num_tiles // num_splits, (split + 1) * num_tiles // num_splits):
        columns = tile * BLOCK_V + tl.arange(0, BLOCK_V)
        safe_columns = tl.minimum(columns, num_columns - 1)
        weight_columns = weight + safe_columns.to(tl.int64)[None, :] * weight_stride + channels[:, None]
        product = tl.zeros((BLOCK_T, BLOCK_V), tl.float32)
        for first in range(0, NUM_CHANNELS, BLOCK_C):
            if NUM_CHANNELS % BLOCK_C == 0:
                left = tl.load(hidden_rows + first)
                right = tl.load(weight_columns + first)
            else:
                left = tl.load(hidden_rows + first, channels[None, :] < NUM_CHANNELS - first, 0.0)
                right = tl.load(weight_columns + first, channels[:, None] < NUM_CHANNELS - first, 0.0)
            if UPCAST:
                left, right = left.to(tl.float32), right.to(tl.float32)
            product = tl.dot(left, right, product, input_precision="ieee")
        column_bias = tl.load(bias + safe_columns).to(tl.float32)[None, :] if HAS_BIAS else 0.0
        logits = _logits_of(product, column_bias, softcap, scale, HAS_BIAS, HAS_SOFTCAP)
        maximum, total, at_target = _add_tile(
            logits, columns, row_targets, num_columns, maximum, total, at_target
        )

    out = split * num_rows + rows
    tl.store(maxima + out, maximum, rows < num_rows)
    tl.store(totals + out, total, rows < num_rows)
    tl.store(at_targets + out, at_target, rows < num_rows)


@triton.jit  # type: ignore[untyped-decorator]
def _block_kernel(
    product: tl.tensor,  # [R, B] float32
    bias: tl.tensor,  # [B]
    targets: tl.tensor,  # [R]
    maxima: tl.tensor,  # [R] float32, as the next two
    totals: tl.tensor,
    at_targets: tl.tensor,
    num_columns: tl.tensor,
    product_stride: tl.tensor,
    softcap: tl.tensor,
    scale: tl.tensor,
    HAS_BIAS: tl.constexpr,
    HAS_SOFTCAP: tl.constexpr,
    BLOCK_B: tl.constexpr,
) -> None:
    row = tl.program_id(0) + tl.arange(0, 1)
    row_target = tl.load(targets + row)
    product += row.to(tl.int64)[:, None] * product_stride
    maximum = tl.full((1,), float("-inf"), tl.float32)
    total = tl.zeros((1,), tl.float32)
    at_target = tl.zeros((1,), tl.float32)
    for first in range(0, num_columns, BLOCK_B):
        columns = first + tl.arange(0, BLOCK_B)
        inside = columns < num_columns
        logits = tl.load(product + columns[None, :], inside[None, :], 0.0)
        column_bias = tl.load(bias + columns, inside, 0.0).to(tl.float32)[None, :] if HAS_BIAS else 0.0
        logits = _logits_of(logits, column_bias, softcap, scale, HAS_BIAS, HAS_SOFTCAP)
        maximum, total, at_target = _add_tile(
            logits, columns, row_target, num_columns, maximum, total, at_target
        )
    tl.store(maxima + row, maximum)
    tl.store(totals + row, total)
    tl.store(at_targets + row, at_target)


class Tiles(NamedTuple):
    """How `_fused_kernel` is cut: rows, columns and channels of a tile, and how it runs."""

    rows: int
    columns: int
    channels: int
    warps: int
    stages: int


def forward_fused(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None,
    softcap: float | None,
    scale: float,
    *,
    tiles: Tiles | None = None,
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp of the logits and the target's logit per row.

    Args:
        hidden: ``[T, C]`` in float32, bfloat16 or float16.
        weight: ``[V, C]``, of the same dtype.
        targets: ``[T]``, int64, each in ``[0, V)``.
        bias: ``[V]`` or None.
        softcap: as in `linear_nll`.
        scale: as in `linear_nll`.
        tiles: how to cut the product; from dtype, T and the GPU if None.

    Returns:
        ``[T]`` in float64 (sums of the splits), ``[T]`` in float32.
    """
    num_rows, num_channels = hidden.shape
    num_columns = weight.shape[0]
    if not num_rows:
        return hidden.new_empty(0, dtype=torch.float64), hidden.new_empty(0, dtype=torch.float32)
    hidden, weight = (x if x.stride(1) == 1 else x.contiguous() for x in (hidden, weight))
    tiles = tiles or choose_tiles(hidden)
    num_row_blocks = triton.cdiv(num_rows, tiles.rows)
    num_splits = max(1, min(triton.cdiv(num_columns, tiles.columns), NUM_PROGRAMS // num_row_blocks))
    partials = hidden.new_empty((3, num_splits, num_rows), dtype=torch.float32)
    with torch.cuda.device_of(hidden):  # type: ignore[no-untyped-call]
        _fused_kernel[(num_row_blocks * num_splits,)](
            hidden,
            weight,
            None if bias is None else bias.contiguous(),
            targets.contiguous(),
            *partials,
            num_rows,
            num_columns,
            num_splits,
            hidden.stride(0),
            weight.stride(0),
            float(softcap or 0.0),
            float(scale),
            NUM_CHANNELS=num_channels,
            HAS_BIAS=bias is not None,
            HAS_SOFTCAP=softcap is not None,
            UPCAST=_INTERPRETED and hidden.dtype == torch.bfloat16,  # its dot multiplies the bits
            BLOCK_T=tiles.rows,
            BLOCK_V=tiles.columns,
            BLOCK_C=tiles.channels,
            GROUP=GROUP,
            num_warps=tiles.warps,
            num_stages=tiles.stages,
        )
    maxima, totals, at_targets = partials
    log_sums = maxima.double() + totals.double().log()
    return torch.logsumexp(log_sums, 0), at_targets.sum(0)


def block_statistics(
    product: Tensor, targets: Tensor, bias: Tensor | None, softcap: float | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp of a block of logits and the target's logit, in one reading of the block.

    Args:
        product: ``[R, B]`` in float32, hidden states times weights.
        targets: ``[R]``, int64, counted from the block's first column.
        bias: ``[B]`` or None.
        softcap: as in `linear_nll`.
        scale: as in `linear_nll`.

    Returns:
        ``[R]`` in float64; ``[R]`` in float32, 0 where the target lies outside the block.
    """
    num_rows, num_columns = product.shape
    maxima, totals, at_targets = product.new_empty((3, num_rows))
    with torch.cuda.device_of(product):  # type: ignore[no-untyped-call]
        _block_kernel[(num_rows,)](
            product,
            None if bias is None else bias.contiguous(),
            targets.contiguous(),
            maxima,
            totals,
            at_targets,
            num_columns,
            product.stride(0),
            float(softcap or 0.0),
            float(scale),
            HAS_BIAS=bias is not None,
            HAS_SOFTCAP=softcap is not None,
            BLOCK_B=min(4096, triton.next_power_of_2(num_columns)),
            num_warps=8,
        )
    return maxima.double() + totals.double().log(), at_targets


def choose_tiles(hidden: Tensor) -> Tiles:
    """Tiles that fit the GPU's shared memory, ``(rows + columns) * channels * stages`` elements of it."""
    num_rows = hidden.shape[0]
    if hidden.dtype == torch.float32:  # no tensor cores for exact float32: the registers are the limit
        return Tiles(min(64, _tile_rows(num_rows)), 64, 32, warps=4, stages=2)
    if _shared_memory(hidden.device) >= 200 << 10:  # H100; an A100 would spill registers
        return Tiles(_tile_rows(num_rows), 256, 64, warps=8, stages=3)
    return Tiles(_tile_rows(num_rows), 128, 32, warps=8, stages=3)


def _shared_memory(device: torch.device) -> int:
    """Bytes that one program may have."""
    if device.type != "cuda":
        return 0
    properties: Any = torch.cuda.get_device_properties(device)  # the stub lacks the field
    return int(properties.shared_memory_per_block_optin)


def _tile_rows(num_rows: int) -> int:
    return min(128, max(16, int(triton.next_power_of_2(num_rows))))
