"""Muon in float32: momentum whose every update of a matrix is made orthogonal.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the size of an update
that lets it share AdamW's learning rate is that of Liu et al. 2025, arXiv 2502.16982, section 2.2.

`torch.optim.Muon` is the same in bfloat16, whose products a processor without instructions for it computes
thirty times slower than those of float32.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the odd polynomial of degree 5, by which five rounds bring singular values between 0.7 and 1.2."""
_NUM_ROUNDS = 5
_MOMENTUM = 0.95
_UPDATE_RMS = 0.2
"""The root mean square of AdamW's updates, which those of Muon are given."""


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov's momentum and decoupled weight decay.

    Args:
        matrices: parameters, all of two dimensions.
        lr: as for AdamW.
        weight_decay: a step takes away this part of a weight times ``lr``.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update the matrices by their gradients; those of one shape together."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                by_shape[matrix.shape].append(matrix)
            for shape, matrices in by_shape.items():
                updates = orthogonal(torch.stack([self._momentum(matrix) for matrix in matrices]))
                scale = _UPDATE_RMS * max(shape) ** 0.5
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(update, alpha=-group["lr"] * scale)

    def _momentum(self, matrix: Tensor) -> Tensor:
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"].lerp_(matrix.grad, 1 - _MOMENTUM)
        return matrix.grad.lerp(momentum, _MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """About ``U V^T`` of each matrix ``U S V^T``, by Newton and Schulz's iteration.

    Args:
        matrices: ``[B, M, N]``.

    Returns:
        ``[B, M, N]``; singular values are between about 0.7 and 1.2, but for those that were near zero.
    """
    a, b, c = _COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if is_tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_NUM_ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    outcome: Tensor = x.mT if is_tall else x
    return outcome
