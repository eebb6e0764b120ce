"""Whether the tensors of a pickled file are what the file holds.

A pickle says of each tensor where it lies, how large it is and how its elements follow on each other, and may
say anything: one number of the file, with strides of 0, is a matrix of any size, which is written out when it
is copied.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_SMALL_BYTES = 2**20


def problem_of_stored(tensors: Mapping[str, "Tensor"], num_file_bytes: int) -> str | None:
    """What is wrong with tensors out of a file; None: each is stored element by element.

    Args:
        tensors: as `torch.load` gives them.
        num_file_bytes: size of the file. Weights may be shared by two names, and not by many.
    """
    import torch

    num_bytes = 0
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            return f"tensor {name!r} is {tensor.layout} on {tensor.device.type}, and not stored as it is"
        num_own_bytes = tensor.numel() * tensor.element_size()
        if num_own_bytes > tensor.untyped_storage().nbytes():
            return f"tensor {name!r} has {tensor.numel():,} elements, more than are stored"
        num_bytes += num_own_bytes
    if num_bytes > 2 * num_file_bytes + _SMALL_BYTES:
        return f"its tensors have {num_bytes:,} bytes, and the file {num_file_bytes:,}"
    return None
