"""What a short text costs a model in each of the faults that are known: by these a port's fault is named."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from evalkit.audit.rwkv7_faults import DEPARTURES, hidden_with
from evalkit.audit.subject import Nats
from evalkit.models.distributions import DistributionModel
from evalkit.models.hidden_states import NetworkModel
from evalkit.models.protocol import TokenModel
from evalkit.models.rwkv7.model import RWKV7Model
from evalkit_kernels import linear_nll

_SOFTCAPS = (10.0, 15.0, 20.0, 30.0, 50.0)


class Signature(NamedTuple):
    """What the probe costs with a fault."""

    fault: str
    nats: Nats


def signatures(model: TokenModel, ids: Sequence[int]) -> list[Signature]:
    """A text's costs in every fault that can be put into a model.

    Args:
        model: right itself.
        ids: the text, after which no more is read.
    """
    prefix = tuple(model.prefix)
    signatures_so_far = [
        Signature("prefix missing", _nats(model, ids, ())),
        Signature("prefix doubled", _nats(model, ids, prefix * 2)),
    ] * bool(prefix)
    if isinstance(model, DistributionModel) and prefix:
        signatures_so_far += _of_logits(model, ids, prefix)
    if isinstance(model, RWKV7Model):
        signatures_so_far += _of_rwkv7(model, ids, prefix)
    elif isinstance(model, NetworkModel):
        signatures_so_far += _of_attention(model, model.network, ids)
    actual = _nats(model, ids, prefix)
    # What changes nothing cannot be told from what is right.
    return [signature for signature in signatures_so_far if np.abs(signature.nats - actual).max() > 1e-4]


def _nats(model: TokenModel, ids: Sequence[int], context: Sequence[int]) -> Nats:
    [costs] = model.nats([ids], contexts=[context])
    return np.asarray(costs, np.float64)


def _of_logits(model: DistributionModel, ids: Sequence[int], prefix: Sequence[int]) -> list[Signature]:
    """Faults of who picks a token's logit: the wrong row, or a softcap on one side."""
    rows = torch.cat(list(model.head_inputs(prefix, [*ids, ids[-1]])))  # one more: after the last
    targets = torch.tensor(list(ids), device=rows.device)
    log_sums, picked, shifted, peeked = [], [], [], []
    for start in range(0, len(ids), 64):
        logits = model.logits(rows[start : start + 65]).double()
        part = targets[start : start + 64]
        log_sum = torch.logsumexp(logits, -1)
        log_sums.append(log_sum[: len(part)])
        picked.append(logits[: len(part)].gather(1, part[:, None])[:, 0])
        peeked.append(log_sum[1:] - logits[1:].gather(1, part[:, None])[:, 0])
        later = targets[start + 1 : start + 65]
        shifted.append(log_sum[: len(later)] - logits[: len(later)].gather(1, later[:, None])[:, 0])
    log_sum, logit = torch.cat(log_sums), torch.cat(picked)
    uniform = torch.tensor([math.log(model.vocab_size)], dtype=torch.float64, device=rows.device)
    signatures_so_far = [
        Signature("off-by-one shift", _array(torch.cat((uniform, *shifted)))),
        Signature("peeks ahead", _array(torch.cat(peeked))),
    ]
    return signatures_so_far + [
        Signature("logits changed after normalisation", _array(log_sum - cap * torch.tanh(logit / cap)))
        for cap in _SOFTCAPS
    ]


def _array(nats: Tensor) -> Nats:
    values: Nats = nats.cpu().numpy()
    return values


def _of_rwkv7(model: RWKV7Model, ids: Sequence[int], prefix: Sequence[int]) -> list[Signature]:
    inputs = torch.tensor([*prefix, *ids][:-1], device=model.device)
    targets = torch.tensor(list(ids), device=model.device)
    num_before = len(prefix)
    signatures_so_far = []
    for departure in DEPARTURES:
        hidden = hidden_with(model.network, inputs, departure)
        costs = np.full(len(ids), math.log(model.vocab_size))
        rows = hidden[max(num_before - 1, 0) :]
        paid = targets if num_before else targets[1:]
        costs[len(ids) - len(paid) :] = _array(
            linear_nll(rows, model.network.head.weight.float(), paid).double()
        )
        signatures_so_far.append(Signature(departure.fault, costs))
    return signatures_so_far


def _of_attention(model: TokenModel, network: nn.Module, ids: Sequence[int]) -> list[Signature]:
    """Faults of conversions of Llama and its like, put into its modules for as long as it takes."""
    signatures_so_far = []
    for fault, put in _ATTENTION_FAULTS:
        with contextlib.ExitStack() as stack:
            if put(network, stack):
                signatures_so_far.append(Signature(fault, _nats(model, ids, model.prefix)))
    return signatures_so_far


def _scale_frequencies(power: float) -> "Callable[[nn.Module, contextlib.ExitStack], bool]":
    def put(network: nn.Module, stack: contextlib.ExitStack) -> bool:
        buffers = [module.inv_freq for module in network.modules() if isinstance(_inv_freq(module), Tensor)]
        for buffer in map(_tensor, buffers):
            stack.enter_context(_replaced(buffer, buffer**power if power else torch.zeros_like(buffer)))
        return bool(buffers)

    return put


def _unpair(network: nn.Module, stack: contextlib.ExitStack) -> bool:
    """The rows of queries and keys in the order in which neighbouring channels are pairs."""
    matrices = []
    for attention in network.modules():
        head_size = getattr(attention, "head_dim", None)
        for name in ("q_proj", "k_proj"):
            weight = getattr(getattr(attention, name, None), "weight", None)
            if isinstance(weight, Tensor) and isinstance(head_size, int) and weight.shape[0] % head_size == 0:
                matrices.append((weight, head_size))
    for weight, head_size in matrices:
        halves = weight.view(-1, 2, head_size // 2, weight.shape[1])
        stack.enter_context(_replaced(weight, halves.transpose(1, 2).reshape(weight.shape)))
    return bool(matrices)


def _set_norm_epsilon(epsilon: float) -> "Callable[[nn.Module, contextlib.ExitStack], bool]":
    def put(network: nn.Module, stack: contextlib.ExitStack) -> bool:
        norms = [module for module in network.modules() if isinstance(_epsilon(module), float)]
        for norm in norms:
            stack.callback(setattr, norm, "variance_epsilon", norm.variance_epsilon)
            norm.variance_epsilon = epsilon  # type: ignore[assignment]
        return bool(norms)

    return put


def _inv_freq(module: nn.Module) -> object:
    return getattr(module, "inv_freq", None)


def _epsilon(module: nn.Module) -> object:
    return getattr(module, "variance_epsilon", None)


def _tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor)
    return value


@contextlib.contextmanager
def _replaced(tensor: Tensor, values: Tensor) -> Iterator[None]:
    """While it lasts, a parameter or buffer has other values."""
    before = tensor.detach().clone()
    tensor.data.copy_(values)
    try:
        yield
    finally:
        tensor.data.copy_(before)


# Base b to base b^p is frequency f to f^p: 10,000 to 500,000 and back, as Llama 2 and 3 have it.
_ATTENTION_FAULTS: "tuple[tuple[str, Callable[[nn.Module, contextlib.ExitStack], bool]], ...]" = (
    ("missing RoPE", _scale_frequencies(0.0)),
    ("RoPE base", _scale_frequencies(math.log(500_000) / math.log(10_000))),
    ("RoPE base", _scale_frequencies(math.log(10_000) / math.log(500_000))),
    ("RoPE pairs", _unpair),
    ("norm epsilon", _set_norm_epsilon(1e-6)),
    ("norm epsilon", _set_norm_epsilon(1e-5)),
    ("norm epsilon", _set_norm_epsilon(1e-3)),
)
