"""A network without values, to be filled from a file."""

import torch

from evalkit.models.initialisation import Uninitialised
from evalkit.models.rwkv7.network import RWKV7, NetworkShape


def network_skeleton(shape: NetworkShape, removal_strength: float = 1.0) -> RWKV7:
    """A network whose parameters have shapes and no values: all of them are on the device ``meta``.

    Args:
        shape: of all parameters.
        removal_strength: see `evalkit.models.rwkv7.network.REMOVAL_STRENGTHS`.
    """
    with torch.device("meta"), Uninitialised():
        return RWKV7(shape, removal_strength)
