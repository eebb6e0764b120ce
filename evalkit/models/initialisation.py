"""Networks without the random numbers that torch draws for every new one."""

from collections.abc import Callable, Mapping, Sequence

from torch.overrides import TorchFunctionMode


class Uninitialised(TorchFunctionMode):
    """Within it every function of `torch.nn.init` gives back the tensor that it is given, as it is.

    For what is filled from a file right after. On the device ``meta`` the drawing would also bring
    ``torch._dynamo``, sympy and pandas with it: a second before the first document.
    """

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
