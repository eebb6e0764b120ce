"""Models whose layers are spread over several GPUs, by accelerate's hooks."""

import torch
from transformers import PreTrainedModel

from evalkit.errors import ModelError

DeviceMap = str | dict[str, str]
"""As `transformers.PreTrainedModel.from_pretrained` takes it: ``auto``, or a device for each module."""


def device_map_of(name: str | None, device: torch.device) -> DeviceMap | None:
    """What transformers is given for ``--device-map``; None: nothing, and the model is moved as a whole.

    Args:
        name: of the map, see `evalkit.models.device_maps.DEVICE_MAPS`; None: there is none.
        device: where the model would be without it; on the CPU it is all there.
    """
    if name is None or device.type == "cuda":
        return name
    return {"": str(device)}


def is_spread(model: PreTrainedModel) -> bool:
    """Whether a model is on several devices."""
    return len(_places(model)) > 1


def check_fits(model: PreTrainedModel, name: str) -> None:
    """Refuse a model that was spread beyond the GPUs: what is left on the CPU or disk moves for each batch.

    Raises:
        ModelError: a part of it is not on a GPU.
    """
    elsewhere = sorted(_places(model) & {"cpu", "disk"})
    if is_spread(model) and elsewhere:
        raise ModelError(
            f"{name}: does not fit into the memory of the GPUs that there are, parts of it would be on "
            f"{' and '.join(elsewhere)}; give more GPUs, or a --dtype of 16 bits"
        )


def _places(model: PreTrainedModel) -> set[str]:
    return {str(place) for place in (getattr(model, "hf_device_map", None) or {}).values()}
