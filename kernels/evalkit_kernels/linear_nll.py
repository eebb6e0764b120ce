"""Negative log-likelihood of targets under a linear head, without the ``[T, V]`` matrix of logits.

Shape legend: T = rows (token positions), C = channels, V = vocabulary, R = rows and B = columns of a block.

For V = 151,936 the logits of 16k tokens are 9 GiB in float32. The head is read block by block over the
vocabulary instead, keeping a running log-sum-exp per row (Milakov & Gimelshein 2018, arXiv 1805.02867);
the backward pass computes the blocks again from the log-sum-exp (Wijmans et al. 2024, arXiv 2411.09009).
"""

import importlib.util
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from evalkit_kernels.linear import linear, padded_num_rows
from evalkit_kernels.log_sum import log_sum_exp

BACKENDS = ("auto", "reference", "torch", "triton")

_CPU_ROWS, _CPU_LOGITS = 512, 1 << 19
"""2 MiB of logits: they stay in cache between the product and the sum, which larger ones do not."""
_CPU_UPCAST = 1 << 22
"""Elements of a 16-bit weight that are float32 at a time: 16 MiB."""
_GPU_ROWS, _GPU_LOGITS = 4096, 1 << 25
"""128 MiB of logits: products large enough for full speed, and a third of a GiB in all."""
_FUSED_CHANNELS = 1024
"""Up to here `auto` fuses on a GPU. Unfused logits cost 8 bytes of traffic beside 2C operations each; on
an H100 (3 TB/s, 700 Tflop/s) that is as long as the product itself at C = 930. An estimate."""

Forward = Callable[[Tensor, Tensor, Tensor, Tensor | None, float | None, float], tuple[Tensor, Tensor]]
"""(hidden, weight, targets, bias, softcap, scale) -> log-sum-exp and target's logit, ``[T]`` each."""


def linear_nll(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    softcap: float | None = None,
    scale: float = 1.0,
    backend: str = "auto",
) -> Tensor:
    """``-ln softmax(logits)[target]`` per row, in nats.

    ``logits = scale * (hidden @ weight.T + bias)``, and with a softcap
    ``softcap * tanh(logits / softcap)`` (Gemma 2, arXiv 2408.00118, eq. in section 2).

    Logits are accumulated and kept in float32 (float64 for float64) whatever the dtype of the inputs. The
    same call gives the same bits. Differentiable once in ``hidden``, ``weight`` and ``bias``; gradients are
    summed in float32 (float64) and rounded to the inputs' dtype at the end.

    Args:
        hidden: ``[T, C]``.
        weight: ``[V, C]``, of the same dtype.
        targets: ``[T]``, integer, each in ``[0, V)``.
        bias: ``[V]`` or None.
        softcap: bound of the logits' absolute value, or None.
        scale: factor on the logits.
        backend: ``reference`` (all logits at once), ``torch`` (products of blocks), ``triton`` (one kernel
            for product and sum), or ``auto``: ``triton`` on CUDA for 16-bit inputs of at most 1024 channels
            where it can run, else ``torch``.

    Returns:
        ``[T]``: float32; float64 where ``hidden`` is float64.

    Raises:
        ValueError: shapes or dtypes do not fit, a target lies outside the vocabulary, an unknown backend,
            or one that cannot run here. On a GPU, where looking at the targets would wait for all work
            under way, the nats of a target outside the vocabulary are NaN instead.
    """
    _check(hidden, weight, targets, bias, softcap)
    vocab_size = weight.shape[0]
    outside = None
    if targets.device.type != "cpu":
        outside = (targets < 0) | (targets >= vocab_size)
        targets = targets.clamp(0, vocab_size - 1)
    elif targets.numel() and not 0 <= int(targets.min()) <= int(targets.max()) < vocab_size:
        raise ValueError(f"targets must lie in [0, {vocab_size})")
    targets = targets.long()

    if backend == "auto":
        backend = _fastest(hidden)
    if backend == "reference":
        nats = linear_nll_reference(hidden, weight, targets, bias=bias, softcap=softcap, scale=scale)
    elif backend in ("torch", "triton"):
        forward = _forward_blocked
        if backend == "triton":
            if reason := triton_unavailable(hidden):
                raise ValueError(f"linear_nll: backend 'triton' cannot run: {reason}")
            from evalkit_kernels.linear_nll_triton import forward_fused as forward
        nats = _LinearNLL.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, targets, softcap, scale, forward
        )
    else:
        raise ValueError(f"unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
    return nats if outside is None else nats.masked_fill(outside, torch.nan)


def linear_nll_reference(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    softcap: float | None = None,
    scale: float = 1.0,
) -> Tensor:
    """The definition: all logits, a log-softmax, a gather. Arguments as in `linear_nll`."""
    logits = hidden.to(_wide(hidden)) @ weight.to(_wide(hidden)).T
    if bias is not None:
        logits = logits + bias
    logits = logits * scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return -torch.log_softmax(logits, -1).gather(-1, targets[:, None]).squeeze(-1)


def linear_logits(
    hidden: Tensor,
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    softcap: float | None = None,
    scale: float = 1.0,
) -> Tensor:
    """The logits that `linear_nll` never holds, ``[T, V]``; for few rows at a time.

    Arguments and precision as there; not differentiable.
    """
    logits = hidden.new_empty((hidden.shape[0], weight.shape[0]), dtype=_wide(hidden))
    with torch.no_grad():
        for columns in _blocks(hidden, weight)[1]:
            product = _product(hidden, _for_product(weight[columns]))
            logits[:, columns] = _logits_(product, None if bias is None else bias[columns], softcap, scale)
    return logits


def triton_unavailable(hidden: Tensor) -> str | None:
    """Why the Triton kernels cannot take this tensor, or None where they can."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if hidden.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"{hidden.dtype} is none of float32, bfloat16 and float16"
    if not hidden.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        return f"tensors on {hidden.device.type} need TRITON_INTERPRET=1"
    return None


def _check(
    hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None, softcap: float | None
) -> None:
    if (
        hidden.ndim != 2
        or weight.ndim != 2
        or hidden.shape[1] != weight.shape[1]
        or targets.shape != hidden.shape[:1]
    ):
        raise ValueError(
            f"hidden {tuple(hidden.shape)}, weight {tuple(weight.shape)} and targets "
            f"{tuple(targets.shape)} must be [T, C], [V, C] and [T]"
        )
    if hidden.dtype != weight.dtype or not hidden.is_floating_point():
        raise ValueError(f"hidden {hidden.dtype} and weight {weight.dtype} must be of one floating dtype")
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise ValueError(f"targets must be integers, not {targets.dtype}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias {tuple(bias.shape)} must be [V] = {tuple(weight.shape[:1])}")
    if softcap is not None and not softcap > 0:
        raise ValueError(f"softcap must be positive, not {softcap}")


def _fastest(hidden: Tensor) -> str:
    """The rule of `auto`, from device, dtype and shape alone."""
    fits = hidden.is_cuda and hidden.dtype in (torch.bfloat16, torch.float16)
    if fits and hidden.shape[1] <= _FUSED_CHANNELS and triton_unavailable(hidden) is None:
        return "triton"
    return "torch"


class _LinearNLL(torch.autograd.Function):
    """Keeps the inputs and ``[T]`` log-sum-exps; autograd by itself would keep every block of logits."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        softcap: float | None,
        scale: float,
        forward: Forward,
    ) -> Tensor:
        log_sum, target_logit = forward(hidden, weight, targets, bias, softcap, scale)
        ctx.save_for_backward(hidden, weight, bias, targets, log_sum)
        ctx.softcap, ctx.scale = softcap, scale
        return (log_sum - target_logit).to(_wide(hidden))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        needs = ctx.needs_input_grad[:3]
        gradients = _backward_blocked(needs, grad, *ctx.saved_tensors, softcap=ctx.softcap, scale=ctx.scale)
        return *gradients, None, None, None, None


def _forward_blocked(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None,
    softcap: float | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp and target's logit per row. See `Forward`."""
    num_rows = hidden.shape[0]
    # Float64 for T numbers, not for T V: the merges then add no error. MPS has none.
    exact = torch.float32 if hidden.device.type == "mps" else torch.float64
    log_sum = hidden.new_full((num_rows,), -torch.inf, dtype=exact)
    target_logit = hidden.new_full((num_rows,), torch.nan, dtype=exact)
    row_blocks, column_blocks = _blocks(hidden, weight)
    scratch = _scratch(hidden, row_blocks, column_blocks)
    for columns in column_blocks:
        block_weight = _for_product(weight[columns])
        block_bias = None if bias is None else bias[columns]
        for rows in row_blocks:
            block_targets = targets[rows] - columns.start
            is_here = (block_targets >= 0) & (block_targets < block_weight.shape[0])
            block_log_sum, logit = _block_statistics(
                _product(hidden[rows], block_weight), block_targets, block_bias, softcap, scale, scratch
            )
            log_sum[rows] = torch.logaddexp(log_sum[rows], block_log_sum.to(exact))
            target_logit[rows] = torch.where(is_here, logit.to(exact), target_logit[rows])
    return log_sum, target_logit


def _scratch(hidden: Tensor, row_blocks: list[slice], column_blocks: list[slice]) -> Tensor | None:
    """Memory for a block, or None where a kernel needs none.

    Two blocks of memory at a time, this and the products (which no name may keep alive into the next
    turn), or else the allocator returns them to the system and pages them in again in every turn.
    """
    if hidden.is_cuda and triton_unavailable(hidden) is None:
        return None
    sizes = [max((x.stop - x.start for x in blocks), default=0) for blocks in (row_blocks, column_blocks)]
    return hidden.new_empty(sizes[0] * sizes[1], dtype=_wide(hidden))


def _block_statistics(
    product: Tensor,
    targets: Tensor,
    bias: Tensor | None,
    softcap: float | None,
    scale: float,
    scratch: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp ``[R]`` over a block, and the target's logit where it lies in it, else any number.

    Args:
        product: ``[R, B]``, hidden states times weights; overwritten.
        targets: ``[R]``, counted from the block's first column.
        bias: ``[B]`` or None.
        softcap: as in `linear_nll`.
        scale: as in `linear_nll`.
        scratch: at least ``R B`` elements, overwritten; None for the Triton kernel.
    """
    if scratch is None:
        from evalkit_kernels.linear_nll_triton import block_statistics

        return block_statistics(product, targets, bias, softcap, scale)
    logits = _logits_(product, bias, softcap, scale)
    # Out of the same logits that are summed, so that rounding never gives a probability above one.
    target_logit = logits.gather(1, targets.clamp(0, logits.shape[1] - 1)[:, None]).squeeze(1)
    return log_sum_exp(logits, scratch), target_logit


def _backward_blocked(
    needs: tuple[bool, bool, bool],
    grad: Tensor,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    log_sum: Tensor,
    *,
    softcap: float | None,
    scale: float,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """``d product = (softmax - onehot) * d logits / d product * grad``, block by block.

    Args:
        needs: whether the gradients of hidden, weight and bias are wanted.
        grad: ``[T]``, of the nats.
        hidden: ``[T, C]``, and the following as in `linear_nll`.
        weight: ``[V, C]``.
        bias: ``[V]`` or None.
        targets: ``[T]``.
        log_sum: ``[T]``, from the forward pass.
        softcap: positive or None.
        scale: factor on the logits.

    Returns:
        Gradients of hidden, weight and bias, in their dtypes; None where not wanted.
    """
    wide = _wide(hidden)
    grad, log_sum = (grad.to(wide) * scale)[:, None], log_sum.to(wide)[:, None]
    grad_hidden = torch.zeros_like(hidden, dtype=wide) if needs[0] else None
    grad_weight = torch.empty_like(weight) if needs[1] else None
    grad_bias = torch.empty_like(bias) if needs[2] and bias is not None else None
    row_blocks, column_blocks = _blocks(hidden, weight)
    for columns in column_blocks:
        block_weight = weight[columns].to(wide)
        block_bias = None if bias is None else bias[columns].to(wide)
        grad_block_weight = torch.zeros_like(block_weight)
        grad_block_bias = block_weight.new_zeros(block_weight.shape[0])
        for rows in row_blocks:
            block_hidden = hidden[rows].to(wide)
            logits = _logits_(linear(block_hidden, block_weight), block_bias, softcap, scale)
            slope = None if softcap is None else (logits / softcap).square_().neg_().add_(1)
            grad_product = logits.sub_(log_sum[rows]).exp_()
            block_targets = targets[rows, None] - columns.start
            is_here = (block_targets >= 0) & (block_targets < logits.shape[1])
            block_targets = block_targets.clamp(0, logits.shape[1] - 1)
            at_target = grad_product.gather(1, block_targets) - is_here.to(wide)
            grad_product.scatter_(1, block_targets, at_target).mul_(grad[rows])
            if slope is not None:
                grad_product.mul_(slope)
            if grad_hidden is not None:
                grad_hidden[rows] += linear(grad_product, block_weight.T)
            if grad_weight is not None:
                grad_block_weight += linear(grad_product.T, block_hidden.T)
            if grad_bias is not None:
                grad_block_bias += grad_product.sum(0)
        if grad_weight is not None:
            grad_weight[columns] = grad_block_weight
        if grad_bias is not None:
            grad_bias[columns] = grad_block_bias
    return None if grad_hidden is None else grad_hidden.to(hidden.dtype), grad_weight, grad_bias


def _blocks(hidden: Tensor, weight: Tensor) -> tuple[list[slice], list[slice]]:
    """Slices of the rows and of the columns, from the shapes alone."""
    num_rows, num_channels = hidden.shape
    on_cpu = hidden.device.type == "cpu"
    max_rows, num_logits = (_CPU_ROWS, _CPU_LOGITS) if on_cpu else (_GPU_ROWS, _GPU_LOGITS)
    row_blocks = list(_slices(num_rows, max_rows))
    # On a CPU as for any of the numbers of rows that are padded to the same, so that shapes are few.
    rows = row_blocks[0].stop if row_blocks else 1
    rows = padded_num_rows(rows) if on_cpu else rows
    columns = max(1, num_logits // rows)
    if on_cpu and hidden.dtype != _wide(hidden):
        columns = min(columns, max(1, _CPU_UPCAST // max(1, num_channels)))
    return row_blocks, list(_slices(weight.shape[0], columns))


def _slices(size: int, max_length: int) -> Iterator[slice]:
    """As few slices as can be, of nearly equal length: a short one at the end would waste a product."""
    count = -(-size // max_length)
    length = -(-size // max(1, count))
    for first in range(0, size, max(1, length)):
        yield slice(first, min(first + length, size))


def _for_product(weight: Tensor) -> Tensor:
    """16-bit products are several times slower than float32 on CPUs without AMX, and round the logits."""
    return weight if weight.is_cuda else weight.to(_wide(weight))


def _product(hidden: Tensor, weight: Tensor) -> Tensor:
    """``hidden @ weight.T``, a new tensor in float32, or float64 where the inputs are."""
    if hidden.is_cuda and hidden.dtype != _wide(hidden):
        return torch.mm(hidden, weight.T, out_dtype=torch.float32)
    return linear(hidden.to(weight.dtype), weight)


def _logits_(product: Tensor, bias: Tensor | None, softcap: float | None, scale: float) -> Tensor:
    """Overwrite ``[R, B]`` products by their logits."""
    if bias is not None:
        product.add_(bias)
    if scale != 1.0:
        product.mul_(scale)
    if softcap is not None:
        product.div_(softcap).tanh_().mul_(softcap)
    return product


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
