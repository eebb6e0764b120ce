"""Muon, against torch's own, which computes in bfloat16, and against singular value decomposition."""

import pytest
import torch

from evalkit.embedded.optimiser import Muon, orthogonal


@pytest.mark.parametrize("shape", [(24, 24), (8, 40), (40, 8)])
def test_an_update_maps_singular_values_and_keeps_their_vectors(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape, dtype=torch.float64)
    for matrix, update in zip(matrices, orthogonal(matrices), strict=True):
        u, singular, vt = torch.linalg.svd(matrix, full_matrices=False)
        values = singular / singular.square().sum().sqrt()
        for _ in range(5):
            values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
        torch.testing.assert_close(update, u @ torch.diag(values) @ vt)
        if shape[0] != shape[1]:  # a square one has singular values near 0, which stay smaller
            assert 0.65 <= values.min() <= values.max() <= 1.25


def test_steps_are_those_of_torch_but_for_rounding() -> None:
    torch.manual_seed(0)
    start = [torch.randn(16, 16), torch.randn(16, 48), torch.randn(16, 16)]
    ours = [torch.nn.Parameter(x.clone()) for x in start]
    theirs = [torch.nn.Parameter(x.clone()) for x in start]
    optimisers = (
        Muon(ours, lr=0.1, weight_decay=0.2),
        torch.optim.Muon(theirs, lr=0.1, weight_decay=0.2, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(4):
        for parameter, other in zip(ours, theirs, strict=True):
            parameter.grad = torch.randn_like(parameter)
            other.grad = parameter.grad.clone()
        for optimiser in optimisers:
            optimiser.step()
    for parameter, other, first in zip(ours, theirs, start, strict=True):
        moved = (other - first).norm()
        assert (parameter - other).norm() < 0.02 * moved  # bfloat16 has 8 bits, in ten products
