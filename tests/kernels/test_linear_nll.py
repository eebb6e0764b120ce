"""The head: blocks over the vocabulary against all logits at once in float64."""

import importlib
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from evalkit_kernels import linear, linear_logits, linear_nll
from evalkit_kernels.linear_nll import linear_nll_reference

MODULE = importlib.import_module("evalkit_kernels.linear_nll")  # the package's attribute is the function


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
    found = linear_nll(hidden.double(), weight.double(), targets)
    assert found.dtype == torch.float64
    assert torch.allclose(found, exact, rtol=1e-12, atol=1e-12)


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


@pytest.mark.parametrize("num_rows", [1, 255, 257, 600])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_inputs_give_float32_logits(num_rows: int, dtype: torch.dtype) -> None:
    hidden, weight, targets, offsets = head(num_rows, 9000, 40, seed=2)
    inputs = [x.to(dtype) for x in (hidden, weight, offsets)]
    exact = linear_nll_reference(inputs[0].double(), inputs[1].double(), targets, bias=inputs[2].double())
    for backend in ("torch", "reference"):
        found = linear_nll(inputs[0], inputs[1], targets, bias=inputs[2], backend=backend)
        assert found.dtype == torch.float32
        assert torch.allclose(found.double(), exact, rtol=1e-6, atol=2e-6)


def test_torchs_own_loss_agrees() -> None:
    hidden, weight, targets, offsets = head(100, 3000, 16, seed=3)
    theirs = torch.nn.functional.linear_cross_entropy(
        hidden.double(), weight.double(), targets, linear_bias=offsets.double(), reduction="none"
    )
    assert torch.allclose(linear_nll(hidden, weight, targets, bias=offsets).double(), theirs, atol=3e-6)


def test_two_calls_give_the_same_bits() -> None:
    hidden, weight, targets, offsets = head(600, 9000, 16)
    first, second = (linear_nll(hidden, weight, targets, bias=offsets, softcap=9.0) for _ in range(2))
    assert torch.equal(first, second)


def test_blocks_and_neighbours_change_only_the_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets, _ = head(300, 5000, 16)
    whole = linear_nll(hidden, weight, targets)
    order = torch.randperm(300)
    assert torch.allclose(linear_nll(hidden[order], weight, targets[order]), whole[order], atol=3e-6)
    assert torch.allclose(linear_nll(hidden[:1], weight, targets[:1]), whole[:1], atol=3e-6)
    for rows, logits in ((1, 1), (7, 700), (299, 1 << 20), (1 << 20, 1 << 12)):
        monkeypatch.setattr(MODULE, "_CPU_ROWS", rows)
        monkeypatch.setattr(MODULE, "_CPU_LOGITS", logits)
        few = slice(0, 3 if logits == 1 else 300)
        assert torch.allclose(linear_nll(hidden[few], weight, targets[few]), whole[few], atol=4e-6)


def test_every_element_of_the_result_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh memory holds NaN in torch's deterministic mode."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    try:
        hidden, weight, targets, offsets = head(257, 9001, 16)
        leaves = [x.requires_grad_() for x in (hidden, weight, offsets)]
        nats = linear_nll(hidden, weight, targets, bias=offsets, backend="torch")
        gradients = torch.autograd.grad(nats.sum(), leaves)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.isfinite(x).all() for x in (nats, *gradients))


def test_words_may_be_forbidden_by_an_infinite_bias() -> None:
    hidden, weight, targets, offsets = head(300, 5000, 16)
    offsets[1000:4000] = -torch.inf  # whole blocks of logits
    targets %= 1000
    targets[0] = 2000
    nats = linear_nll(hidden, weight, targets, bias=offsets)
    exact = linear_nll_reference(hidden.double(), weight.double(), targets, bias=offsets.double())
    assert torch.allclose(nats.double(), exact, rtol=1e-6, atol=2e-6)
    assert nats[0] == torch.inf


def test_a_certain_target_never_costs_less_than_nothing() -> None:
    hidden, weight, _, _ = head(200, 5000, 16)
    most_likely = (hidden @ weight.T).argmax(1)
    for factor in (10.0, 30.0, 100.0):
        assert (linear_nll(factor * hidden, weight, most_likely) >= 0).all()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_gradients_are_those_of_all_logits(bias: bool, softcap: float | None, scale: float) -> None:
    hidden, weight, targets, offsets = head(257, 2500, 24)
    factors = torch.rand(257, dtype=torch.float64)
    exact = gradients(
        "reference",
        torch.float64,
        hidden,
        weight,
        targets,
        offsets if bias else None,
        softcap,
        scale,
        factors,
    )
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        ours = gradients(
            "torch", dtype, hidden, weight, targets, offsets if bias else None, softcap, scale, factors
        )
        for x, expected in zip(ours, exact, strict=True):
            assert x.dtype == dtype
            assert (x.double() - expected).norm() <= tolerance * expected.norm()
            assert (x.double() - expected).abs().max() <= tolerance * expected.abs().max()


def gradients(
    backend: str,
    dtype: torch.dtype,
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    bias: Tensor | None,
    softcap: float | None,
    scale: float,
    factors: Tensor,
) -> tuple[Tensor, ...]:
    leaves = [x.to(dtype, copy=True).requires_grad_() for x in (hidden, weight, bias) if x is not None]
    nats = linear_nll(
        leaves[0],
        leaves[1],
        targets,
        bias=leaves[2] if bias is not None else None,
        softcap=softcap,
        scale=scale,
        backend=backend,
    )
    return torch.autograd.grad((nats * factors.to(dtype)).sum(), leaves)


def test_gradients_are_those_of_finite_differences() -> None:
    hidden, weight, targets, offsets = (
        x.double() if x.is_floating_point() else x for x in head(5, 11, 3, seed=4)
    )
    assert torch.autograd.gradcheck(
        lambda h, w, b: linear_nll(h, w, targets, bias=b, softcap=2.0, scale=0.5),
        [x.requires_grad_() for x in (hidden, weight, offsets)],
    )


def test_gradients_of_16_bit_inputs_are_summed_in_float32() -> None:
    hidden, weight, targets, _ = head(600, 3000, 16, seed=5)
    hidden, weight = hidden.bfloat16().requires_grad_(), weight.bfloat16().requires_grad_()
    ours = torch.autograd.grad(linear_nll(hidden, weight, targets).sum(), (hidden, weight))
    wide = [x.detach().double().requires_grad_() for x in (hidden, weight)]
    exact = torch.autograd.grad(linear_nll(wide[0], wide[1], targets, backend="reference").sum(), wide)
    for x, expected in zip(ours, exact, strict=True):
        assert x.dtype == torch.bfloat16
        assert torch.allclose(x.double(), expected, rtol=2**-8, atol=1e-5)  # rounded once, at the end


def test_only_wanted_gradients_are_made() -> None:
    hidden, weight, targets, _ = head(30, 300, 8)
    linear_nll(hidden, weight.requires_grad_(), targets).sum().backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is None
    assert weight.grad is not None
    hidden.requires_grad_()
    cost = linear_nll(hidden, weight, targets).square().sum()
    (once,) = torch.autograd.grad(cost, hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        once.sum().backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("backend", ["auto", "torch", "reference"])
def test_no_rows_cost_nothing(backend: str) -> None:
    _, weight, _, _ = head(1, 300, 8)
    hidden = torch.zeros(0, 8, requires_grad=True)
    weight.requires_grad_()
    nats = linear_nll(hidden, weight, torch.zeros(0, dtype=torch.long), backend=backend)
    assert nats.shape == (0,)
    nats.sum().backward()  # type: ignore[no-untyped-call]
    assert not weight.grad.any()  # type: ignore[union-attr]


def test_targets_outside_the_vocabulary_are_refused() -> None:
    hidden, weight, targets, _ = head(4, 300, 8)
    for wrong in (-1, 300):
        with pytest.raises(ValueError, match=r"\[0, 300\)"):
            linear_nll(hidden, weight, torch.full_like(targets, wrong))


def test_what_does_not_fit_is_refused() -> None:
    hidden, weight, targets, offsets = head(4, 300, 8)
    with pytest.raises(ValueError, match=r"\[T, C\], \[V, C\] and \[T\]"):
        linear_nll(hidden, weight[:, :4], targets)
    with pytest.raises(ValueError, match=r"\[T, C\], \[V, C\] and \[T\]"):
        linear_nll(hidden, weight, targets[:3])
    with pytest.raises(ValueError, match="one floating dtype"):
        linear_nll(hidden, weight.bfloat16(), targets)
    with pytest.raises(ValueError, match="integers"):
        linear_nll(hidden, weight, targets.float())
    with pytest.raises(ValueError, match=r"must be \[V\]"):
        linear_nll(hidden, weight, targets, bias=offsets[:, None])
    with pytest.raises(ValueError, match="softcap must be positive"):
        linear_nll(hidden, weight, targets, softcap=0.0)
    with pytest.raises(ValueError, match="known: auto, reference, torch, triton"):
        linear_nll(hidden, weight, targets, backend="cuda")


def test_smaller_integers_are_targets_too() -> None:
    hidden, weight, targets, _ = head(4, 300, 8)
    assert torch.equal(linear_nll(hidden, weight, targets.int()), linear_nll(hidden, weight, targets))


PEAK = """
import resource, sys, torch
from evalkit_kernels import linear_nll
dtype = getattr(torch, sys.argv[1])
hidden, weight = torch.randn(4096, 16), torch.randn(50000, 16)
targets = torch.randint(0, 50000, (4096,))
hidden, weight = (x.to(dtype).requires_grad_() for x in (hidden, weight))
linear_nll(hidden[:1], weight[:1], targets[:1] * 0).sum()  # loads the libraries
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with torch.no_grad():
    linear_nll(hidden, weight, targets)
scoring = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
linear_nll(hidden, weight, targets).sum().backward()
training = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(scoring - before, training - before)
"""


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_logits_are_never_there_at_once(dtype: str) -> None:
    """4096 rows of 50,000 logits are 781 MiB in float32; blocks need a few dozen MiB."""
    command = [sys.executable, "-c", PEAK, dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    scoring_kib, training_kib = map(int, done.stdout.split())
    assert scoring_kib < 64 * 1024
    assert training_kib < 64 * 1024


def test_the_product_is_the_product() -> None:
    x, weight = torch.randn(5, 7, 48), torch.randn(33, 48)
    exact = x.double() @ weight.double().T
    with torch.inference_mode():
        assert torch.allclose(linear(x, weight).double(), exact, rtol=1e-5, atol=1e-5)
        assert torch.allclose(linear(x, weight.T.contiguous().T).double(), exact, rtol=1e-5, atol=1e-5)
    leaf = weight.clone().requires_grad_()
    linear(x, leaf).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.allclose(leaf.grad, x.sum((0, 1)).expand(33, 48), rtol=1e-4, atol=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("num_rows", [16, 128])
def test_sums_over_the_vocabulary_are_less_biased_than_torchs(num_rows: int) -> None:
    """Where a model is sure of a token, torch loses the many small terms beside the large one.

    All errors have one direction, so that they add up over a text: with 49,152 columns 8e-6 nats a token in
    float32 (measured on AVX-512), and 4e-7 in blocks. Two float32 loops over a text agree to no better. The
    fewer rows, the longer the blocks, which no sum may be for that.
    """
    torch.manual_seed(0)
    vocab_size, num_channels = 49152, 64
    hidden = torch.randn(num_rows, num_channels)
    targets = torch.randperm(vocab_size)[:num_rows]
    weight = 0.25 * torch.randn(vocab_size, num_channels)
    weight[targets] += 18 * hidden / hidden.square().sum(-1, keepdim=True)
    exact = linear_nll(hidden.double(), weight.double(), targets, backend="reference")
    assert exact.mean() < 0.1  # nats: it is sure
    logits = hidden @ weight.T
    biases = {
        "torch": (-logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0].double() - exact).mean().item(),
        "blocks": (linear_nll(hidden, weight, targets).double() - exact).mean().item(),
    }
    assert abs(biases["blocks"]) < 1e-6, biases
    assert abs(biases["torch"]) > 3 * abs(biases["blocks"]), biases


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("softcap", "scale", "has_bias"), [(None, 1.0, False), (2.5, 0.3, True)])
def test_logits_are_those_that_the_nats_are_of(
    dtype: torch.dtype, softcap: float | None, scale: float, has_bias: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(n, 48, generator=generator).to(dtype) for n in (9, 70_000))
    bias = torch.randn(70_000, generator=generator).to(dtype) if has_bias else None
    logits = linear_logits(hidden, weight, bias=bias, softcap=softcap, scale=scale)
    expected = hidden.double() @ weight.double().T
    expected = scale * (expected if bias is None else expected + bias.double())
    expected = expected if softcap is None else softcap * torch.tanh(expected / softcap)
    assert logits.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(logits.double(), expected, atol=2e-5, rtol=1e-5)
