"""Where a model runs and in which precision."""

import torch

from evalkit.errors import UsageError
from evalkit.models.protocol import LoadOptions

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(device: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` stands for on this machine.

    Raises:
        UsageError: no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise UsageError(f"unknown device {device!r}; use auto, cpu, cuda or cuda:N") from None
    if resolved.type not in ("cpu", "cuda"):
        raise UsageError(f"device {device!r} is not supported; use auto, cpu, cuda or cuda:N")
    if resolved.type == "cuda":
        num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (resolved.index or 0) >= num_devices:
            raise UsageError(f"device {device!r} was asked for, but torch sees {num_devices} CUDA device(s)")
    return resolved


def resolve_dtype(options: LoadOptions) -> torch.dtype:
    """The data type to compute in: float32 on CPU and bfloat16 on GPU unless the user says otherwise.

    Raises:
        UsageError: an unknown name.
    """
    if options.dtype == "auto":
        return torch.float32 if resolve_device(options.device).type == "cpu" else torch.bfloat16
    if options.dtype not in _DTYPES:
        raise UsageError(f"unknown dtype {options.dtype!r}; use auto, {', '.join(_DTYPES)}")
    return _DTYPES[options.dtype]


def is_out_of_memory(error: Exception) -> bool:
    """Whether a computation does not fit in the memory of its device."""
    says_so = "can't allocate memory" in str(error) or "not enough memory" in str(error)
    is_of_torch = isinstance(error, RuntimeError) and says_so
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or is_of_torch


def free_cached_memory() -> None:
    """Give up what torch keeps of a GPU's memory for tensors to come: in other sizes it is of no use."""
    torch.cuda.empty_cache()  # nothing where CUDA was not begun
