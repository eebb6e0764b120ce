"""PEFT adapters: changes of a model's weights (LoRA, DoRA, IA3, …) that are published without the model.

An adapter is named with its model, ``hf:BASE+ADAPTER``, or lies beside the model's own files, where
transformers applies it. Its files are in the key as the model's are. It is applied and not merged, so that
nothing is rounded to the model's precision; only an output head that it changes is merged, as the head's
weights are what is scored with.
"""

import hashlib
import warnings
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel

from evalkit.errors import ModelError, first_line
from evalkit.files import parse_json
from evalkit.models.hf.files import (
    ADAPTER_CONFIG,
    CheckpointFolder,
    adapter_weights,
    check_peft,
    small_files,
)
from evalkit.models.hub import download
from evalkit.models.model_files import ModelFile

OF_ITS_OWN = "put the adapter into a folder of its own and name it: hf:MODEL+ADAPTER"
"""What to do with an adapter beside the weights that transformers does not apply as peft does (DoRA)."""
_OF_PROMPTS = {
    "PROMPT_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "P_TUNING",
    "PREFIX_TUNING",
    "ADAPTION_PROMPT",
    "CPT",
    "CARTRIDGE",
}
"""Kinds that leave the weights as they are and put vectors before the text."""


class Adapter(NamedTuple):
    """An adapter that is about to be applied to another model's weights."""

    place: CheckpointFolder
    weights: str
    """The name of its weight file."""
    label: str
    """What a cell calls it: ``owner/name@commit``, or the folder's name."""
    base: str | None
    """The model that it was trained on, as its config names it."""

    def files(self) -> list[ModelFile]:
        """What is read of it, each under ``adapter/``."""
        files = [self.place.file(name) for name in (ADAPTER_CONFIG, self.weights)]
        return [file._replace(name=f"adapter/{file.name}") for file in files]

    def fetch(self) -> Path:
        """The folder with both of its files."""
        snapshot = self.place.snapshot
        if snapshot is None:
            return self.place.folder
        return download(snapshot.repo, snapshot.commit, [ADAPTER_CONFIG, self.weights])

    def details(self, model_target: str) -> dict[str, str]:
        """What a cell says of it; also on which model it was trained, if that has another name.

        Args:
            model_target: path or repository of the model that it is applied to.
        """
        names = [Path(name).name.casefold() for name in (model_target, self.base or model_target)]
        trained_on = (
            {} if self.base is None or names[0] == names[1] else {"adapter_base": Path(self.base).name}
        )
        if trained_on and not Path(self.base or "").is_absolute():
            trained_on = {"adapter_base": str(self.base)}
        return {"adapter": self.label, **trained_on}


def open_adapter(target: str, name: str) -> Adapter:
    """Read an adapter's small files; nothing is loaded.

    Args:
        target: absolute path of a folder, or ``owner/name`` or ``owner/name@REVISION``.
        name: the model's name, for messages.

    Raises:
        ModelError: there is no adapter, it changes no weights, or peft is not installed.
    """
    repo, _, revision = (target, "", "") if Path(target).is_absolute() else target.partition("@")
    place = CheckpointFolder(*small_files(repo, revision or "main", name))
    names = place.names()
    weights = adapter_weights(names)
    if not weights:
        lacks = ADAPTER_CONFIG if ADAPTER_CONFIG not in names else "adapter_model.safetensors"
        raise ModelError(f"{name}: {target} is no PEFT adapter: it has no {lacks}")
    path = place.folder / ADAPTER_CONFIG
    try:
        config = parse_json(path.read_text(encoding="utf-8"))
        kind, base = str(config["peft_type"]), config.get("base_model_name_or_path")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{name}: {path} is no adapter's config; fetch it again") from error
    if kind in _OF_PROMPTS:
        raise ModelError(
            f"{name}: {target} is of the kind {kind}, which puts vectors before a text and changes no "
            "weights; evalkit applies adapters that do (LoRA, DoRA, IA3, …)"
        )
    check_peft(name)
    label = place.folder.name if place.snapshot is None else f"{repo}@{place.snapshot.commit}"
    return Adapter(place, weights[0], label, str(base) if base else None)


def apply_adapter(model: PreTrainedModel, adapter: Adapter, name: str) -> None:
    """Change a model by an adapter, in place.

    Raises:
        ModelError: it does not fit the model, or its files are damaged.
    """
    import peft

    folder = adapter.fetch()
    trained_on = f"; it was trained on {adapter.base}" if adapter.base else ""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            peft.PeftModel.from_pretrained(model, str(folder))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelError(
            f"{name}: the adapter {adapter.label} does not fit the model: {first_line(error)}{trained_on}"
        ) from error
    if any("missing adapter keys" in str(warning.message) for warning in caught):
        raise ModelError(
            f"{name}: the adapter {adapter.label} does not fit the model, which has places that the adapter "
            f"has no weights for{trained_on}"
        )
    check_applied(model, folder / adapter.weights, name)


def check_applied(model: PreTrainedModel, weights: Path, name: str) -> None:
    """Refuse an adapter of which some tensors are not in the model; its head is made a plain one.

    Raises:
        ModelError: a tensor is not there.
    """
    tensors = _read(weights)
    shapes = {tensor.shape for tensor in tensors.values()}
    present: dict[torch.dtype, set[str]] = {}
    for parameter in model.parameters():
        if parameter.shape in shapes:
            present.setdefault(parameter.dtype, set()).add(_digest(parameter, parameter.dtype))
    absent = [
        key
        for key, tensor in tensors.items()
        if not any(_digest(tensor, dtype) in digests for dtype, digests in present.items())
    ]
    if absent:
        raise ModelError(
            f"{name}: {absent[0]} and {len(absent) - 1} more of {len(tensors)} tensors of the adapter "
            f"{weights.name} were not applied; {OF_ITS_OWN}"
        )
    _make_head_plain(model)


def _make_head_plain(model: PreTrainedModel) -> None:
    """Put what an adapter makes of the output head into one matrix."""
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import ModulesToSaveWrapper

    head = model.get_output_embeddings()
    if isinstance(head, ModulesToSaveWrapper):
        model.set_output_embeddings(head.modules_to_save[head.active_adapter])
    elif isinstance(head, BaseTunerLayer):
        base = head.get_base_layer()
        base.weight = nn.Parameter(base.weight.detach().clone())  # it may be the embedding, too
        head.merge(safe_merge=True)
        model.set_output_embeddings(base)


def _read(weights: Path) -> dict[str, Tensor]:
    if weights.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(weights)
    loaded: dict[str, Tensor] = torch.load(weights, map_location="cpu", weights_only=True)
    return loaded


def _digest(tensor: Tensor, dtype: torch.dtype) -> str:
    """Of shape and content, as they are in a precision."""
    content = tensor.detach().to(dtype).float().cpu().contiguous().numpy().tobytes()
    return f"{tuple(tensor.shape)} {hashlib.sha1(content, usedforsecurity=False).hexdigest()}"
