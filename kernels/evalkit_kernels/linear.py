"""``x @ weight.T`` at the speed the processor has.

torch's float32 product on CPU is MKL's, which leaves AVX-512 unused on AMD processors, where oneDNN's is
about twice as fast (``evalkit bench kernels`` times both: "GEMM alone"). The choice depends on the
processor alone, so that a machine always gives the same digits.
"""

import functools
import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ROW_STEP = 16

# Read at the first product. What it keeps of a shape is 0.15 MB, and 1024 of them are its own capacity.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T``.

    Where a gradient is recorded under autocast, the operands are rounded to its dtype; sums and results
    keep that of ``x``.

    Args:
        x: ``[..., C_in]``.
        weight: ``[C_out, C_in]``.

    Returns:
        ``[..., C_out]``, in ``x``'s dtype.
    """
    is_cpu = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"
    if not is_cpu or not onednn_is_faster() or is_stacked(x) or is_stacked(weight):
        return F.linear(x, weight).to(x.dtype)  # autocast would leave its own
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        product: Tensor = _Linear.apply(x, weight)  # type: ignore[no-untyped-call]
        return product
    return _padded_onednn(x, weight)


def is_stacked(x: Tensor) -> bool:
    """Whether a tensor stands for those of several networks at a time, within `torch.func.vmap`."""
    return torch._C._functorch.is_batchedtensor(x)


def use_in(model: nn.Module) -> None:
    """Let every `torch.nn.Linear` of a model compute its product with `linear`, where that is faster."""
    if not onednn_is_faster():
        return
    for module in model.modules():
        if type(module) is nn.Linear:
            module.forward = functools.partial(_forward, module)  # type: ignore[method-assign]


def _forward(module: nn.Linear, x: Tensor) -> Tensor:
    product = linear(x, module.weight)
    return product if module.bias is None else product + module.bias


class _Linear(torch.autograd.Function):
    """oneDNN's product with its gradients, which are products of the same kind."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight = x.to(dtype), weight.to(dtype)
        ctx.save_for_backward(x, weight)
        with torch.autocast("cpu", enabled=False):
            return _onednn(x, weight).float()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_y: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        d_y = d_y.to(x.dtype)
        d_x = _onednn(d_y, weight.T).float() if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return d_x, None
        return d_x, _onednn(d_y.reshape(-1, d_y.shape[-1]).T, x.reshape(-1, x.shape[-1]).T).float()


def padded_num_rows(num_rows: int) -> int:
    """The size from a short list, at most a sixteenth larger beyond 256, that a product of rows is given.

    oneDNN compiles a product for every shape and keeps a part of each for good, 0.3 MB whatever its cache's
    capacity (3.12, AMD with AVX-512): over documents of many lengths that is a gigabyte.
    """
    step = max(_ROW_STEP, 1 << max(0, (num_rows - 1).bit_length() - 5))
    return -(-num_rows // step) * step


def _padded_onednn(x: Tensor, weight: Tensor) -> Tensor:
    """`_onednn` of `padded_num_rows` rows; those that were added are cut off."""
    num_rows = x.shape[:-1].numel()
    num_padded = padded_num_rows(num_rows)
    if num_padded == num_rows:
        return _onednn(x, weight)
    padded = x.new_zeros(num_padded, x.shape[-1])
    padded[:num_rows] = x.reshape(num_rows, -1)
    return _onednn(padded, weight)[:num_rows].view(*x.shape[:-1], -1)


def _onednn(x: Tensor, weight: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return product


@functools.cache
def onednn_is_faster() -> bool:
    """Whether oneDNN's float32 product beats MKL's here: an AMD processor with AVX-512."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch._C._has_mkldnn:
        return False
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and "AuthenticAMD" in cpuinfo.read_text(encoding="utf-8")
