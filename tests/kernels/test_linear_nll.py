"""The head: blocks over the vocabulary against all logits at once in float64."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from evalkit_kernels import linear, linear_nll


def head(
    num_rows: int, vocab_size: int, num_channels: int, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    hidden = torch.randn(num_rows, num_channels)
    weight = torch.randn(vocab_size, num_channels) / num_channels**0.5
    return hidden, weight, torch.randint(0, vocab_size, (num_rows,)), torch.randn(vocab_size)


@pytest.mark.parametrize("vocab_size", [1, 2, 257, 8191, 8192, 8193, 20000])
@pytest.mark.parametrize("num_rows", [1, 255, 257])
def test_blocks_give_what_all_logits_give(num_rows: int, vocab_size: int) -> None:
    hidden, weight, targets, _ = head(num_rows, vocab_size, 24)
    exact = linear_nll(hidden.double(), weight.double(), targets, backend="reference")
    found = linear_nll(hidden, weight, targets)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), exact, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_bias_scale_and_softcap(bias: bool, softcap: float | None, scale: float) -> None:
    hidden, weight, targets, offsets = head(40, 9000, 16, seed=1)
    logits = hidden.double() @ weight.double().T
    logits = (logits + offsets.double() if bias else logits) * scale
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    exact = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    for backend in ("torch", "reference"):
        found = linear_nll(
            hidden,
            weight,
            targets,
            bias=offsets if bias else None,
            softcap=softcap,
            scale=scale,
            backend=backend,
        )
        assert torch.allclose(found.double(), exact, rtol=1e-6, atol=3e-6)


def test_large_logits_do_not_overflow() -> None:
    hidden, weight, targets, _ = head(8, 9000, 16)
    exact = linear_nll(1e3 * hidden.double(), weight.double(), targets, backend="reference")
    found = linear_nll(1e3 * hidden, weight, targets)
    assert torch.isfinite(found).all()
    assert torch.allclose(found.double(), exact, rtol=1e-5, atol=1e-3)


def test_probabilities_sum_to_one() -> None:
    hidden, weight, _, _ = head(1, 9000, 16)
    nats = linear_nll(hidden.expand(9000, 16), weight, torch.arange(9000))
    assert torch.exp(-nats.double()).sum().item() == pytest.approx(1, abs=1e-6)


def test_gradients_are_those_of_all_logits() -> None:
    hidden, weight, targets, offsets = (x.double() if x.is_floating_point() else x for x in head(20, 9000, 8))
    gradients = []
    for backend in ("torch", "reference"):
        leaves = [x.clone().requires_grad_() for x in (hidden, weight, offsets)]
        nats = linear_nll(leaves[0], leaves[1], targets, bias=leaves[2], softcap=4.0, backend=backend)
        gradients.append(torch.autograd.grad(nats.sum(), leaves))
    for ours, exact in zip(*gradients, strict=True):
        assert torch.allclose(ours, exact, rtol=1e-10, atol=1e-12)


def test_no_rows_cost_nothing() -> None:
    _, weight, _, _ = head(1, 300, 8)
    assert linear_nll(torch.zeros(0, 8), weight, torch.zeros(0, dtype=torch.long)).shape == (0,)


def test_targets_outside_the_vocabulary_are_refused() -> None:
    hidden, weight, targets, _ = head(4, 300, 8)
    for wrong in (-1, 300):
        with pytest.raises(ValueError, match=r"\[0, 300\)"):
            linear_nll(hidden, weight, torch.full_like(targets, wrong))
    with pytest.raises(ValueError, match=r"\[T, C\], \[V, C\] and \[T\]"):
        linear_nll(hidden, weight[:, :4], targets)


PEAK = """
import resource, torch
from evalkit_kernels import linear_nll
hidden, weight = torch.randn(4096, 16), torch.randn(50000, 16)
targets = torch.randint(0, 50000, (4096,))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
linear_nll(hidden, weight, targets)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_logits_are_never_there_at_once() -> None:
    """4096 rows of 50,000 logits are 819 MB in float32; blocks need a few dozen MB."""
    grown_kib = int(
        subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout
    )
    assert grown_kib < 150 * 1024


def test_the_product_is_the_product() -> None:
    x, weight = torch.randn(5, 7, 48), torch.randn(33, 48)
    exact = x.double() @ weight.double().T
    with torch.inference_mode():
        assert torch.allclose(linear(x, weight).double(), exact, rtol=1e-5, atol=1e-5)
        assert torch.allclose(linear(x, weight.T.contiguous().T).double(), exact, rtol=1e-5, atol=1e-5)
    leaf = weight.clone().requires_grad_()
    linear(x, leaf).sum().backward()
    assert torch.allclose(leaf.grad, x.sum((0, 1)).expand(33, 48), rtol=1e-4, atol=1e-4)  # type: ignore[arg-type]
