"""The networks that can be probed, by name.

All are causal sequence networks from tokens to labels (`SequenceNetwork`), made of the published layers at a
size that a CPU trains in a minute. Differences of size and of everything outside the layer that moves
information along time are kept small, so that the layer is what is compared.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from evalkit.errors import UsageError, unknown_name

if TYPE_CHECKING:  # torch takes a second to import, and names need none of it
    from evalkit_tasks.training.networks.parts import SequenceNetwork

EIGENVALUES = ("off", "stable", "full")
"""``--negative-eigenvalues``: which eigenvalues a linear recurrence's transition may have.

``off`` is each architecture as published. ``full`` doubles the removal (RWKV-7: c = 2; DeltaNet: beta up to
2) or spans the decay over [-1, 1] (Mamba-2). ``stable`` is RWKV-7 with c = 1 + exp(-exp(-0.5)) = 1.5452, the
largest at which no eigenvalue falls below -1. See `evalkit.models.rwkv7.network.REMOVAL_STRENGTHS`.
"""

_RWKV7_NAMES = {"off": "rwkv7 c=1", "stable": "rwkv7 c=1.5452", "full": "rwkv7 c=2"}


class NetworkOptions(NamedTuple):
    """Everything that a network is made from."""

    vocab_size: int
    num_labels: int
    num_layers: int
    width: int
    head_size: int
    negative_eigenvalues: str
    max_tokens: int
    """The longest sequence that will be read; for learned positions."""
    seed: int = 0


class Architecture(NamedTuple):
    """A kind of network."""

    build: Callable[[NetworkOptions], "SequenceNetwork"]
    learning_rate: float
    """What trains it well at width 64."""
    eigenvalues: tuple[str, ...] = ("off",)
    """The `EIGENVALUES` that it can have."""
    head_multiple: int = 1
    """A head's channels are a multiple of this: rotations take pairs, and a norm over one channel gives 0."""
    is_batched: bool = False
    """Whether several of it are computed in one pass; see `evalkit_tasks.training.networks.stack`."""


def build_network(name: str, options: NetworkOptions) -> "SequenceNetwork":
    """A freshly initialised network; the same seed gives the same weights.

    Raises:
        UsageError: an unknown name, sizes that do not fit, or eigenvalues that the architecture cannot have.
    """
    import torch

    architecture = find_architecture(name, options.negative_eigenvalues)
    check_sizes(name, options.num_layers, options.width, options.head_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        return architecture.build(options)


def check_sizes(name: str, num_layers: int, width: int, head_size: int) -> None:
    """Refuse sizes that no network of this architecture can have.

    Raises:
        UsageError: they are such sizes.
    """
    if num_layers < 1 or head_size < 1 or width < 1 or width % head_size:
        raise UsageError(
            f"{num_layers} layers of width {width} in heads of {head_size} cannot be built; "
            "give at least 1 layer and a width that is a multiple of the head size"
        )
    multiple = ARCHITECTURES[name].head_multiple
    if head_size % multiple:
        raise UsageError(
            f"{name} cannot have heads of {head_size}; give --head-size a multiple of {multiple}"
        )


def find_architecture(name: str, negative_eigenvalues: str = "off") -> Architecture:
    """The architecture of a name.

    Raises:
        UsageError: an unknown name, or eigenvalues that the architecture cannot have.
    """
    if name not in ARCHITECTURES:
        raise unknown_name("model", name, ARCHITECTURES, f"Known: {', '.join(ARCHITECTURES)}.")
    architecture = ARCHITECTURES[name]
    if negative_eigenvalues not in EIGENVALUES:
        raise unknown_name(
            "--negative-eigenvalues", negative_eigenvalues, EIGENVALUES, f"Known: {', '.join(EIGENVALUES)}."
        )
    if negative_eigenvalues not in architecture.eigenvalues:
        raise UsageError(
            f"{name} has no variant with --negative-eigenvalues {negative_eigenvalues}; "
            f"it has: {', '.join(architecture.eigenvalues)}"
        )
    return architecture


def display_name(name: str, negative_eigenvalues: str) -> str:
    """A network's name as tables print it, with the range of eigenvalues where it is a choice."""
    if name == "rwkv7":
        return _RWKV7_NAMES[negative_eigenvalues]
    if len(ARCHITECTURES[name].eigenvalues) == 1:
        return name
    return name + {"off": "[0,1]", "full": "[-1,1]"}[negative_eigenvalues]


def _rwkv7(options: NetworkOptions) -> "SequenceNetwork":
    from evalkit.models.rwkv7.network import REMOVAL_STRENGTHS
    from evalkit_tasks.training.networks.rwkv7 import RWKV7Network

    return RWKV7Network(
        options.vocab_size,
        options.num_labels,
        num_layers=options.num_layers,
        width=options.width,
        head_size=options.head_size,
        removal_strength=REMOVAL_STRENGTHS[options.negative_eigenvalues],
        seed=options.seed,
    )


def _transformer(positions: str) -> Callable[[NetworkOptions], "SequenceNetwork"]:
    def build(options: NetworkOptions) -> "SequenceNetwork":
        from evalkit_tasks.training.networks.attention import Transformer

        return Transformer(
            options.vocab_size,
            options.num_labels,
            num_layers=options.num_layers,
            width=options.width,
            head_size=options.head_size,
            positions=positions,  # type: ignore[arg-type]
            num_positions=options.max_tokens,
        )

    return build


def _torch_recurrent(cell: str) -> Callable[[NetworkOptions], "SequenceNetwork"]:
    def build(options: NetworkOptions) -> "SequenceNetwork":
        from torch import nn

        from evalkit_tasks.training.networks.recurrent import TorchRecurrent

        return TorchRecurrent(
            getattr(nn, cell), options.vocab_size, options.num_labels, options.num_layers, options.width
        )

    return build


def _stack(mixer: str, hidden_factor: float) -> Callable[[NetworkOptions], "SequenceNetwork"]:
    def build(options: NetworkOptions) -> "SequenceNetwork":
        from evalkit_tasks.training.networks.linear import DeltaNet, Mamba2, RetNet
        from evalkit_tasks.training.networks.parts import Mixer, ResidualStack
        from evalkit_tasks.training.networks.recurrent import SLSTM

        width, head_size, full = options.width, options.head_size, options.negative_eigenvalues == "full"
        makers: dict[str, Callable[[], Mixer]] = {
            "deltanet": lambda: DeltaNet(width, head_size, beta_bound=2.0 if full else 1.0),
            "mamba2": lambda: Mamba2(width, head_size, state_size=2 * head_size, signed=full),
            "retnet": lambda: RetNet(width, head_size),
            "slstm": lambda: SLSTM(width, head_size),
        }
        return ResidualStack(
            options.vocab_size,
            options.num_labels,
            [makers[mixer]() for _ in range(options.num_layers)],
            width=width,
            hidden=int(hidden_factor * width),
        )

    return build


ARCHITECTURES: dict[str, Architecture] = {
    "rwkv7": Architecture(_rwkv7, 4e-3, EIGENVALUES, head_multiple=2),
    "deltanet": Architecture(_stack("deltanet", 2), 2e-3, ("off", "full")),
    "mamba2": Architecture(_stack("mamba2", 0), 2e-3, ("off", "full"), is_batched=True),
    "retnet": Architecture(_stack("retnet", 2), 1e-3, head_multiple=2, is_batched=True),
    "transformer-rope": Architecture(_transformer("rope"), 1e-3, head_multiple=2),
    "transformer-nope": Architecture(_transformer("nope"), 1e-3),
    "transformer-learned": Architecture(_transformer("learned"), 1e-3),
    "lstm": Architecture(_torch_recurrent("LSTM"), 4e-3),
    "gru": Architecture(_torch_recurrent("GRU"), 4e-3),
    "slstm": Architecture(_stack("slstm", 4 / 3), 2e-3, is_batched=True),
}
