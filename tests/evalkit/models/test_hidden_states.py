"""A network with its weights in random order, for as long as it is read."""

import pytest
import torch
from torch import nn

from evalkit.models.hidden_states import shuffled_weights


def test_weights_are_shuffled_by_the_seed_and_put_back() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 50, bias=False))
    network[1].weight = network[0].weight
    before = network[0].weight.detach().clone()
    orders = []
    for seed in (1, 1, 2):
        with pytest.raises(KeyboardInterrupt), shuffled_weights(network, seed):
            orders.append(network[0].weight.detach().clone())
            assert network[1].weight is network[0].weight
            raise KeyboardInterrupt
        assert torch.equal(network[0].weight, before)
    first, again, second = orders
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert (first != before).float().mean() > 0.9
    assert torch.equal(first.flatten().sort().values, before.flatten().sort().values)
