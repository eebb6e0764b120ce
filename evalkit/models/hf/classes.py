"""Which class of transformers a checkpoint is an instance of."""

import transformers
from transformers import PreTrainedConfig
from transformers.models.auto.auto_factory import _BaseAutoModelClass
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)

_CLASS_NAMES = {
    "AutoModelForCausalLM": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "AutoModelForImageTextToText": MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    "AutoModelForMultimodalLM": MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
}


def config_class(stated: dict[str, object]) -> type[PreTrainedConfig]:
    """The class of transformers' own for a config, also where another package has put its in the place.

    Importing flash-linear-attention does that for Mamba and BitNet, and transformers itself imports it for
    some models: without this, what is loaded would depend on what was loaded before.
    """
    model_type = stated["model_type"]
    if model_type == "mistral" and "layer_types" in stated:
        model_type = "ministral"  # as transformers does
    if model_type in CONFIG_MAPPING_NAMES:
        builtin: type[PreTrainedConfig] = type(CONFIG_MAPPING)(CONFIG_MAPPING_NAMES)[model_type]
        return builtin
    registered: type[PreTrainedConfig] = CONFIG_MAPPING[model_type]
    return registered


def is_language_model(config: PreTrainedConfig) -> bool:
    """Whether transformers has a class that predicts next tokens for a config."""
    return any(config.model_type in names for names in _CLASS_NAMES.values())


def model_classes(config: PreTrainedConfig, trust_remote_code: bool) -> list[type[_BaseAutoModelClass]]:
    """The classes of transformers that can load a checkpoint's language model, preferred ones first.

    Composite checkpoints (Mistral 3, Emu3, Mllama) hold a language model and what encodes images for it. Of
    those whose language model transformers cannot load by itself, `evalkit.models.hf.composites` empties the
    latter.
    """
    has_own_code = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    if has_own_code and trust_remote_code:
        return [transformers.AutoModelForCausalLM]
    names = [name for name, types in _CLASS_NAMES.items() if config.model_type in types]
    return [getattr(transformers, name) for name in names or ["AutoModelForCausalLM"]]
