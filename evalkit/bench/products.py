"""A model's matrix products, recorded while it scores and computed again with nothing between them.

What they take alone is the ceiling of whatever is built around them: same shapes, same weights in the same
order, same threads, each by the fastest of what can compute it.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from evalkit.bench.machine import ENGINES, Engine, wait_for

_Shape: TypeAlias = tuple[int, torch.Size]
"""Number of rows, and the matrix's shape."""


class Product(NamedTuple):
    """``x @ weight.T`` of so many rows."""

    num_rows: int
    weight: Tensor
    """``[C_out, C_in]``, the model's own."""

    @property
    def num_flops(self) -> int:
        """Multiplications and additions."""
        return 2 * self.num_rows * self.weight.numel()


Around: TypeAlias = Callable[[object, Sequence[Any], Callable[[], object]], object]
"""Takes an operator, its arguments and what computes it, and gives the result."""


class OperatorHook(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within it every operator of torch's goes through a function."""

    def __init__(self, around: Around) -> None:
        """Set the function.

        Args:
            around: called for each operator.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._around = around

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        return self._around(func, args, lambda: func(*args, **(kwargs or {})))


class ProductRecorder(OperatorHook):  # type: ignore[no-untyped-call]
    """Within it every product of rows with a matrix is noted, and computed as ever."""

    def __init__(self) -> None:
        super().__init__(self._note)
        self.products: list[Product] = []

    def _note(self, func: object, args: Sequence[Any], compute: Callable[[], object]) -> object:
        product = product_of(func, args)
        if product is not None:
            self.products.append(product)
        return compute()


def product_of(func: object, args: Sequence[Any]) -> Product | None:
    """The product that a call of torch's computes; None where it is no product with a matrix."""
    aten = torch.ops.aten
    if func in (aten.linear.default, torch.ops.mkldnn._linear_pointwise.default):
        x, weight = args[0], args[1]
    elif func is aten.mm.default:
        x, weight = args[0], args[1].T
    elif func is aten.addmm.default:
        x, weight = args[1], args[2].T
    else:
        return None
    return Product(x.shape[:-1].numel(), weight)


def num_positions(products: Sequence[Product]) -> int:
    """Positions that went through the layers, padding counted: the most rows that one matrix has met."""
    rows: dict[tuple[int, torch.Size], int] = defaultdict(int)
    for product in products:
        rows[product.weight.data_ptr(), product.weight.shape] += product.num_rows
    # The head is read in blocks, of which each meets the rows that are paid for; those are fewer.
    return max(rows.values(), default=0)


class Replay:
    """The products alone, one after the other as they were recorded, on random rows."""

    def __init__(self, products: Sequence[Product]) -> None:
        """Try each engine on all of them, and choose the faster for every shape.

        Args:
            products: at least one, of one device.
        """
        self._products = products
        self._inputs = _inputs(products)
        device = products[0].weight.device
        engines = ENGINES if device.type == "cpu" else {"torch": F.linear}
        trials = {name: self._seconds_by_shape(engine) for name, engine in engines.items() for _ in range(2)}
        shapes = {(product.num_rows, product.weight.shape) for product in products}
        self._engines: dict[_Shape, Engine] = {
            shape: engines[min(trials, key=lambda name: trials[name][shape])] for shape in shapes
        }

    @torch.inference_mode()
    def run(self) -> None:
        """Compute all of them once."""
        for num_rows, weight in self._products:
            x = self._inputs[weight.shape[1], weight.dtype][:num_rows]
            self._engines[num_rows, weight.shape](x, weight)
        wait_for(self._products[0].weight.device)

    @torch.inference_mode()
    def _seconds_by_shape(self, engine: Engine) -> dict[_Shape, float]:
        seconds: dict[_Shape, float] = defaultdict(float)
        for num_rows, weight in self._products:
            x = self._inputs[weight.shape[1], weight.dtype][:num_rows]
            wait_for(weight.device)
            started_s = time.perf_counter()
            engine(x, weight)
            wait_for(weight.device)
            seconds[num_rows, weight.shape] += time.perf_counter() - started_s
        return seconds


def _inputs(products: Sequence[Product]) -> dict[tuple[int, torch.dtype], Tensor]:
    """Random numbers by width and dtype, of as many rows as any product takes."""
    num_rows: dict[tuple[int, torch.dtype], int] = defaultdict(int)
    for product in products:
        key = product.weight.shape[1], product.weight.dtype
        num_rows[key] = max(num_rows[key], product.num_rows)
    device = products[0].weight.device
    return {
        (width, dtype): torch.randn(rows, width, device=device).to(dtype)
        for (width, dtype), rows in num_rows.items()
    }
