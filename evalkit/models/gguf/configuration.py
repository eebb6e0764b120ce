"""What a GGUF file's metadata say of its network, as a configuration of transformers."""

import re

import transformers

from evalkit.errors import ModelError, first_line
from evalkit.models.gguf.architectures import ARCHITECTURES, RWKV7, Architecture, architecture_of
from evalkit.models.gguf.header import Header, Value
from evalkit.models.gguf.layouts import ROPE_KEYS, YARN_KEYS, Settings, size_of
from evalkit.models.hf.classes import config_class
from evalkit.models.hf.quiet import quiet

_WITHOUT_EFFECT = {
    "vocab_size",
    "rope.scaling.finetuned",
    "attention.causal",
    "tensor_data_layout",
    "attention.value_length",
    "rope.dimension_count",
}
"""Read elsewhere, checked, or of no effect on what a model computes."""


def check_architecture(header: Header) -> None:
    """Refuse what evalkit has no network for.

    Raises:
        ModelError: the message names the architecture.
    """
    if header.architecture not in {*ARCHITECTURES, RWKV7}:
        raise ModelError(
            f"{header.path}: evalkit reads no GGUF of architecture {header.architecture!r}; it reads "
            f"{', '.join(sorted([*ARCHITECTURES, RWKV7]))}; score the checkpoint that it was made of with hf:"
        )


def configuration(header: Header) -> Settings:
    """What transformers calls the settings of a file.

    Raises:
        ModelError: one is missing, unknown, or contradicts the tensors.
    """
    name = header.architecture
    architecture = architecture_of(header)
    # transformers' own defaults of special ids belong to vocabularies of its own.
    settings: Settings = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
    settings["vocab_size"] = _vocab_size(header)
    is_yarn = header.metadata.get(f"{name}.rope.scaling.type") == "yarn"
    passed_over = {*_WITHOUT_EFFECT, *ROPE_KEYS, *(YARN_KEYS if is_yarn else ())}
    for key, value in header.metadata.items():
        setting = key.removeprefix(f"{name}.")
        if setting == key:
            continue
        if architecture.settings.get(setting):
            settings[architecture.settings[setting]] = _checked(header, key, value)
        elif setting not in {*passed_over, *architecture.settings} and value is not False:
            if isinstance(value, int | float) and value == 0:
                continue
            shown = value if isinstance(value, int | float | str) else "an array"
            raise ModelError(
                f"{header.path}: evalkit does not know what {key} = {shown} means to {name}; score the "
                "checkpoint that it was made of with hf:"
            )
    required = {
        target for target in architecture.settings.values() if target.startswith(("num_", "hidden_size"))
    }
    if "num_attention_heads" in settings:
        settings.setdefault("num_key_value_heads", settings["num_attention_heads"])
    if missing := sorted(required - {"num_key_value_heads"} - settings.keys()):
        raise ModelError(
            f"{header.path}: its metadata has no {missing[0]} of {name}; convert the model again"
        )
    for target in required & settings.keys():
        size_of(settings, target)
    _check_layers(header, size_of(settings, "num_hidden_layers"))
    num_experts = settings.get("num_experts", settings.get("num_local_experts"))
    if num_experts is not None and size_of(settings, "num_experts_per_tok") > int(str(num_experts)):
        raise ModelError(
            f"{header.path}: it sends a token to {settings['num_experts_per_tok']} of {num_experts} experts; "
            "convert the model again"
        )
    if "head_dim" in architecture.settings.values() and "num_attention_heads" in settings:
        settings.setdefault(
            "head_dim", size_of(settings, "hidden_size") // size_of(settings, "num_attention_heads")
        )
    settings["tie_word_embeddings"] = "output.weight" not in header.tensors
    settings.update(architecture.complete(header, settings))
    return settings


def read_configuration(header: Header, settings: Settings) -> "transformers.PreTrainedConfig":
    """Transformers' configuration of a file.

    Args:
        header: the file's.
        settings: see `evalkit.models.gguf.architectures.configuration`.

    Raises:
        ModelError: transformers refuses the settings.
    """
    model_type = architecture_of(header).model_type
    try:
        with quiet():
            return config_class({"model_type": model_type})(**settings)
    except Exception as error:  # validators of the library's own, of several kinds
        raise ModelError(
            f"{header.path}: its metadata describe no {model_type}: {first_line(error)}"
        ) from error


def transformers_name(architecture: Architecture, name: str) -> str | None:
    """What transformers calls a tensor; None for one that the architecture does not have."""
    stem, dot, kind = name.rpartition(".")
    if kind not in ("weight", "bias"):
        stem, dot, kind = name, "", ""
    layer = re.fullmatch(r"blk\.(\d+)\.(.+)", stem)
    if layer is None:
        part = architecture.top.get(stem)
        return None if part is None else f"{part}{dot}{kind}"
    whole = re.fullmatch(r"blk\.\d+\.(.+)", name)
    if whole and whole[1] in architecture.layer:  # a parameter that is no layer's weight or bias
        return f"{architecture.layers_at}.{int(layer[1])}.{architecture.layer[whole[1]]}"
    part = architecture.layer.get(layer[2])
    return None if part is None else f"{architecture.layers_at}.{int(layer[1])}.{part}{dot}{kind}"


def _checked(header: Header, key: str, value: Value) -> int | float:
    """A number that a network can be made of; scales, epsilons and counts are all above zero."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < float(str(value)) < float("inf"):
        shown = value if isinstance(value, int | float | str) else "an array"
        raise ModelError(
            f"{header.path}: {key} is {shown!r}, not a number above zero; convert the model again"
        )
    assert isinstance(value, int | float)
    return value


def _vocab_size(header: Header) -> int:
    embedding = header.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ModelError(f"{header.path} holds no model: tensor token_embd.weight is missing")
    return embedding.shape[0]


def _check_layers(header: Header, num_layers: int) -> None:
    """A count that the tensors bear out, before as many layers are built."""
    layers = {int(match[1]) for name in header.tensors if (match := re.match(r"blk\.(\d+)\.", name))}
    if len(layers) != num_layers or max(layers, default=-1) != num_layers - 1:
        raise ModelError(
            f"{header.path}: its metadata counts {num_layers:,} layers, its tensors have {len(layers):,}; "
            "fetch it again"
        )
