"""How fast devices score, as far as that is recorded, and what follows from it for a plan.

Peaks are those of the makers' data sheets; what was measured says by whom. A speed that nobody measured is
computed: a share of the peak over two operations per parameter and token.
"""

from typing import NamedTuple

from evalkit.errors import unknown_name

SHARE_OF_PEAK = 0.37
"""Of the peak in matrix products that a run comes to: what RWKV-LM's README states of training RWKV-7 7.2B on
32 H100. Scoring has no backward pass, but shorter documents."""


class Device(NamedTuple):
    """One accelerator, or the processor of one machine."""

    name: str
    peak_tflops: float
    """In matrix products of bfloat16 without sparsity."""
    memory_gb: float
    source: str
    """Of the peak."""


class Measured(NamedTuple):
    """A speed that somebody measured."""

    device: str
    num_parameters: float
    """All of them."""
    tokens_per_s: float
    source: str


class Throughput(NamedTuple):
    """How fast a device scores a model."""

    tokens_per_s: float
    is_measured: bool
    source: str


DEVICES = {
    device.name: device
    for device in (
        Device("h100", 989.0, 80.0, "NVIDIA, H100 SXM data sheet"),
        Device("h200", 989.0, 141.0, "NVIDIA, H200 SXM data sheet"),
        Device("a100", 312.0, 80.0, "NVIDIA, A100 80 GB data sheet"),
        Device("l40s", 362.0, 48.0, "NVIDIA, L40S data sheet"),
        Device("l4", 121.0, 24.0, "NVIDIA, L4 data sheet"),
        Device("mi300x", 1307.0, 192.0, "AMD, Instinct MI300X data sheet"),
        Device("cpu", 0.42, 16.0, "RWKV-7 0.1B in results/bench/rwkv7.json: 2 cores of an AMD EPYC"),
    )
}
MEASURED = (
    Measured("cpu", 1.91e8, 1_099, "results/bench/rwkv7.json: RWKV-7 0.1B, 2 cores of an AMD EPYC, float32"),
)
BYTES_PER_PARAMETER = {"float32": 4, "bfloat16": 2, "float16": 2}
_WORKING_GB = 2.0
"""Of a batch's activations and of what libraries keep."""


def find_device(name: str) -> Device:
    """A device by its name.

    Raises:
        UsageError: an unknown name.
    """
    if name not in DEVICES:
        raise unknown_name("device", name, DEVICES, f"known are {', '.join(DEVICES)}")
    return DEVICES[name]


def throughput(device: Device, num_parameters: float) -> Throughput:
    """How fast a device scores a model of a size: measured where somebody measured that, else computed."""
    for measured in MEASURED:
        if measured.device == device.name and abs(measured.num_parameters / num_parameters - 1) < 0.2:
            return Throughput(measured.tokens_per_s, True, measured.source)
    share = 1.0 if device.name == "cpu" else SHARE_OF_PEAK  # there the peak is what a run came to
    tokens_per_s = share * device.peak_tflops * 1e12 / (2 * num_parameters)
    return Throughput(tokens_per_s, False, f"computed: {share:.0%} of the peak of {device.source}")


def memory_gb(num_parameters: float, dtype: str) -> float:
    """What a model needs: its weights, and something to work in.

    Args:
        num_parameters: all of them.
        dtype: one of `BYTES_PER_PARAMETER`.
    """
    return num_parameters * BYTES_PER_PARAMETER[dtype] / 1e9 + _WORKING_GB
