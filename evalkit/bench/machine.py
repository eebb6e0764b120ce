"""The processor that a measurement ran on, what its matrix products reach, and how much memory they take."""

import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from evalkit.errors import UsageError
from evalkit.isolation import process_peak_bytes

_AMD_CORES = (
    (25, range(0x10), "Zen 3"),
    (25, range(0x20, 0x60), "Zen 3"),
    (25, range(0x10, 0x20), "Zen 4"),
    (25, range(0x60, 0x80), "Zen 4"),
    (25, range(0xA0, 0xB0), "Zen 4"),
    (26, range(0x30), "Zen 5"),
    (26, range(0x40, 0x50), "Zen 5"),
    (26, range(0x60, 0x80), "Zen 5"),
    (26, range(0x50, 0x60), "Zen 6"),
    (26, range(0x90, 0xB0), "Zen 6"),
    (26, range(0xC0, 0xD0), "Zen 6"),
)
"""Families and models of AMD's processors, after ``arch/x86/kernel/cpu/amd.c`` of Linux."""
_PRODUCTS = ((512, 768, 3072), (512, 3072, 768), (1024, 1024, 1024))
"""Rows, inputs and outputs of what rates are measured with: as in a layer of a small model."""
_NUM_ROUNDS = 12


def use_threads(number: int) -> None:
    """Let torch compute with so many threads.

    Raises:
        UsageError: more than the machine has processors; they would wait for each other.
    """
    check_threads([number])
    torch.set_num_threads(number)


def check_threads(numbers: Iterable[int]) -> None:
    """Refuse what `use_threads` would refuse."""
    num_cpus = os.cpu_count()
    for number in numbers:
        if num_cpus is not None and number > num_cpus:
            raise UsageError(f"--threads {number}: this machine has {num_cpus} processors; give no more")


def processor(name: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """A processor's name with its family and model, and the generation of AMD's.

    Args:
        name: as the system gives it: ``AMD EPYC`` becomes ``AMD EPYC, family 26, model 2 (Zen 5)``.
        cpuinfo: Linux's description of the processors.
    """
    if not cpuinfo.is_file():
        return name
    text = cpuinfo.read_text(encoding="utf-8")
    numbers = [re.search(rf"^{field}\s*: (\d+)$", text, re.MULTILINE) for field in ("cpu family", "model")]
    if not all(numbers):
        return name
    family, model = (int(number[1]) for number in numbers if number)
    generation = next(
        (f" ({core})" for number, models, core in _AMD_CORES if number == family and model in models), ""
    )
    return f"{name}, family {family}, model {model}{generation if 'AuthenticAMD' in text else ''}"


def onednn_linear(x: Tensor, weight: Tensor) -> Tensor:
    """OneDNN's ``x @ weight.T``, which `torch.nn.functional.linear` leaves to MKL in float32."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return product


Engine = Callable[[Tensor, Tensor], Tensor]
ENGINES: dict[str, Engine] = {"torch": F.linear} | ({"oneDNN": onednn_linear} if torch._C._has_mkldnn else {})
"""What computes a product on a CPU; on a GPU there is torch's alone."""


def gemm_gflops(dtype: torch.dtype, device: torch.device) -> float:
    """The best rate of a few products of the sizes of a small model's, with torch's present threads."""
    engines: list[Engine] = [F.linear]
    # oneDNN has no product in bfloat16 where the processor has no instructions for it.
    if device.type == "cpu" and (dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        engines = list(ENGINES.values())
    best = 0.0
    with torch.inference_mode():
        for num_rows, num_inputs, num_outputs in _PRODUCTS:
            x = torch.randn(num_rows, num_inputs, device=device).to(dtype)
            weight = torch.randn(num_outputs, num_inputs, device=device).to(dtype)
            for engine in engines:
                seconds = min(_seconds(engine, x, weight) for _ in range(_NUM_ROUNDS))
                best = max(best, 2 * num_rows * num_inputs * num_outputs / seconds / 1e9)
    return best


def _seconds(engine: Engine, x: Tensor, weight: Tensor) -> float:
    wait_for(x.device)
    started_s = time.perf_counter()
    engine(x, weight)
    wait_for(x.device)
    return time.perf_counter() - started_s


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_bytes(device: torch.device, run: Callable[[], object]) -> int:
    """The most memory that the process, or the GPU, held while something ran.

    Where Linux does not let the mark be reset, the most since the process started.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device)
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:  # another system, or not allowed
        run()
        return process_peak_bytes()
    run()
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    mark = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    assert mark is not None
    return int(mark[1]) * 1024
