"""Composite checkpoints (Mistral 3, Gemma 3, Qwen-VL, …) without the weights of what encodes images or sound.

What reads no text is a model of its own inside of the composite, with a config of its own. Its modules are
made, as code may ask them for settings, and their weights are not: they stay in the file.
"""

from typing import TypeAlias

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.auto_factory import _BaseAutoModelClass

ModelClass: TypeAlias = type[PreTrainedModel] | type[_BaseAutoModelClass]


def without_encoders(auto_class: type[_BaseAutoModelClass], config: PreTrainedConfig) -> ModelClass:
    """A class whose ``from_pretrained`` is that of ``auto_class``, but for the encoders of a composite.

    Args:
        auto_class: one that can load the config.
        config: of the checkpoint.
    """
    encoder_configs = _encoder_configs(config)
    mapping = auto_class._model_mapping
    if not encoder_configs or type(config) not in mapping:
        return auto_class
    model_class = mapping[type(config)]
    if isinstance(model_class, tuple) or model_class.config_class is not type(config):
        return auto_class  # of several one is chosen by the config; or it is the language model's own class

    def init(self: PreTrainedModel, config: PreTrainedConfig, *args: object, **settings: object) -> None:
        model_class.__init__(self, config, *args, **settings)
        for encoder in encoders(self).values():
            _empty(encoder)

    # By the same name: transformers looks up how to convert a checkpoint by it.
    return type(
        model_class.__name__, (model_class,), {"__init__": init, "__module__": model_class.__module__}
    )


def encoders(model: PreTrainedModel) -> dict[str, PreTrainedModel]:
    """The models inside of a composite that read no text, by the names of their modules."""
    encoder_configs = _encoder_configs(model.config)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, PreTrainedModel) and type(module.config) in encoder_configs
    }


def _encoder_configs(config: PreTrainedConfig) -> set[type[PreTrainedConfig]]:
    parts = [getattr(config, name, None) for name in config.sub_configs]
    text = type(config.get_text_config(decoder=True))
    return {type(part) for part in parts if isinstance(part, PreTrainedConfig)} - {text, type(config)}


def _empty(encoder: nn.Module) -> None:
    for module in encoder.modules():
        module.__dict__["_is_hf_initialized"] = True  # nothing in it is to be made up
        for tensors in (module._parameters, module._buffers):
            tensors.update(dict.fromkeys(tensors))
