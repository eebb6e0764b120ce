"""`evalkit bench kernels --write-choices`: writes the table by which `evalkit_kernels.wkv7` chooses.

For every number of tokens of a grid, each backend that can serve here is timed, forward alone and with the
backward pass; the table holds their order from the fastest, and only where it changes.
"""

import dataclasses
import itertools
import statistics
from pathlib import Path

import torch

import evalkit_kernels
from evalkit.bench.kernels import Run, inputs_like_rwkv7, time_in_turn
from evalkit.models.devices import resolve_device
from evalkit_kernels import wkv7
from evalkit_kernels.wkv7 import BACKENDS, cannot_serve

NUM_TOKENS = (1, 2, 4, 8, 16, 32, 64, 256, 1024)
NUM_HEADS, HEAD_SIZE = 12, 64


def choices_path() -> Path:
    """Where the table lies: beside the operators."""
    assert evalkit_kernels.__file__ is not None
    return Path(evalkit_kernels.__file__).with_name("wkv7_choices.json")


@dataclasses.dataclass(frozen=True)
class Choice:
    """A row of the table: the order of the backends from some number of tokens on."""

    device: str
    """``cpu`` or ``cuda``."""
    gradient: bool
    """Whether the backward pass is timed too."""
    from_tokens: int
    order: tuple[str, ...]
    """Names of backends, the fastest first."""


def measure_choices(*, device: str = "auto", num_rounds: int = 5) -> list[Choice]:
    """The table's rows for a device, by rising tokens, first those without and then those with a gradient.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        num_rounds: how often to time each backend at each size.
    """
    resolved = resolve_device(device)
    dtype = torch.bfloat16 if resolved.type == "cuda" else torch.float32
    choices: list[Choice] = []
    for gradient, num_tokens in itertools.product((False, True), NUM_TOKENS):
        inputs = inputs_like_rwkv7((1, num_tokens, NUM_HEADS, HEAD_SIZE), resolved, dtype)
        order = _order([x.requires_grad_(gradient) for x in inputs], resolved, num_rounds)
        last = choices[-1] if choices and choices[-1].gradient == gradient else None
        if last is None or last.order != order:
            choices.append(Choice(resolved.type, gradient, num_tokens, order))
    return choices


def _order(inputs: list[torch.Tensor], device: torch.device, num_rounds: int) -> tuple[str, ...]:
    gradient = inputs[0].requires_grad

    def contender(backend: str) -> Run:
        def run() -> object:
            y, _ = wkv7(*inputs, backend=backend)
            return torch.autograd.grad(y.sum(), inputs) if gradient else y

        return run

    able = [name for name in BACKENDS if name != "auto" and not cannot_serve(name, *inputs)]
    seconds = time_in_turn({name: contender(name) for name in able}, device, num_rounds)
    return tuple(sorted(able, key=lambda name: statistics.median(seconds[name])))
