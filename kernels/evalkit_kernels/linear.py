"""``x @ weight.T`` at the speed the processor has.

torch's float32 product on CPU is MKL's, which leaves AVX-512 unused on AMD processors, where oneDNN's is
about twice as fast (``evalkit bench kernels`` times both: "GEMM alone"). The choice depends on the
processor alone, so that a machine always gives the same digits.
"""

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T``.

    Args:
        x: ``[..., C_in]``.
        weight: ``[C_out, C_in]``.

    Returns:
        ``[..., C_out]``.
    """
    if (
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))  # forward only
        and onednn_is_faster()
    ):
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return product
    return F.linear(x, weight)


@functools.cache
def onednn_is_faster() -> bool:
    """Whether oneDNN's float32 product beats MKL's here: an AMD processor with AVX-512."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch._C._has_mkldnn:
        return False
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and "AuthenticAMD" in cpuinfo.read_text(encoding="utf-8")
