"""Networks side by side: each as it is alone, and AdamW as torch has it."""

import copy

import pytest
import torch
import torch.nn.functional as F

from evalkit_tasks.training.networks.architectures import ARCHITECTURES, NetworkOptions, build_network
from evalkit_tasks.training.networks.stack import NetworkStack
from evalkit_tasks.training.training import _parameter_rules

BATCHED = [name for name, architecture in ARCHITECTURES.items() if architecture.is_batched]
MORE_PRODUCTS = ("deltaproduct-3", "deltaproduct-4", "gated-deltaproduct-4")
"""The code of others, and slow."""


def networks(name, num):
    return [build_network(name, NetworkOptions(7, 5, 2, 32, 16, "off", 99, seed)) for seed in range(num)]


def doubles(name, num):
    return [network.double() for network in networks(name, num)]


def step(stack, ids, labels, rates, rules):
    losses = [
        F.cross_entropy(x.flatten(0, 1), y.flatten()) for x, y in zip(stack.forward(ids), labels, strict=True)
    ]
    return stack.learn(torch.stack(losses), rates, *rules)


@pytest.mark.parametrize("name", [*(name for name in BATCHED if name not in MORE_PRODUCTS), "lstm"])
def test_a_network_learns_beside_others_what_it_learns_alone(name):
    """In float64 to 1e-7 of the largest change after four steps, with learning rates of their own."""
    together, alone = doubles(name, 3), doubles(name, 3)
    rules = _parameter_rules(together[0], 0.1)
    stack = NetworkStack(together, batched=name in BATCHED)
    rates = [1e-3, 1e-2, 3e-3]
    chance = torch.Generator().manual_seed(0)
    batches = [
        (torch.randint(7, (3, 4, 11), generator=chance), torch.randint(5, (3, 4, 11), generator=chance))
        for _ in range(4)
    ]
    for ids, labels in batches:
        step(stack, ids, labels, rates, rules)
    for place, network in enumerate(alone):
        before = copy.deepcopy(network.state_dict())
        single = NetworkStack([network], batched=False)
        for ids, labels in batches:
            step(single, ids[place : place + 1], labels[place : place + 1], rates[place : place + 1], rules)
        for key, value in single.values_of(0).items():
            change = (value - before[key]).abs().max()
            error = (value - stack.values_of(place)[key]).abs().max()
            assert change > 0 and error < 1e-7 * change, key


def test_the_optimiser_is_torch_s_adamw_with_clipped_gradients():
    (network,), (reference,) = networks("rwkv7", 1), networks("rwkv7", 1)
    stack = NetworkStack([network], batched=False)
    optimizer = torch.optim.AdamW(reference.parameter_groups(3e-3, 0.1), betas=(0.9, 0.99))
    chance = torch.Generator().manual_seed(0)
    for scale in (1.0, 1e3, 1.0):
        ids, labels = torch.randint(7, (4, 11), generator=chance), torch.randint(5, (4, 11), generator=chance)
        loss = scale * F.cross_entropy(reference(ids)[0].flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
        optimizer.step()
        own = scale * F.cross_entropy(stack.forward(ids[None])[0].flatten(0, 1), labels.flatten())
        assert torch.equal(stack.learn(own[None], [3e-3], *_parameter_rules(network, 0.1))[0], norm)
    for key, value in dict(reference.named_parameters()).items():
        assert torch.equal(stack.parameters[key][0], value), key


def test_those_that_stay_go_on_as_they_were_and_a_gradient_that_is_none_harms_nobody_else():
    first = NetworkStack(networks("retnet", 3), batched=True)
    second = NetworkStack(networks("retnet", 3), batched=True)
    rules = _parameter_rules(first.network, 0.0)
    chance = torch.Generator().manual_seed(0)
    ids, labels = torch.randint(7, (3, 4, 6), generator=chance), torch.randint(5, (3, 4, 6), generator=chance)
    step(first, ids, labels, [1e-3] * 3, rules)
    losses = [
        F.cross_entropy(x.flatten(0, 1), y.flatten())
        for x, y in zip(second.forward(ids), labels, strict=True)
    ]
    norms = second.learn(torch.stack(losses) * torch.tensor([1.0, torch.nan, 1.0]), [1e-3] * 3, *rules)
    assert norms.isfinite().tolist() == [True, False, True]
    for stack in (first, second):
        stack.keep([2])
        step(stack, ids[2:], labels[2:], [1e-3], rules)
    assert all(torch.equal(first.values_of(0)[key], value) for key, value in second.values_of(0).items())
