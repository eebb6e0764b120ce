"""Negative log-likelihood of targets under a linear head, without the ``[T, V]`` matrix of logits.

Shape legend: T = rows (token positions), C = channels, V = vocabulary.

For V = 151,936 the logits of 16k tokens are 9 GiB in float32; the head is read block by block over the
vocabulary instead, keeping a running maximum and sum per row (online log-sum-exp, Milakov &
Gimelshein 2018, arXiv 1805.02867).
"""

import torch
from torch import Tensor

from evalkit_kernels.linear import linear

BACKENDS = ("auto", "reference", "torch")

_CPU_ROWS, _CPU_COLUMNS = 256, 8192
"""An 8 MiB block of logits: large enough for full GEMM speed, small enough to stay in cache."""
_GPU_ROWS, _GPU_COLUMNS = 8192, 32768


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

    Args:
        hidden: ``[T, C]``.
        weight: ``[V, C]``, of the same dtype.
        targets: ``[T]``, integer, each in ``[0, V)``.
        bias: ``[V]`` or None.
        softcap: bound of the logits' absolute value, or None.
        scale: factor on the logits.
        backend: ``reference`` (all logits at once), ``torch`` (blocks), ``auto``.

    Returns:
        ``[T]``: float32; float64 where ``hidden`` is float64.

    Raises:
        ValueError: shapes do not fit, a target lies outside the vocabulary, or an unknown backend.
    """
    num_rows, num_channels = hidden.shape
    vocab_size = weight.shape[0]
    if weight.shape != (vocab_size, num_channels) or targets.shape != (num_rows,):
        raise ValueError(
            f"hidden {tuple(hidden.shape)}, weight {tuple(weight.shape)} and targets "
            f"{tuple(targets.shape)} must be [T, C], [V, C] and [T]"
        )
    if num_rows and not 0 <= int(targets.min()) <= int(targets.max()) < vocab_size:
        raise ValueError(f"targets must lie in [0, {vocab_size})")
    if backend == "reference":
        return linear_nll_reference(hidden, weight, targets, bias=bias, softcap=softcap, scale=scale)
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; known: {', '.join(BACKENDS)}")
    return _linear_nll_blocked(hidden, weight, targets, bias, softcap, scale)


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
    logits = _logits(hidden, weight, bias, softcap, scale)
    return -torch.log_softmax(logits, -1).gather(-1, targets[:, None]).squeeze(-1)


def _logits(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, softcap: float | None, scale: float
) -> Tensor:
    """Logits in float32, or float64 where the inputs are; never rounded to 16 bits on the way."""
    if hidden.dtype in (torch.float32, torch.float64):
        logits = linear(hidden, weight)
    elif hidden.is_cuda:
        logits = torch.mm(hidden, weight.T, out_dtype=torch.float32)
    else:  # 16-bit GEMM on CPUs without AMX is several times slower than float32
        logits = hidden.float() @ weight.T.float()
    if bias is not None:
        logits = logits + bias
    if scale != 1.0:
        logits = logits * scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return logits


def _linear_nll_blocked(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None,
    softcap: float | None,
    scale: float,
) -> Tensor:
    on_cpu = hidden.device.type == "cpu"
    block_rows, block_columns = (_CPU_ROWS, _CPU_COLUMNS) if on_cpu else (_GPU_ROWS, _GPU_COLUMNS)
    pieces = []
    for rows, row_targets in zip(
        torch.split(hidden, block_rows), torch.split(targets, block_rows), strict=True
    ):
        # A dot per row instead of a look-up in the blocks: the target's logit at full precision.
        target_weight = weight[row_targets]
        target_logit = torch.einsum("tc,tc->t", rows.to(_wide(rows)), target_weight.to(_wide(rows)))
        if bias is not None:
            target_logit = target_logit + bias[row_targets]
        target_logit = target_logit * scale
        if softcap is not None:
            target_logit = softcap * torch.tanh(target_logit / softcap)
        log_sum = torch.full_like(target_logit, -torch.inf)
        for first in range(0, weight.shape[0], block_columns):
            columns = slice(first, first + block_columns)
            logits = _logits(rows, weight[columns], None if bias is None else bias[columns], softcap, scale)
            log_sum = torch.logaddexp(log_sum, torch.logsumexp(logits, -1))
        pieces.append(log_sum - target_logit)
    return torch.cat(pieces) if pieces else hidden.new_zeros(0, dtype=_wide(hidden))


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
