import itertools
import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evalkit.errors import UsageError
from evalkit.models.rwkv7.init import initialise
from evalkit.models.rwkv7.network import REMOVAL_STRENGTHS, RWKV7, LayerShape, NetworkShape
from evalkit_tasks.training.networks.architectures import (
    ARCHITECTURES,
    NetworkOptions,
    build_network,
    display_name,
    find_architecture,
)
from evalkit_tasks.training.networks.attention import Attention, rotate
from evalkit_tasks.training.networks.delta import DeltaNet
from evalkit_tasks.training.networks.linear import CHUNK_TOKENS, RetNet, scalar_decay_attention
from evalkit_tasks.training.networks.mamba import Mamba2
from evalkit_tasks.training.networks.xlstm import SLSTM

VARIANTS = [(name, kind) for name, a in ARCHITECTURES.items() for kind in a.eigenvalues]
IDS = [display_name(*variant) for variant in VARIANTS]


def network(name, kind, num_layers=2, seed=0):
    return build_network(name, NetworkOptions(7, 5, num_layers, 32, 16, kind, 200, seed))


def shaken(model):
    """Away from the initial values: several are 0, which would hide a mistake."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model.double() if not isinstance(model, RWKV7) else model


@pytest.mark.parametrize(("name", "kind"), VARIANTS, ids=IDS)
def test_a_network_sees_nothing_of_the_future_and_all_of_the_past(name, kind):
    model = shaken(network(name, kind))
    ids = torch.randint(7, (2, 40), generator=torch.Generator().manual_seed(2))
    before, _ = model(ids)
    changed = ids.clone()
    changed[:, 20] = (ids[:, 20] + 1) % 7
    after, _ = model(changed)
    # The chunks of WKV-7 weigh what is before by decays of later tokens, and divide by them again.
    rounding = 1e-12 if name.startswith("gated-deltaproduct") else 0.0
    assert (after[:, :20] - before[:, :20]).abs().max() <= rounding
    assert (after[:, 20:] - before[:, 20:]).abs().amax((0, 2)).min() > 0


@pytest.mark.parametrize(
    ("name", "kind"), [v for v in VARIANTS if not v[0].startswith("transformer")], ids=lambda x: x
)
def test_a_sequence_may_be_cut_anywhere(name, kind):
    model = shaken(network(name, kind))
    assert model.is_recurrent
    ids = torch.randint(7, (2, 70), generator=torch.Generator().manual_seed(3))
    whole, _ = model(ids)
    for cut in (1, 2, 33, 69):
        first, state = model(ids[:, :cut])
        second, _ = model(ids[:, cut:], state)
        torch.testing.assert_close(torch.cat((first, second), 1), whole, rtol=1e-5, atol=1e-5)


def test_a_transformer_refuses_a_state_and_too_many_positions():
    model = network("transformer-learned", "off")
    assert not model.is_recurrent
    with pytest.raises(ValueError, match="one piece"):
        model(torch.zeros(1, 2, dtype=torch.long), ((), ()))
    with pytest.raises(ValueError, match="201 tokens, but there are positions for 200"):
        model(torch.zeros(1, 201, dtype=torch.long))


@pytest.mark.parametrize("kind", REMOVAL_STRENGTHS)
def test_rwkv7_is_the_network_of_evalkit(kind):
    layer = LayerShape(16, 16, 16, 16, 128)
    reference = RWKV7(NetworkShape(7, 32, 16, (layer, layer)), REMOVAL_STRENGTHS[kind])
    initialise(reference, 5)
    probed = network("rwkv7", kind, seed=5)
    ids = torch.arange(28).view(2, 14) % 7
    shaken(reference)
    shaken(probed.network)
    with torch.no_grad():
        hidden, _ = reference(ids)
        assert torch.equal(probed(ids)[0], F.linear(hidden, reference.head.weight[:5]))
    rates = {group["lr"] for group in probed.parameter_groups(1e-3, 0.1)}
    assert rates == {1e-3, 2e-3}  # the decay's offset learns twice as fast


def test_the_strength_of_the_removal_changes_what_rwkv7_computes():
    ids = torch.arange(28).view(2, 14) % 7
    outputs = [shaken(network("rwkv7", kind)).float()(ids)[0] for kind in REMOVAL_STRENGTHS]
    assert all((a - b).abs().max() > 1e-4 for a, b in itertools.combinations(outputs, 2))
    assert [f"rwkv7 c={c:.5g}" for c in REMOVAL_STRENGTHS.values()] == [
        display_name("rwkv7", kind) for kind in REMOVAL_STRENGTHS
    ]


@pytest.mark.parametrize("bound", [1.0, 2.0])
def test_deltanet_is_the_delta_rule_token_by_token(bound):
    # S_t = S_{t-1} (I - beta k k^T) + beta v k^T, y = S q: arXiv 2406.06484, equation 2.
    torch.manual_seed(0)
    mixer = DeltaNet(32, 16, bound).double()
    x = torch.randn(2, 45, 32, dtype=torch.float64)
    padded = F.pad(mixer.qkv(x), (0, 0, 3, 0))
    taps = mixer.convolution.convolution.weight[:, 0]
    qkv = sum(padded[:, i : i + 45] * taps[:, i] for i in range(4)) + mixer.convolution.convolution.bias
    q, k, v = (part.view(2, 45, 2, 16) for part in F.silu(qkv).chunk(3, -1))
    beta = bound * torch.sigmoid(x @ mixer.beta.weight.T)
    expected = torch.empty(2, 45, 2, 16, dtype=torch.float64)
    for b, h in itertools.product(range(2), range(2)):
        state = torch.zeros(16, 16, dtype=torch.float64)
        for t in range(45):
            key, query = k[b, t, h] / k[b, t, h].norm(), q[b, t, h] / q[b, t, h].norm()
            state = state + beta[b, t, h] * torch.outer(v[b, t, h] - state @ key, key)
            y = state @ query
            eps = torch.finfo(torch.float64).eps
            expected[b, t, h] = y / (y.square().mean() + eps).sqrt()
    y, _ = mixer(x, None)
    torch.testing.assert_close(y, expected.view(2, 45, 32) @ mixer.output.weight.T, rtol=1e-9, atol=1e-9)


def test_scalar_decays_are_the_recurrence_token_by_token():
    torch.manual_seed(0)
    num_tokens = 2 * CHUNK_TOKENS + 5
    q, k = torch.randn(2, 2, num_tokens, 3, 4, dtype=torch.float64)
    v = torch.randn(2, num_tokens, 3, 6, dtype=torch.float64)
    decay = torch.rand(2, num_tokens, 3, dtype=torch.float64) * 2 - 1
    decay[:, ::7] = 1 - decay[:, ::7].abs() * 1e-3
    state = torch.randn(2, 3, 6, 4, dtype=torch.float64)
    y, last = scalar_decay_attention(q, k, v, decay, state)
    for t in range(num_tokens):
        state = decay[:, t, :, None, None] * state + v[:, t, :, :, None] * k[:, t, :, None, :]
        expected = (state @ q[:, t, :, :, None])[..., 0]
        torch.testing.assert_close(y[:, t], expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(last, state, rtol=1e-9, atol=1e-9)


def test_a_decay_of_zero_has_a_finite_gradient():
    decay = torch.tensor([[[0.5], [0.0], [1.0]]], requires_grad=True)
    ones = torch.ones(1, 3, 1, 1)
    y, _ = scalar_decay_attention(ones, ones, ones, decay)
    y.sum().backward()
    assert y.flatten().tolist() == pytest.approx([1, 1, 2], abs=1e-5)
    assert decay.grad.isfinite().all()


@pytest.mark.parametrize(("signed", "low"), [(False, 0.0), (True, -1.0)])
def test_mamba2_decays_within_the_range_of_its_variant(signed, low, monkeypatch):
    torch.manual_seed(0)
    mixer = Mamba2(32, 16, 32, signed=signed)
    seen = []
    from evalkit_tasks.training.networks import mamba

    def spy(q, k, v, decay, state=None):
        seen.append(decay)
        return scalar_decay_attention(q, k, v, decay, state)

    monkeypatch.setattr(mamba, "scalar_decay_attention", spy)
    mixer(100 * torch.randn(4, 50, 32), None)
    assert low <= seen[0].min() < low + 0.1
    assert 0.9 < seen[0].max() <= 1


def test_retnet_decays_as_published():
    # Equation 8 of arXiv 2307.08621: 1 - 2^(-5 - head); an impulse's echo shrinks by just that.
    torch.manual_seed(0)
    mixer = RetNet(32, 16).double()
    x = torch.zeros(1, 9, 32, dtype=torch.float64)
    x[0, 0] = 1.0
    _, (_, memory) = mixer(x, None)
    _, (_, first) = mixer(x[:, :1], None)
    ratio = memory.flatten(2).norm(dim=-1) / first.flatten(2).norm(dim=-1)
    assert ratio[0].tolist() == pytest.approx([(1 - 2**-5) ** 8, (1 - 2**-6) ** 8], rel=1e-12)


def test_slstm_is_the_equations_unit_by_unit():
    # arXiv 2405.04517, equations 8-14, without the stabiliser, which cancels in exact arithmetic.
    torch.manual_seed(0)
    mixer = shaken(SLSTM(8, 4))
    x = torch.randn(1, 12, 8, dtype=torch.float64)
    with torch.no_grad():
        smoothed, _ = mixer.convolution(x, None)
        h, c, n = [0.0] * 8, [0.0] * 8, [0.0] * 8
        for t in range(12):
            fed = [[0.0] * 16, [0.0] * 16]
            for head, gate, unit in itertools.product(range(2), range(4), range(4)):
                source, weights = ((x, mixer.zo), (smoothed, mixer.fi))[gate // 2]
                column = mixer.recurrent[head, :, gate * 4 + unit]
                read = weights[head, :, gate % 2 * 4 + unit]
                total = float(mixer.bias[head, gate * 4 + unit])
                for j in range(4):
                    total += h[head * 4 + j] * float(column[j])
                    total += float(source[0, t, head * 4 + j]) * float(read[j])
                fed[head][gate * 4 + unit] = total
            new = []
            for u in range(8):
                z, o, f, i = (fed[u // 4][gate * 4 + u % 4] for gate in range(4))
                keep, write = 1 / (1 + math.exp(-f)), math.exp(i)
                c[u], n[u] = keep * c[u] + write * math.tanh(z), keep * n[u] + write
                new.append(c[u] / n[u] / (1 + math.exp(-o)))
            h = new
        y, (_, (last_h, *_)) = mixer(x, None)
        heads = torch.tensor(h, dtype=torch.float64).view(2, 4)
        centred = heads - heads.mean(1, keepdim=True)
        normed = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt() * mixer.norm_weight
    assert last_h.flatten().tolist() == pytest.approx(h, rel=1e-10)
    torch.testing.assert_close(y[0, -1], normed.flatten(), rtol=1e-9, atol=1e-12)


def test_the_gates_of_slstm_may_be_huge():
    mixer = SLSTM(8, 4)
    nn.init.constant_(mixer.bias, 500.0)  # exp(500) is no float32
    y, _ = mixer(torch.randn(2, 20, 8), None)
    assert y.isfinite().all()


def test_rotary_attention_depends_on_distances_alone():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 16, dtype=torch.float64)
    products = [float((rotate(q, at + 5) * rotate(k, at)).sum()) for at in (0, 3, 1000)]
    assert products == pytest.approx([products[0]] * 3, rel=1e-9)
    assert float((rotate(q, 6) * rotate(k, 0)).sum()) != pytest.approx(products[0], rel=1e-3)


def test_attention_without_positions_is_a_softmax_over_the_past():
    torch.manual_seed(0)
    mixer = Attention(8, 8, rotary=False).double()
    x = torch.randn(1, 5, 8, dtype=torch.float64)
    q, k, v = (x @ mixer.qkv.weight.T)[0].chunk(3, -1)
    scores = (q[4] @ k.T / math.sqrt(8)).softmax(-1)
    y, _ = mixer(x, None)
    torch.testing.assert_close(y[0, 4], scores @ v @ mixer.output.weight.T)


def test_the_seed_is_the_network():
    for name in ("rwkv7", "slstm", "mamba2"):
        first, again, of_another_seed = (network(name, "off", seed=seed).state_dict() for seed in (3, 3, 4))
        assert all(torch.equal(first[key], again[key]) for key in first)
        assert any(not torch.equal(first[key], of_another_seed[key]) for key in first)


def test_building_leaves_torch_s_chance_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    network("rwkv7", "off", seed=9)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("rwkv", "off", "unknown model 'rwkv'. Did you mean rwkv7"),
        ("lstm", "full", "lstm has no variant with --negative-eigenvalues full; it has: off"),
        ("deltanet", "stable", "it has: off, full"),
        ("rwkv7", "on", "unknown --negative-eigenvalues 'on'"),
    ],
)
def test_what_there_is_not_is_refused_in_a_line(name, kind, message):
    with pytest.raises(UsageError) as caught:
        find_architecture(name, kind)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_need_no_torch():
    modules = "evalkit_tasks.training.networks.architectures, evalkit_tasks.cli"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
