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

from evalkit.errors import UsageError, first_line
from evalkit_tasks.training.networks.parts import SequenceNetwork, State

_ROUNDING = 1e-3
"""By how much logits may differ where a later token does."""


class UserNetwork(SequenceNetwork):
    """A user's module as a network of the probes: it reads a sequence in one piece.

    Args:
        module: see this module's contract.
    """

    is_recurrent = False

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits ``[B, T, K]`` and None; see `SequenceNetwork.forward`."""
        if state is not None:
            raise ValueError("a user's network reads a sequence in one piece; it was given a state")
        return cast(Tensor, self.module(ids)), None


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
    except Exception as error:  # whatever a user's module does when it is imported
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


def build(name: str, vocab_size: int, num_labels: int, *, num_layers: int, width: int) -> UserNetwork:
    """A network of a user's class, made and tried once.

    Raises:
        UsageError: it cannot be made, or does not keep the contract.
    """
    cls = find_class(name)
    try:
        network = UserNetwork(cls(vocab_size, num_labels, num_layers=num_layers, width=width))
    except Exception as error:  # whatever a user's class does
        call = f"{cls.__name__}({vocab_size}, {num_labels}, num_layers={num_layers}, width={width})"
        raise UsageError(f"--model {name}: {call} fails: {_reason(error)}") from error
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UsageError(f"--model {name} has no parameter to train")
    _try(name, network, vocab_size, num_labels)
    return network


@torch.no_grad()
def _try(name: str, network: UserNetwork, vocab_size: int, num_labels: int) -> None:
    """Give the network two sequences that differ in their last tokens."""
    ids = torch.arange(10).view(2, 5) % vocab_size
    changed = ids.clone()
    changed[:, 3:] = (ids[:, 3:] + 1) % vocab_size
    network.eval()
    try:
        logits, changed_logits = network(ids)[0], network(changed)[0]
    except Exception as error:  # whatever a user's class does
        raise UsageError(f"--model {name}: tokens of shape [2, 5] make it fail: {_reason(error)}") from error
    finally:
        network.train()
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (2, 5, num_labels):
        raise UsageError(f"--model {name}: of tokens [2, 5] it makes {shape}, not [2, 5, {num_labels}]")
    if not logits.isfinite().all():
        raise UsageError(f"--model {name}: its logits are not finite before any training")
    if (logits[:, :3] - changed_logits[:, :3]).abs().max() > _ROUNDING * logits.abs().max():
        raise UsageError(f"--model {name}: what it says of a token depends on later ones; it must be causal")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}" if str(error) else type(error).__name__
