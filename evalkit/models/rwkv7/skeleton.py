"""A network without values, to be filled from a file.

torch would draw random numbers for it even where there is no memory to put them into, and what draws those
brings ``torch._dynamo``, sympy and pandas with it: a second before the first document.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch.overrides import TorchFunctionMode

from evalkit.models.rwkv7.network import RWKV7, NetworkShape


class _LeftAsIs(TorchFunctionMode):
    """Every function of `torch.nn.init` gives back the tensor that it is given."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":  # slots of Python have none
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def network_skeleton(shape: NetworkShape, removal_strength: float = 1.0) -> RWKV7:
    """A network whose parameters have shapes and no values: all of them are on the device ``meta``.

    Args:
        shape: of all parameters.
        removal_strength: see `evalkit.models.rwkv7.network.REMOVAL_STRENGTHS`.
    """
    with torch.device("meta"), _LeftAsIs():
        return RWKV7(shape, removal_strength)
