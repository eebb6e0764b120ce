"""Delta products, Mamba and mLSTM against independent code and against their rules token by token."""

import math

import pytest
import torch
import torch.nn.functional as F
from transformers import MambaConfig, Qwen3NextConfig, RwkvConfig, xLSTMConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet
from transformers.models.rwkv.modeling_rwkv import RwkvFeedForward, RwkvSelfAttention
from transformers.models.xlstm.modeling_xlstm import xLSTMLayer

from evalkit_tasks.training.networks.delta import GatedDeltaProduct
from evalkit_tasks.training.networks.linear import CHUNK_TOKENS
from evalkit_tasks.training.networks.mamba import (
    Mamba1,
    Mamba3,
    selective_scan,
    selective_scan_reference,
    trapezoidal_attention,
)
from evalkit_tasks.training.networks.rwkv_early import ChannelMix, TimeMix4, TimeMix56, _Place, wkv6
from evalkit_tasks.training.networks.titans import surprise_memory
from evalkit_tasks.training.networks.xlstm import MLSTM, mlstm, mlstm_reference

LONGER = CHUNK_TOKENS + 9


def shaken(module):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return module


def doubles(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_same_with_gradients(first, second, inputs, *rest):
    """Two functions give the same outputs, and the same gradients of a sum over them with random weights."""
    results = []
    for function in (first, second):
        leaves = [x.clone().requires_grad_() for x in inputs]
        y, state = function(*leaves, *rest)
        tensors = [y, *(state if isinstance(state, tuple) else (state,))]
        # Memory and normaliser of an mLSTM alone depend on the stabiliser, which no result depends on.
        weighed = tensors[:1] if isinstance(state, tuple) else tensors
        total = sum((x * doubles(*x.shape, seed=9)).sum() for x in weighed)
        results.append(
            [*tensors, *torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)]
        )
    for x, y in zip(*results, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-10)


def test_gated_deltanet_is_transformers_qwen3_next():
    torch.manual_seed(0)
    mixer = shaken(GatedDeltaProduct(32, 16, num_products=1, beta_bound=1.0, gated=True))
    config = Qwen3NextConfig(
        hidden_size=32,
        linear_num_value_heads=2,
        linear_num_key_heads=2,
        linear_key_head_dim=16,
        linear_value_head_dim=16,
        rms_norm_eps=1e-5,
        num_hidden_layers=1,
        layer_types=["linear_attention"],
    )
    reference = Qwen3NextGatedDeltaNet(config, 0).eval()
    with torch.no_grad():
        by_head = [part.view(2, 16, 32) for part in (*mixer.qkv.weight.chunk(3), mixer.gate.weight)]
        reference.in_proj_qkvz.weight.copy_(torch.cat(by_head, 1).view(128, 32))
        both = torch.stack((mixer.beta.weight, mixer.decay.weight), 1)
        reference.in_proj_ba.weight.copy_(both.view(4, 32))
        reference.conv1d.weight.copy_(mixer.convolution.convolution.weight)
        reference.dt_bias.copy_(mixer.step_bias)
        reference.A_log.copy_(mixer.log_rate)
        reference.norm.weight.copy_(mixer.norm.weight)
        reference.out_proj.weight.copy_(mixer.output.weight)
        x = doubles(2, LONGER, 32).float()
        torch.testing.assert_close(mixer(x, None)[0], reference(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("num_products", "bound", "gated"), [(2, 2.0, False), (3, 1.0, True), (1, 2.0, True)]
)
def test_deltaproduct_is_its_products_one_after_the_other(num_products, bound, gated):
    # arXiv 2502.10297, equation 4, and a decay before the first product.
    torch.manual_seed(0)
    mixer = shaken(GatedDeltaProduct(8, 4, num_products=num_products, beta_bound=bound, gated=gated)).double()
    x = doubles(1, 11, 8)
    qkv = F.pad(mixer.qkv(x), (0, 0, 3, 0))
    taps = mixer.convolution.convolution.weight[:, 0]
    qkv = F.silu(sum(qkv[:, i : i + 11] * taps[:, i] for i in range(4)))[0]
    beta = bound * torch.sigmoid(mixer.beta(x))[0]
    expected = torch.empty(11, 2, 4, dtype=torch.float64)
    for head in range(2):
        state = torch.zeros(4, 4, dtype=torch.float64)
        own = slice(4 * head, 4 * head + 4)
        for t in range(11):
            if gated:
                rate, step = mixer.log_rate[head].exp(), mixer.decay(x)[0, t, head] + mixer.step_bias[head]
                state = state * torch.exp(-rate * torch.log1p(step.exp()))
            for j in range(num_products):
                key = qkv[t, 8 + 8 * j : 16 + 8 * j][own]
                value = qkv[t, 8 + 8 * (num_products + j) : 16 + 8 * (num_products + j)][own]
                key = key / (key @ key + 1e-6).sqrt()
                state = state + beta[t, 2 * j + head] * torch.outer(value - state @ key, key)
            query = qkv[t, :8][own]
            y = state @ query / (query @ query + 1e-6).sqrt() / 2
            expected[t, head] = y / (y.square().mean() + 1e-5).sqrt() * mixer.norm.weight
    y = expected.view(1, 11, 8)
    if gated:
        y = y * F.silu(mixer.gate(x))
    torch.testing.assert_close(mixer(x, None)[0], mixer.output(y), rtol=1e-9, atol=1e-10)


def test_mamba1_is_transformers_mamba():
    torch.manual_seed(0)
    mixer = shaken(Mamba1(32, 8, signed=False))
    config = MambaConfig(hidden_size=32, state_size=8, num_hidden_layers=1, expand=2, time_step_rank=2)
    reference = MambaMixer(config, 0).eval()
    names = {
        "in_proj": mixer.input,
        "conv1d": mixer.convolution.convolution,
        "x_proj": mixer.selection,
        "dt_proj": mixer.step,
        "out_proj": mixer.output,
    }
    with torch.no_grad():
        for name, module in names.items():
            getattr(reference, name).load_state_dict(module.state_dict())
        reference.A_log.copy_(mixer.log_rate)
        reference.D.copy_(mixer.skip)
        x = doubles(2, 21, 32).float()
        torch.testing.assert_close(mixer(x, None)[0], reference(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("signed", [False, True])
def test_the_parallel_scan_of_mamba1_is_the_recurrence(signed):
    step, values = doubles(2, 13, 6).exp(), doubles(2, 13, 6, seed=1)
    inputs = [values, step, doubles(6, 4, seed=2).exp(), doubles(2, 13, 4, seed=3), doubles(2, 13, 4, seed=4)]
    inputs.append(doubles(2, 6, 4, seed=5))
    first, second = (
        lambda *x, scan=scan: scan(*x, signed=signed) for scan in (selective_scan, selective_scan_reference)
    )
    assert_same_with_gradients(first, second, inputs)


def trapezoids(q, k, v, log_decay, step, share, memory, last_key, last_value):
    """Algorithm of arXiv 2603.15569 token by token."""
    outputs = []
    for t in range(q.shape[1]):
        alpha = log_decay[:, t].exp()
        old = ((1 - share[:, t]) * step[:, t] * alpha)[..., None, None]
        new = (share[:, t] * step[:, t])[..., None, None]
        memory = alpha[..., None, None] * memory + old * last_value[..., None] * last_key[..., None, :]
        last_key, last_value = k[:, t], v[:, t]
        memory = memory + new * last_value[..., None] * last_key[..., None, :]
        outputs.append((memory @ q[:, t, ..., None])[..., 0])
    return torch.stack(outputs, 1), memory


def test_the_chunks_of_mamba3_are_the_recurrence():
    def chunked(q, k, v, log_decay, step, share, memory, last_key, last_value):
        return trapezoidal_attention(q, k, v, log_decay, step, share, (memory, last_key, last_value))

    heads = (2, LONGER, 3)
    inputs = [doubles(*heads, 4), doubles(*heads, 4, seed=1), doubles(*heads, 5, seed=2)]
    inputs += [
        -doubles(*heads, seed=3).abs(),
        doubles(*heads, seed=4).exp(),
        doubles(*heads, seed=5).sigmoid(),
    ]
    inputs += [doubles(2, 3, 5, 4, seed=6), doubles(2, 3, 4, seed=7), doubles(2, 3, 5, seed=8)]
    assert_same_with_gradients(chunked, trapezoids, inputs)


def test_mamba3_turns_keys_and_queries_by_the_angles_so_far():
    torch.manual_seed(0)
    mixer = shaken(Mamba3(8, 8, 4)).double()
    x = doubles(1, 9, 8)
    gate, values, keys, queries, step, rate, share, angles = mixer.input(x).split(mixer.sizes, -1)
    step = torch.log1p((step + mixer.step_bias).exp())
    total = torch.zeros(2, 2, dtype=torch.float64)
    rotated = []
    for t in range(9):
        total = total + step[0, t, :, None] * math.pi * torch.tanh(angles[0, t])
        rows = []
        for x_t, weight, bias in (
            (keys, mixer.key_norm.weight, mixer.key_bias),
            (queries, mixer.query_norm.weight, mixer.query_bias),
        ):
            row = x_t[0, t] / (x_t[0, t].square().mean() + 1e-5).sqrt() * weight + bias
            # A pair is a complex number, which turns.
            turned = torch.view_as_complex(row.view(2, 2, 2).contiguous()) * torch.polar(
                torch.ones_like(total), total
            )
            rows.append(torch.view_as_real(turned).reshape(2, 4))
        rotated.append(rows)
    key, query = (torch.stack([rows[part] for rows in rotated])[None] for part in (0, 1))
    v = values.view(1, 9, 2, 8)
    zeros = (doubles(1, 2, 8, 4) * 0, key[:, 0] * 0, v[:, 0] * 0)
    decay = -torch.log1p(rate.exp()) * step
    y, _ = trapezoids(query, key, v, decay, step, share.sigmoid(), *zeros)
    y = (y + mixer.skip[:, None] * v).view(1, 9, 16) * F.silu(gate)
    torch.testing.assert_close(mixer(x, None)[0], mixer.output(y), rtol=1e-9, atol=1e-10)


def test_mlstm_is_transformers_xlstm():
    torch.manual_seed(0)
    mixer = shaken(MLSTM(32, 16))
    config = xLSTMConfig(
        hidden_size=32,
        num_heads=2,
        num_hidden_layers=1,
        mode="train",
        chunkwise_kernel="chunkwise--native_autograd",
        autocast_kernel_dtype="float32",
        chunk_size=16,
    )
    reference = xLSTMLayer(config).eval()
    q, k, v, o = mixer.qkvo.weight.split(mixer.sizes)
    with torch.no_grad():
        for name, weight in {
            "q": q,
            "k": k,
            "v": v,
            "ogate_preact": o,
            "out_proj": mixer.output.weight,
        }.items():
            getattr(reference, name).weight.copy_(weight)
        for name, rows in (("igate_preact", slice(0, 2)), ("fgate_preact", slice(2, 4))):
            getattr(reference, name).weight.copy_(mixer.gates.weight[rows])
            getattr(reference, name).bias.copy_(mixer.gates.bias[rows])
        reference.multihead_norm.weight.copy_(mixer.norm_weight.flatten())
        x = doubles(2, 48, 32).float()
        torch.testing.assert_close(mixer(x, None)[0], reference(x)[0], rtol=2e-4, atol=2e-5)


def test_the_chunks_of_mlstm_are_the_recurrence():
    heads = (2, LONGER, 3)
    inputs = [doubles(*heads, 4), doubles(*heads, 4, seed=1), doubles(*heads, 6, seed=2)]
    inputs += [3 * doubles(*heads, seed=3), 3 * doubles(*heads, seed=4)]
    state = (doubles(2, 3, 4, 6, seed=5), doubles(2, 3, 4, seed=6), doubles(2, 3, seed=7))
    assert_same_with_gradients(mlstm, mlstm_reference, inputs, state)


def test_rwkv4_is_transformers_rwkv():
    torch.manual_seed(0)
    place = _Place(1, 3, 16)
    time_mix, channel_mix = shaken(TimeMix4(16, place)), shaken(ChannelMix(16, place))
    config = RwkvConfig(hidden_size=16, num_hidden_layers=3, intermediate_size=56, attention_hidden_size=16)
    attention, feed_forward = RwkvSelfAttention(config, 1).eval(), RwkvFeedForward(config, 1).eval()
    with torch.no_grad():
        for mixer, reference in ((time_mix, attention), (channel_mix, feed_forward)):
            for name in ("key", "value", "receptance", "output"):
                if hasattr(mixer, name):
                    getattr(reference, name).load_state_dict(getattr(mixer, name).state_dict())
            names = ("key", "value", "receptance") if mixer is time_mix else ("key", "receptance")
            for name, mix in zip(names, mixer.mix, strict=True):
                getattr(reference, f"time_mix_{name}").copy_(mix)
        attention.time_decay.copy_(time_mix.log_rate)
        attention.time_first.copy_(time_mix.bonus)
        x = doubles(2, 19, 16).float()
        torch.testing.assert_close(time_mix(x, None)[0], attention(x)[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(channel_mix(x, None)[0], feed_forward(x)[0], rtol=1e-5, atol=1e-6)


def wkv6_reference(r, k, v, log_decay, bonus, state):
    """Equations 18-19 of arXiv 2404.05892 token by token."""
    outputs = []
    for t in range(r.shape[1]):
        written = v[:, t, :, :, None] * k[:, t, :, None, :]
        outputs.append(((state + written * bonus[:, None]) @ r[:, t, :, :, None])[..., 0])
        state = state * log_decay[:, t].exp()[..., None, :] + written
    return torch.stack(outputs, 1), state


def test_wkv6_is_the_recurrence():
    heads = (2, LONGER, 3, 4)
    inputs = [
        doubles(*heads),
        doubles(*heads, seed=1),
        doubles(*heads, seed=2),
        -doubles(*heads, seed=3).abs(),
    ]
    inputs += [doubles(3, 4, seed=4), doubles(2, 3, 4, 4, seed=5)]
    assert_same_with_gradients(wkv6, wkv6_reference, inputs)


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_time_mixes_of_rwkv5_and_6_are_their_equations(dynamic):
    # arXiv 2404.05892, equations 3-19; one head, channel by channel where the paper has products by element.
    torch.manual_seed(0)
    mixer = shaken(TimeMix56(4, 4, _Place(1, 3, 4), dynamic=dynamic)).double()
    x = doubles(1, 7, 4)
    past = torch.cat((x[:, :1] * 0, x[:, :-1]), 1)
    mixed = []
    for which, mix in enumerate(mixer.mix):
        share = mix
        if dynamic:
            inner = x * mixer.mix_x + past * (1 - mixer.mix_x)
            rank = mixer.mix_down.shape[1] // 5
            hidden = torch.tanh(inner @ mixer.mix_down[:, which * rank : (which + 1) * rank])
            share = mix - hidden @ mixer.mix_up[which]
        mixed.append(x * share + past * (1 - share))
    rate = mixer.log_rate
    if dynamic:
        rate = rate + torch.tanh(mixed[4] @ mixer.decay_down) @ mixer.decay_up
    decay = (-rate.exp()).expand(1, 7, 4)
    k, v, r = (
        layer(part)[:, :, None]
        for layer, part in zip((mixer.key, mixer.value, mixer.receptance), mixed[:3], strict=True)
    )
    y, _ = wkv6_reference(r, k, v, decay[:, :, None], mixer.bonus, doubles(1, 1, 4, 4) * 0)
    y = y[:, :, 0]
    y = (y - y.mean(-1, keepdim=True)) / (y.var(-1, keepdim=True, unbiased=False) + 64e-5).sqrt()
    y = (y * mixer.norm.weight + mixer.norm.bias) * F.silu(mixer.gate(mixed[3]))
    torch.testing.assert_close(mixer(x, None)[0], mixer.output(y), rtol=1e-9, atol=1e-10)


def test_the_memory_of_titans_descends_its_loss_with_momentum():
    # Equations 9-14 of arXiv 2501.00663, the gradient by autograd.
    q, k, v = (doubles(1, 9, 1, 4, seed=seed) for seed in range(3))
    rate, momentum, forget = (doubles(1, 9, 1, seed=seed).sigmoid() for seed in range(3, 6))
    memory, surprise = doubles(4, 4, seed=6), doubles(4, 4, seed=7)
    y, (last, _) = surprise_memory(
        q, k, v, rate, momentum, forget, (memory[None, None], surprise[None, None])
    )
    for t in range(9):
        leaf = memory.clone().requires_grad_()
        loss = (leaf @ k[0, t, 0] - v[0, t, 0]).square().sum() / 2
        (gradient,) = torch.autograd.grad(loss, leaf)
        surprise = momentum[0, t] * surprise - rate[0, t] * gradient
        memory = (1 - forget[0, t]) * memory + surprise
        torch.testing.assert_close(y[0, t, 0], memory @ q[0, t, 0], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(last[0, 0], memory, rtol=1e-9, atol=1e-10)
