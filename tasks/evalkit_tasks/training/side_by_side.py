"""What training networks side by side saves: processor time of a step, beside one after the other."""

import time
from statistics import median
from typing import NamedTuple

from evalkit_tasks.training.networks.architectures import NetworkOptions, build_network, display_name

_VOCAB_SIZE, _NUM_LABELS = 8, 6
_NUM_WARMUPS = 2


class StepTimes(NamedTuple):
    """Processor time of one step of several networks, each with a batch of its own."""

    model: str
    side_by_side_s: float
    in_turn_s: float

    @property
    def ratio(self) -> float:
        """How many times as long they take one after the other."""
        return self.in_turn_s / self.side_by_side_s


def measure_step(
    model: str,
    *,
    num_networks: int,
    batch_size: int,
    num_letters: int,
    width: int,
    head_size: int,
    num_rounds: int,
) -> StepTimes:
    """The median processor time of a step over rounds that alternate between the two ways.

    Args:
        model: an architecture.
        num_networks: how many are trained.
        batch_size: strings of each.
        num_letters: of a string.
        width: channels.
        head_size: of a head.
        num_rounds: how often each way is timed.
    """
    import torch
    import torch.nn.functional as F

    from evalkit_tasks.training.networks.stack import NetworkStack

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    options = NetworkOptions(_VOCAB_SIZE, _NUM_LABELS, 1, width, head_size, "off", num_letters, 0)
    stacks = [
        NetworkStack(
            [build_network(model, options._replace(seed=seed)) for seed in range(num_networks)], batched=way
        )
        for way in (True, False)
    ]
    chance = torch.Generator().manual_seed(0)
    shape = (num_networks, batch_size, num_letters)
    ids = torch.randint(_VOCAB_SIZE, shape, generator=chance)
    labels = torch.randint(_NUM_LABELS, shape, generator=chance)
    ones, zeros = (dict.fromkeys(stacks[0].parameters, value) for value in (1.0, 0.0))
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(_NUM_WARMUPS + num_rounds):
        for stack, times_of_way in zip(stacks, times, strict=True):
            since_s = time.process_time()
            logits = stack.forward(ids)
            losses = torch.stack(
                [F.cross_entropy(x.flatten(0, 1), y.flatten()) for x, y in zip(logits, labels, strict=True)]
            )
            stack.learn(losses, [1e-3] * num_networks, ones, zeros)
            if turn >= _NUM_WARMUPS:
                times_of_way.append(time.process_time() - since_s)
    return StepTimes(display_name(model, "off"), *map(median, times))
