"""Checkpoints without ``blocks.0.ln0``: the embedding was normalised once, when the file was written.

``ln0`` is applied to nothing but rows of the embedding, so some converters store its outputs and leave it
out. Whether a table is such outputs shows: of a row x with the norm's weight w and bias b, (x - b) / w has
the mean 0, so all rows lie on one hyperplane, and a table that was trained without lies on none.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from evalkit.errors import ModelError
from evalkit.models.rwkv7.network import RWKV7, Block

_NAMES = ("blocks.0.ln0.weight", "blocks.0.ln0.bias")
_FLATNESS = 2**-7
"""Least to median spread of normalised rows that were rounded to bfloat16: 2**-9."""


def without_embedding_norm(
    network: RWKV7, tensors: Mapping[str, Tensor], path: Path, *, norm_first: object
) -> None:
    """Take the norm of the embedding out of a network whose checkpoint has none.

    Args:
        network: of the checkpoint's shape; changed in place.
        tensors: of the checkpoint, by official names.
        path: what messages call it.
        norm_first: what ``config.json`` says: False means that there is no such norm; None: nothing.

    Raises:
        ModelError: there is one although the config denies it, or none although the embedding needs one.
    """
    present = [name for name in _NAMES if name in tensors]
    if present:
        if norm_first is False:
            raise ModelError(
                f"{path}: config.json says norm_first false, and the file has {present[0]}; "
                "fetch both from one place"
            )
        return
    embedding = tensors["emb.weight"]
    if norm_first is not False and not is_normalised(embedding):
        raise ModelError(
            f"{path}: {_NAMES[0]} is missing, and the embedding is not what such a norm gives: "
            "it cannot have been folded in; fetch the file again, or convert it again with ln0"
        )
    cast(Block, network.blocks[0]).ln0 = nn.Identity()


def embedding_note(network: RWKV7) -> dict[str, str]:
    """What a cell says of a network's embedding; nothing where the network normalises it."""
    has_norm = not isinstance(cast(Block, network.blocks[0]).ln0, nn.Identity)
    return {} if has_norm else {"embedding": "normalised in the file, which has no ln0"}


def is_normalised(embedding: Tensor) -> bool:
    """Whether all rows of a table, ``[V, C]``, lie on one hyperplane, as outputs of a LayerNorm do.

    False where the table has too few rows to tell.
    """
    vocab_size, num_channels = embedding.shape
    rows = embedding[:: max(1, vocab_size // (4 * num_channels))].double()
    if len(rows) <= num_channels + 1:
        return False
    centred = rows - rows.mean(0)
    scaled = centred / centred.std(0).clamp_min(torch.finfo(torch.float64).tiny)
    spreads = torch.linalg.eigvalsh(scaled.T @ scaled / len(rows)).clamp_min(0).sqrt()
    return bool(spreads[0] <= _FLATNESS * spreads.median())
