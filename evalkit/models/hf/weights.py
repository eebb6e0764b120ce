"""Weight files of a Hugging Face checkpoint as a model, or why they do not fit it."""

import pickle
import warnings
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel
from transformers.models.auto.auto_factory import _BaseAutoModelClass

from evalkit.errors import ModelError, first_line
from evalkit.models.hf.adapters import OF_ITS_OWN, apply_adapter, check_applied
from evalkit.models.hf.bounds import check_network_size
from evalkit.models.hf.checkpoint import Checkpoint
from evalkit.models.hf.classes import model_classes
from evalkit.models.hf.composites import encoders, without_encoders
from evalkit.models.hf.extra_tensors import ignorable
from evalkit.models.hf.files import ADAPTER_CONFIG, adapter_weights
from evalkit.models.hf.quiet import quiet
from evalkit.models.hf.spread import DeviceMap, check_fits

Report: TypeAlias = dict[str, set[str]]
"""Names of tensors by problem, as transformers reports them."""


class LoadedWeights(NamedTuple):
    """A model, and what of its files it has no use for."""

    model: PreTrainedModel
    ignored: list[str]
    """Tensors that no module has."""
    encoders: tuple[str, ...]
    """Modules of a composite that read no text, whose weights were not loaded."""


def load_weights(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    ignore_tensors: Sequence[str],
    device_map: DeviceMap | None = None,
) -> LoadedWeights:
    """The model with its weights, as the first of the classes for its config that they fit.

    Args:
        checkpoint: what is loaded.
        dtype: of the weights.
        ignore_tensors: patterns of names of tensors that the model does not need.
        device_map: where its modules go; None: to the CPU.

    Raises:
        ModelError: the weights are damaged, fit none of the classes, or do not fit into the GPUs' memory.
    """
    problem = None
    for auto_class in model_classes(checkpoint.config, checkpoint.trust_remote_code):
        model, report = _read_weights(checkpoint, auto_class, dtype, device_map)
        not_loaded = tuple(f"{name}." for name in encoders(model))
        unexpected = {
            name
            for name in report["unexpected_keys"]
            if isinstance(name, str) and not name.startswith(not_loaded)
        }
        ignored = ignorable(unexpected, checkpoint.config, ignore_tensors)
        report["unexpected_keys"] = unexpected - set(ignored)
        misfit = _misfit(report)
        if misfit is None:
            check_fits(model, checkpoint.identity.name)
            _apply_adapters(model, checkpoint)
            return LoadedWeights(model, ignored, tuple(encoders(model)))
        problem = problem or f"the weights in {checkpoint.folder} do not fit {type(model).__name__}: {misfit}"
        if checkpoint.identity.details.get("adapter") and not checkpoint.adapter:
            problem += f"; {OF_ITS_OWN}"
    raise ModelError(f"{checkpoint.identity.name}: {problem}")


def _apply_adapters(model: PreTrainedModel, checkpoint: Checkpoint) -> None:
    name = checkpoint.identity.name
    if checkpoint.adapter:
        with quiet():
            apply_adapter(model, checkpoint.adapter, name)
    for file in adapter_weights((ADAPTER_CONFIG, *checkpoint.weight_names)):
        # It lies beside the weights: transformers has applied it.
        check_applied(model, checkpoint.fetch_weights() / file, name)


def _read_weights(
    checkpoint: Checkpoint,
    auto_class: type[_BaseAutoModelClass],
    dtype: torch.dtype,
    device_map: DeviceMap | None,
) -> tuple[PreTrainedModel, Report]:
    name = checkpoint.identity.name
    try:
        with quiet(), warnings.catch_warnings():
            # Of having no GPU: transformers imports it, and evalkit does without (see `torch_path`).
            warnings.filterwarnings("ignore", module=r"fla\.")
            # Before what may be many gigabytes is fetched.
            check_network_size(
                checkpoint.config,
                auto_class,
                checkpoint.num_weight_bytes(),
                name,
                trust_remote_code=checkpoint.trust_remote_code,
            )
            folder = checkpoint.fetch_weights()
            model_class = without_encoders(auto_class, checkpoint.config)
            model, report = model_class.from_pretrained(
                folder,
                config=checkpoint.config,
                dtype=dtype,
                device_map=device_map,
                trust_remote_code=checkpoint.trust_remote_code,
                local_files_only=True,
                weights_only=True,
                ignore_mismatched_sizes=True,  # they are reported, and refused with their names
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise ModelError(
            f"{name}: damaged weights in {checkpoint.folder} ({first_line(error)}); download them again"
        ) from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{name}: the .bin weights in {checkpoint.folder} are damaged or hold more than tensors; "
            "such files are not run, use safetensors"
        ) from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ModelError(f"{name}: cannot be loaded from {checkpoint.folder}: {first_line(error)}") from error
    return model, report


def _misfit(report: Report) -> str | None:
    """How weights do not fit a model, with a few of their names."""
    for problem in ("missing", "unexpected", "mismatched"):
        keys = sorted(key if isinstance(key, str) else key[0] for key in report[f"{problem}_keys"])
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            advice = ""
            if problem == "unexpected":
                advice = (
                    "; pass --ignore-tensors with their names or a pattern if the model does not need them"
                )
            return f"{problem} {', '.join(keys[:3])}{more}{advice}"
    return None
