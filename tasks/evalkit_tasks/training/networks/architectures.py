"""The networks that can be probed, by name.

All are causal sequence networks from tokens to labels (`SequenceNetwork`), made of the published layers at a
size that a CPU trains in a minute. Differences of size and of everything outside the layer that moves
information along time are kept small, so that the layer is what is compared.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from evalkit.errors import UsageError, unknown_name

if TYPE_CHECKING:  # torch takes a second to import, and names need none of it
    from evalkit_tasks.training.networks.parts import Mixer, SequenceNetwork

EIGENVALUES = ("off", "stable", "full")
"""``--negative-eigenvalues``: which eigenvalues a linear recurrence's transition may have.

``off`` is each architecture as published. ``full`` doubles the removal (RWKV-7: c = 2; delta rules: beta up
to 2) or spans the decay over [-1, 1] (Mamba-1 and -2). ``stable`` is RWKV-7 with c = 1 + exp(-exp(-0.5)) =
1.5452, the largest at which no eigenvalue falls below -1. See
`evalkit.models.rwkv7.network.REMOVAL_STRENGTHS`.
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


Builder = Callable[[NetworkOptions], "SequenceNetwork"]


class Architecture(NamedTuple):
    """A kind of network."""

    build: Builder
    learning_rate: float
    """What trains it well at width 64."""
    eigenvalues: tuple[str, ...] = ("off",)
    """The `EIGENVALUES` that it can have."""
    head_multiple: int = 1
    """A head's channels are a multiple of this: rotations take pairs, and a norm over one channel gives 0."""
    is_batched: bool = True
    """Whether several of it are computed in one pass; see `evalkit_tasks.training.networks.stack`."""
    version: int = 1
    """Changes whenever the same parameters would compute something else; from 2 on part of a cell's key."""


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
    multiple = find_architecture(name).head_multiple
    if head_size % multiple:
        raise UsageError(
            f"{name} cannot have heads of {head_size}; give --head-size a multiple of {multiple}"
        )


def find_architecture(name: str, negative_eigenvalues: str = "off") -> Architecture:
    """The architecture of a name.

    Raises:
        UsageError: an unknown name, or eigenvalues that the architecture cannot have.
    """
    if name not in ARCHITECTURES and not is_users(name):
        hint = f"Known: {', '.join(ARCHITECTURES)}; module:Class is a network of your own."
        raise unknown_name("model", name, ARCHITECTURES, hint)
    users = Architecture(_users(name), 1e-3, is_batched=False)
    architecture = users if is_users(name) else ARCHITECTURES[name]
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
    if is_users(name) or len(ARCHITECTURES[name].eigenvalues) == 1:
        return name
    return name + {"off": "[0,1]", "full": "[-1,1]"}[negative_eigenvalues]


def is_users(name: str) -> bool:
    """Whether a name is that of a user's network: `evalkit_tasks.training.networks.user`."""
    return ":" in name


class _Sizes(TypedDict):
    num_layers: int
    width: int
    head_size: int


def _sizes(options: NetworkOptions) -> _Sizes:
    """What all networks of heads are given by name."""
    return {"num_layers": options.num_layers, "width": options.width, "head_size": options.head_size}


def _users(name: str) -> Builder:
    def build(options: NetworkOptions) -> "SequenceNetwork":
        from evalkit_tasks.training.networks import user

        return user.build(
            name,
            options.vocab_size,
            options.num_labels,
            num_layers=options.num_layers,
            width=options.width,
            max_tokens=options.max_tokens,
        )

    return build


def _early_rwkv(version: int) -> Builder:
    def build(options: NetworkOptions) -> "SequenceNetwork":
        from evalkit_tasks.training.networks.rwkv_early import EarlyRWKV

        return EarlyRWKV(
            options.vocab_size,
            options.num_labels,
            version=version,
            **_sizes(options),
        )

    return build


def _rwkv7(options: NetworkOptions) -> "SequenceNetwork":
    from evalkit.models.rwkv7.network import REMOVAL_STRENGTHS
    from evalkit_tasks.training.networks.rwkv7 import RWKV7Network

    return RWKV7Network(
        options.vocab_size,
        options.num_labels,
        removal_strength=REMOVAL_STRENGTHS[options.negative_eigenvalues],
        seed=options.seed,
        **_sizes(options),
    )


def _transformer(positions: str) -> Callable[[NetworkOptions], "SequenceNetwork"]:
    def build(options: NetworkOptions) -> "SequenceNetwork":
        from evalkit_tasks.training.networks.attention import Transformer

        return Transformer(
            options.vocab_size,
            options.num_labels,
            positions=positions,  # type: ignore[arg-type]
            num_positions=options.max_tokens,
            **_sizes(options),
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


def _stack(make: "Callable[[NetworkOptions, bool], Mixer]", hidden_factor: float) -> Builder:
    """A builder of residual stacks of one kind of layer.

    Args:
        make: a layer; the flag says whether its eigenvalues may be negative.
        hidden_factor: width of the feed-forward layers, as a multiple of the network's; 0 for none.
    """

    def build(options: NetworkOptions) -> "SequenceNetwork":
        from evalkit_tasks.training.networks.parts import ResidualStack

        is_signed = options.negative_eigenvalues == "full"
        return ResidualStack(
            options.vocab_size,
            options.num_labels,
            [make(options, is_signed) for _ in range(options.num_layers)],
            width=options.width,
            hidden=int(hidden_factor * options.width),
        )

    return build


def _deltanet(options: NetworkOptions, is_signed: bool) -> "Mixer":
    from evalkit_tasks.training.networks.delta import DeltaNet

    return DeltaNet(options.width, options.head_size, beta_bound=2.0 if is_signed else 1.0)


def _delta_product(num_products: int, *, gated: bool) -> "Callable[[NetworkOptions, bool], Mixer]":
    def make(options: NetworkOptions, is_signed: bool) -> "Mixer":
        from evalkit_tasks.training.networks.delta import GatedDeltaProduct

        return GatedDeltaProduct(
            options.width,
            options.head_size,
            num_products=num_products,
            beta_bound=2.0 if is_signed else 1.0,
            gated=gated,
        )

    return make


def _mamba1(options: NetworkOptions, is_signed: bool) -> "Mixer":
    from evalkit_tasks.training.networks.mamba import Mamba1

    return Mamba1(options.width, state_size=options.head_size, signed=is_signed)


def _mamba2(options: NetworkOptions, is_signed: bool) -> "Mixer":
    from evalkit_tasks.training.networks.mamba import Mamba2

    return Mamba2(options.width, options.head_size, state_size=2 * options.head_size, signed=is_signed)


def _mamba3(options: NetworkOptions, _is_signed: bool) -> "Mixer":
    from evalkit_tasks.training.networks.mamba import Mamba3

    return Mamba3(options.width, options.head_size, state_size=2 * options.head_size)


def _retnet(options: NetworkOptions, _is_signed: bool) -> "Mixer":
    from evalkit_tasks.training.networks.linear import RetNet

    return RetNet(options.width, options.head_size)


def _slstm(options: NetworkOptions, _is_signed: bool) -> "Mixer":
    from evalkit_tasks.training.networks.xlstm import SLSTM

    return SLSTM(options.width, options.head_size)


def _mlstm(options: NetworkOptions, _is_signed: bool) -> "Mixer":
    from evalkit_tasks.training.networks.xlstm import MLSTM

    return MLSTM(options.width, options.head_size)


def _titans(options: NetworkOptions, _is_signed: bool) -> "Mixer":
    from evalkit_tasks.training.networks.titans import TitansMemory

    return TitansMemory(options.width, options.head_size)


_BOTH = ("off", "full")
ARCHITECTURES: dict[str, Architecture] = {
    "rwkv7": Architecture(_rwkv7, 4e-3, EIGENVALUES, head_multiple=2),
    "rwkv4": Architecture(_early_rwkv(4), 2e-3),
    "rwkv5": Architecture(_early_rwkv(5), 2e-3, head_multiple=2),
    "rwkv6": Architecture(_early_rwkv(6), 2e-3, head_multiple=2),
    "deltanet": Architecture(_stack(_deltanet, 2), 2e-3, _BOTH),
    "gated-deltanet": Architecture(_stack(_delta_product(1, gated=True), 2), 2e-3, _BOTH),
    "deltaproduct-2": Architecture(_stack(_delta_product(2, gated=False), 2), 2e-3, _BOTH),
    "deltaproduct-3": Architecture(_stack(_delta_product(3, gated=False), 2), 2e-3, _BOTH),
    "deltaproduct-4": Architecture(_stack(_delta_product(4, gated=False), 2), 2e-3, _BOTH),
    "gated-deltaproduct-2": Architecture(_stack(_delta_product(2, gated=True), 2), 2e-3, _BOTH),
    "gated-deltaproduct-4": Architecture(_stack(_delta_product(4, gated=True), 2), 2e-3, _BOTH),
    "mamba1": Architecture(_stack(_mamba1, 0), 2e-3, _BOTH),
    "mamba2": Architecture(_stack(_mamba2, 0), 2e-3, _BOTH),
    "mamba3": Architecture(_stack(_mamba3, 2), 2e-3),
    "titans": Architecture(_stack(_titans, 2), 2e-3, head_multiple=2),
    "retnet": Architecture(_stack(_retnet, 2), 1e-3, head_multiple=2),
    "transformer-rope": Architecture(_transformer("rope"), 1e-3, head_multiple=2, is_batched=False),
    "transformer-nope": Architecture(_transformer("nope"), 1e-3, is_batched=False),
    "transformer-learned": Architecture(_transformer("learned"), 1e-3, is_batched=False),
    "lstm": Architecture(_torch_recurrent("LSTM"), 4e-3, is_batched=False),
    "gru": Architecture(_torch_recurrent("GRU"), 4e-3, is_batched=False),
    "slstm": Architecture(_stack(_slstm, 4 / 3), 2e-3, version=2),
    "mlstm": Architecture(_stack(_mlstm, 8 / 3), 2e-3, head_multiple=2),
}
