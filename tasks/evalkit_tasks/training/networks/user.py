"""Networks of users: ``--model module:Class``.

The contract: ``Class(vocab_size, num_labels, num_layers=L, width=C)`` is a `torch.nn.Module` whose
``forward`` takes tokens ``[B, T]`` of any B and T and returns logits ``[B, T, num_labels]``, of which those
at a position depend on no later token. What is random in its initial values is torch's, so that a seed is a
network; buffers stay as they are; AdamW decays parameters of two and more dimensions outside of embeddings.
"""

import hashlib
import importlib
import inspect
import sys
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from evalkit.errors import UsageError, first_line
from evalkit_tasks.training.networks.parts import SequenceNetwork, State

_ROUNDING = 1e-3
"""By how much logits may differ where a later token does."""

_FROM_USERS = (Exception, SystemExit)
"""What a user's code may raise: anything, and `sys.exit` must not end this program without a word."""

_TRIED_TOKENS = 5
_NOISE = 0.1
"""Added to parameters before later tokens are changed: through a head that starts at 0 nothing would show."""


class UserNetwork(SequenceNetwork):
    """A user's module as a network of the probes: it reads a sequence in one piece.

    Args:
        module: see this module's contract.
        name: of its class, for messages.
    """

    is_recurrent = False

    def __init__(self, module: nn.Module, name: str) -> None:
        super().__init__()
        self.module, self.name = module, name

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits ``[B, T, K]`` and None; see `SequenceNetwork.forward`.

        Raises:
            UsageError: the user's module raised an error.
        """
        if state is not None:
            raise ValueError("a user's network reads a sequence in one piece; it was given a state")
        try:
            return cast(Tensor, self.module(ids)), None
        except _FROM_USERS as error:
            shape = list(ids.shape)
            raise UsageError(
                f"--model {self.name}: tokens of shape {shape} make it fail: {_reason(error)}"
            ) from error


def find_class(name: str) -> type[nn.Module]:
    """The class that ``module:Class`` names.

    Raises:
        UsageError: it cannot be imported, or is no `torch.nn.Module`.
    """
    module_name, _, class_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last: nothing there stands in for what is installed
    try:
        module = importlib.import_module(module_name)
    except _FROM_USERS as error:
        raise UsageError(f"--model {name}: {module_name} cannot be imported: {_reason(error)}") from error
    cls = getattr(module, class_name, None)
    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        raise UsageError(f"--model {name}: {module_name} has no torch.nn.Module named {class_name!r}")
    return cls


def source_digest(name: str) -> str:
    """SHA-256 of the file that a class is defined in: another file makes another cell.

    Raises:
        UsageError: see `find_class`; or the class has no file.
    """
    cls = find_class(name)
    try:
        source = inspect.getsourcefile(cls)
    except TypeError:
        source = None
    if source is None:
        raise UsageError(f"--model {name}: its code is in no file, so nobody could tell what was trained")
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()


def build(
    name: str, vocab_size: int, num_labels: int, *, num_layers: int, width: int, max_tokens: int
) -> UserNetwork:
    """A network of a user's class, made and tried.

    Args:
        name: ``module:Class``.
        vocab_size: how many tokens there are.
        num_labels: K.
        num_layers: of the network.
        width: channels.
        max_tokens: the longest sequence that it will read; it is tried on one of this length too.

    Raises:
        UsageError: it cannot be made, or does not keep the contract.
    """
    cls = find_class(name)
    try:
        network = UserNetwork(cls(vocab_size, num_labels, num_layers=num_layers, width=width), name)
    except _FROM_USERS as error:
        call = f"{cls.__name__}({vocab_size}, {num_labels}, num_layers={num_layers}, width={width})"
        raise UsageError(f"--model {name}: {call} fails: {_reason(error)}") from error
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UsageError(f"--model {name} has no parameter to train")
    network.eval()
    for num_tokens in dict.fromkeys((_TRIED_TOKENS, max(_TRIED_TOKENS, max_tokens))):
        _check_logits(network, vocab_size, num_labels, num_tokens)
        _check_causal(network, vocab_size, num_tokens)
    network.train()
    return network


def _check_logits(network: UserNetwork, vocab_size: int, num_labels: int, num_tokens: int) -> None:
    """Refuse what cannot be logits that are trained."""
    logits = network(_tokens(vocab_size, num_tokens))[0]
    expected = (2, num_tokens, num_labels)
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    prefix = f"--model {network.name}: "
    if shape != expected:
        raise UsageError(f"{prefix}of tokens {list(expected[:2])} it makes {shape}, not {list(expected)}")
    if not logits.is_floating_point():
        raise UsageError(f"{prefix}its logits are {logits.dtype}, not floating-point numbers")
    if not logits.requires_grad:
        raise UsageError(f"{prefix}its logits have no gradient, so nothing of it could be trained")
    if not logits.isfinite().all():
        raise UsageError(f"{prefix}its logits are not finite before any training")


@torch.no_grad()
def _check_causal(network: UserNetwork, vocab_size: int, num_tokens: int) -> None:
    """Refuse a network whose logits change where only later tokens do, parameters being moved a little."""
    ids, first = _tokens(vocab_size, num_tokens), 3 * num_tokens // 5
    changed = ids.clone()
    changed[:, first:] = (ids[:, first:] + 1) % vocab_size
    moved = {
        name: value + _NOISE * torch.randn_like(value) if value.requires_grad else value
        for name, value in network.named_parameters()
    }
    logits, after_change = (
        functional_call(network, moved, (tokens,))[0][:, :first] for tokens in (ids, changed)
    )
    if (logits - after_change).abs().max() > _ROUNDING * logits.abs().max():
        raise UsageError(
            f"--model {network.name}: what it says of a token depends on later ones; it must be causal"
        )


def _tokens(vocab_size: int, num_tokens: int) -> Tensor:
    return torch.arange(2 * num_tokens).view(2, num_tokens) % vocab_size


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__
