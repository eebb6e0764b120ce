"""Several networks of one shape side by side: their parameters stacked, their steps taken together.

Shape legend: S = networks, B = batch, T = time, K = labels.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap

if TYPE_CHECKING:
    from evalkit_tasks.training.networks.parts import SequenceNetwork, State

BETAS = (0.9, 0.99)
EPS = 1e-8
LARGEST_NORM = 1.0
"""To which a network's gradient is clipped."""


class NetworkStack:
    """Networks that differ in the values of their parameters alone, and AdamW for all of them.

    What one of them computes does not depend on the others, but for rounding: products of several matrices
    at a time add up in another order than one after the other.

    Args:
        networks: at least one, on one device; the first lends its shape to all.
        batched: compute them in one pass by `torch.func.vmap`; otherwise one after the other.
    """

    def __init__(self, networks: "Sequence[SequenceNetwork]", *, batched: bool) -> None:
        self.network, self.batched = networks[0], batched
        self.parameters = {
            name: torch.stack([dict(network.named_parameters())[name].detach() for network in networks])
            for name, _ in self.network.named_parameters()
        }
        self.buffers = dict(self.network.named_buffers())
        self.means = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        """Of the gradients; `squares` are the means of their squares."""
        self.squares = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self.num_steps = 0
        for value in self.parameters.values():
            value.requires_grad_()

    def __len__(self) -> int:
        return len(next(iter(self.parameters.values())))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits ``[S, B, T, K]`` for ``ids`` ``[S, B, T]``: each network reads a batch of its own."""
        if self.batched and len(self) > 1:
            logits: Tensor = vmap(self._forward, randomness="error")(self.parameters, ids)
            return logits
        # Taken apart at once: an index for each network would make S gradients as large as the stack.
        parts = {name: value.unbind() for name, value in self.parameters.items()}
        each = ({name: part[row] for name, part in parts.items()} for row in range(len(self)))
        return torch.stack([self._forward(values, rows) for values, rows in zip(each, ids, strict=True)])

    def values_of(self, place: int) -> dict[str, Tensor]:
        """The parameters of one network."""
        return {name: value.detach()[place].clone() for name, value in self.parameters.items()}

    def keep(self, places: Sequence[int]) -> None:
        """Go on with these networks alone, in this order."""
        self.restore(
            {
                part: {name: value[list(places)] for name, value in values.items()}
                if isinstance(values, dict)
                else values
                for part, values in self.state().items()
            }
        )

    def state(self) -> dict[str, Any]:
        """All that a later step depends on, for `restore`."""
        parameters = {name: value.detach() for name, value in self.parameters.items()}
        return {
            "parameters": parameters,
            "means": self.means,
            "squares": self.squares,
            "num_steps": self.num_steps,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`, of as many networks as it has.

        Raises:
            ValueError: it is of networks of another shape.
        """
        counts = set()
        for part in ("parameters", "means", "squares"):
            if state[part].keys() != self.parameters.keys():
                raise ValueError(f"{part} of other networks")
            for name, value in state[part].items():
                if value.shape[1:] != self.parameters[name].shape[1:] or not value.is_floating_point():
                    raise ValueError(f"{name} has another shape")
                counts.add(len(value))
        if len(counts) != 1:
            raise ValueError("parts are of different numbers of networks")
        self.parameters = {
            name: value.clone().requires_grad_() for name, value in state["parameters"].items()
        }
        self.means, self.squares = dict(state["means"]), dict(state["squares"])
        self.num_steps = int(state["num_steps"])

    def _forward(self, values: Mapping[str, Tensor], ids: Tensor) -> Tensor:
        outputs: tuple[Tensor, State] = functional_call(self.network, (dict(values), self.buffers), (ids,))
        return outputs[0]

    def learn(
        self,
        losses: Tensor,
        learning_rates: Sequence[float],
        scales: Mapping[str, float],
        decays: Mapping[str, float],
    ) -> Tensor:
        """A step of AdamW for each network on its own loss, its gradient clipped to `LARGEST_NORM`.

        A gradient that is not finite counts as 0.

        Args:
            losses: ``[S]``, with their graph.
            learning_rates: of each network.
            scales: by parameter, what its learning rate is a multiple of.
            decays: by parameter, its weight decay.

        Returns:
            The norms of the gradients before they were clipped, ``[S]``.
        """
        names = list(self.parameters)
        gradients = torch.autograd.grad(
            losses.sum(), list(self.parameters.values()), allow_unused=True, materialize_grads=True
        )
        with torch.no_grad():
            of_parameters = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
            norms: Tensor = torch.linalg.vector_norm(torch.stack(of_parameters), dim=0)
            is_finite = norms.isfinite()
            factors = (LARGEST_NORM / (norms + 1e-6)).clamp(max=1.0)
            self.num_steps += 1
            mean_share, square_share = (1 - beta**self.num_steps for beta in BETAS)
            for name, gradient in zip(names, gradients, strict=True):
                shape = (-1, *[1] * (gradient.dim() - 1))

                def column(
                    values: Sequence[float], like: Tensor = gradient, shape: tuple[int, ...] = shape
                ) -> Tensor:
                    return torch.tensor(values, dtype=like.dtype, device=like.device).view(shape)

                gradient = gradient * factors.view(shape)
                if not is_finite.all():
                    gradient = gradient.masked_fill(~is_finite.view(shape), 0.0)
                rates = [rate * scales[name] for rate in learning_rates]
                value, mean, square = self.parameters[name], self.means[name], self.squares[name]
                if decays[name]:
                    value.mul_(column([1 - rate * decays[name] for rate in rates]))
                mean.lerp_(gradient, 1 - BETAS[0])
                square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
                spread = (square.sqrt() / square_share**0.5).add_(EPS)
                value.add_(mean * column([-rate / mean_share for rate in rates]) / spread)
        return norms
