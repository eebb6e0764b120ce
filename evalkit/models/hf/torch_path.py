"""Kernels of other packages that transformers takes wherever they can be imported, also on a CPU.

transformers decides once per process, when it imports a model's code, whether an operator is a package's
(flash-linear-attention, causal-conv1d, mamba-ssm) or its own in plain torch. Those packages have Triton and
CUDA kernels only, so that a model on a CPU fails wherever they are installed. Here it is decided by the
device of the model, and for as long as it computes.
"""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import nn


class Replacement(NamedTuple):
    """An operator of transformers that a package's kernel stands in for."""

    namespace: dict[str, object]
    """Global names of the module with the model's code."""
    name: str
    torch_function: Callable[..., object]


def torch_replacements(model: nn.Module) -> list[Replacement]:
    """The operators that a model on a CPU takes from packages without a CPU path; empty on a GPU."""
    if any(parameter.device.type != "cpu" for parameter in model.parameters()):
        return []
    modules = {cls.__module__ for part in model.modules() for cls in type(part).__mro__}
    return [
        Replacement(vars(sys.modules[module]), name, torch_function)
        for module in sorted(modules & sys.modules.keys())
        for name, function in vars(sys.modules[module]).items()
        if (torch_function := _torch_function(function)) is not None
    ]


@contextlib.contextmanager
def torch_path(replacements: list[Replacement]) -> Iterator[None]:
    """Let transformers compute with its own operators; afterwards its modules are as they were."""
    before = [namespace[name] for namespace, name, _ in replacements]
    try:
        for namespace, name, torch_function in replacements:
            namespace[name] = torch_function
        yield
    finally:
        for (namespace, name, _), function in zip(replacements, before, strict=True):
            namespace[name] = function


def _torch_function(function: object) -> Callable[..., object] | None:
    """What `use_kernel_func_from_hub_with_fallback` decorated, where it chose a package's kernel instead."""
    if not inspect.isfunction(function) or "torch_function" not in function.__code__.co_freevars:
        return None
    cells = inspect.getclosurevars(function).nonlocals
    torch_function = cells["torch_function"]
    if cells.get("implementation", torch_function) is torch_function:
        return None
    parameters = inspect.signature(torch_function).parameters

    @functools.wraps(torch_function)
    def filtered(*args: object, **settings: object) -> object:
        # As the decorator does: models pass what only the kernels take.
        return torch_function(*args, **{name: settings[name] for name in settings if name in parameters})

    return filtered
