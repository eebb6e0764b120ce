"""`evalkit bench kernels --write-choices`: writes the table by which `evalkit_kernels.wkv7` chooses.

For every number of tokens of a grid, each backend that can serve here is timed, forward alone and with the
backward pass; the table holds their order from the fastest, and only where it changes.
"""

import itertools
import statistics
from pathlib import Path
from typing import Any

import torch

import evalkit_kernels
from evalkit.bench.kernels import inputs_like_rwkv7, time_in_turn
from evalkit.models.devices import resolve_device
from evalkit_kernels import wkv7
from evalkit_kernels.wkv7 import BACKENDS, cannot_serve

NUM_TOKENS = (1, 2, 4, 8, 16, 32, 64, 256, 1024)
NUM_HEADS, HEAD_SIZE = 12, 64


def choices_path() -> Path:
    """Where the table lies: beside the operators."""
    assert evalkit_kernels.__file__ is not None
    return Path(evalkit_kernels.__file__).with_name("wkv7_choices.json")


def measure_choices(*, device: str = "auto", num_rounds: int = 5) -> list[dict[str, Any]]:
    """The table's rows for this device: ``device, gradient, from_tokens, order``, by rising tokens.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        num_rounds: how often to time each backend at each size.
    """
    where = resolve_device(device)
    dtype = torch.bfloat16 if where.type == "cuda" else torch.float32
    rows: list[dict[str, Any]] = []
    for gradient, num_tokens in itertools.product((False, True), NUM_TOKENS):
        inputs = inputs_like_rwkv7((1, num_tokens, NUM_HEADS, HEAD_SIZE), where, dtype)
        inputs = [x.requires_grad_(gradient) for x in inputs]
        order = _order(inputs, where, num_rounds)
        last = rows[-1] if rows and rows[-1]["gradient"] == gradient else None
        if last is None or last["order"] != order:
            rows.append(
                {"device": where.type, "gradient": gradient, "from_tokens": num_tokens, "order": order}
            )
    return rows


def _order(inputs: list[torch.Tensor], where: torch.device, num_rounds: int) -> list[str]:
    gradient = inputs[0].requires_grad

    def contender(backend: str) -> Any:
        def run() -> Any:
            y, _ = wkv7(*inputs, backend=backend)
            return torch.autograd.grad(y.sum(), inputs) if gradient else y

        return run

    able = [name for name in BACKENDS if name != "auto" and not cannot_serve(name, *inputs)]
    seconds = time_in_turn({name: contender(name) for name in able}, where, num_rounds)
    return sorted(able, key=lambda name: statistics.median(seconds[name]))
