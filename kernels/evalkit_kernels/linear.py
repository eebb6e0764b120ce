"""``x @ weight.T`` at the speed the processor has.

torch's float32 product on CPU is MKL's, which leaves AVX-512 unused on AMD processors, where oneDNN's is
about twice as fast (``evalkit bench kernels`` times both: "GEMM alone"). The choice depends on the
processor alone, so that a machine always gives the same digits.
"""

import functools
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
    if not (x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu" and onednn_is_faster()):
        return F.linear(x, weight).to(x.dtype)  # autocast would leave its own
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        product: Tensor = _Linear.apply(x, weight)  # type: ignore[no-untyped-call]
        return product
    return _onednn(x, weight)


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
