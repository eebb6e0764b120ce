"""Where a model runs and in which precision."""

import torch

from evalkit.errors import UsageError
from evalkit.models.protocol import LoadOptions

DTYPE_ALIASES = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    "f16": "float16",
    "fp32": "float32",
    "f32": "float32",
    "float": "float32",
}
"""Other names by which people ask for a precision."""

_DEVICES = "auto, cpu, cuda, cuda:N or mps"
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(device: str) -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` stands for on this machine.

    ``auto`` is a GPU of CUDA's or ROCm's where torch sees one, else the CPU: Apple's has to be named.

    Raises:
        UsageError: no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if "," in device:
        raise UsageError(f"device {device!r} names several, and one is needed here; use {_DEVICES}")
    try:
        resolved = torch.device(device)
    except RuntimeError:
        raise UsageError(f"unknown device {device!r}; use {_DEVICES}") from None
    if resolved.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"device {device!r} is not supported; use {_DEVICES}")
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"device {device!r} was asked for, and torch sees no GPU of Apple's")
    if resolved.type == "cuda":
        num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (resolved.index or 0) >= num_devices:
            raise UsageError(f"device {device!r} was asked for, but torch sees {num_devices} CUDA device(s)")
    return resolved


def resolve_dtype(options: LoadOptions) -> torch.dtype:
    """The data type to compute in: float32 on CPU and Apple's GPUs, bfloat16 on others, unless the user says.

    Raises:
        UsageError: an unknown name.
    """
    if options.dtype == "auto":
        return torch.float32 if resolve_device(options.device).type in ("cpu", "mps") else torch.bfloat16
    name = DTYPE_ALIASES.get(options.dtype, options.dtype)
    if name not in _DTYPES:
        raise UsageError(f"unknown dtype {options.dtype!r}; use auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def is_out_of_memory(error: Exception) -> bool:
    """Whether a computation does not fit in the memory of its device."""
    phrases = ("can't allocate memory", "not enough memory", "MPS backend out of memory")
    says_so = any(phrase in str(error) for phrase in phrases)
    is_of_torch = isinstance(error, RuntimeError) and says_so
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or is_of_torch


def free_cached_memory() -> None:
    """Give up what torch keeps of a GPU's memory for tensors to come: in other sizes it is of no use."""
    torch.cuda.empty_cache()  # nothing where CUDA was not begun
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
