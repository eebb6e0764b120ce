"""Pickled tensors that claim more than their file holds."""

import resource
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from evalkit.errors import ModelError
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from evalkit.models.rwkv7.checkpoint import read_tensors
from evalkit.models.weight_headers import summarise_weights
from tests.support.rwkv7_files import TINY, random_tensors

SHAPE = (65536, 10**7)
"""2.4 TB of float32."""


def claims(kind: str) -> dict[str, Tensor]:
    tensors = dict(random_tensors(vocab_size=256, num_channels=64))
    if kind == "stride 0":
        tensors["emb.weight"] = torch.zeros(1).as_strided(SHAPE, (0, 0))
    elif kind == "overlap":
        tensors["emb.weight"] = torch.zeros(70000).as_strided((65536, 4096), (1, 1))
    elif kind == "many names":
        block = torch.randn(1 << 20)
        tensors |= {f"blocks.{layer}.att.x_r": block for layer in range(2000)}
    elif kind == "sparse":
        tensors["emb.weight"] = torch.sparse_coo_tensor(
            torch.zeros(2, 1, dtype=torch.long), [1.0], SHAPE, check_invariants=True
        )
    elif kind == "meta":
        tensors["emb.weight"] = torch.empty(SHAPE, device="meta")
    return tensors


@pytest.mark.parametrize("kind", ["stride 0", "overlap", "many names", "sparse", "meta"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_tensors_that_claim_more_than_the_file_holds(tmp_path: Path, kind: str, is_zip: bool) -> None:
    path = tmp_path / "model.pth"
    torch.save(OrderedDict(claims(kind)), path, _use_new_zipfile_serialization=is_zip)
    assert path.stat().st_size < 10 * 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"model\.pth"):
        [located] = locate_models([f"rwkv7:{path}"], LoadOptions(device="cpu"))
        located.load()
    assert summarise_weights([path]) is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 2**10


def test_weights_that_two_names_share_are_stored() -> None:
    assert read_tensors(TINY)["emb.weight"].numel() > 0


def test_a_tied_head_is_read(tmp_path: Path) -> None:
    tensors = random_tensors(vocab_size=256, num_channels=64)
    tensors["head.weight"] = tensors["emb.weight"]
    torch.save(tensors, tmp_path / "tied.pth")
    read = read_tensors(tmp_path / "tied.pth")
    assert torch.equal(read["head.weight"], tensors["emb.weight"])
