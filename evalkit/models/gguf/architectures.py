"""Networks that GGUF files describe, by their names in transformers.

Of an architecture's own metadata everything must be known here: a setting that is passed over is another
network. `evalkit models formats` prints what has been compared with what.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

from evalkit.models.gguf import layouts
from evalkit.models.gguf.header import Header
from evalkit.models.gguf.layouts import Settings

Transform = Callable[[str, Tensor, Settings], Tensor]

_TOP = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_QK_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_EXPERTS = {
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps.weight": "mlp.experts.gate_up_proj[0]",
    "ffn_up_exps.weight": "mlp.experts.gate_up_proj[1]",
    "ffn_down_exps.weight": "mlp.experts.down_proj",
}
"""In place of one MLP; ``[0]`` and ``[1]`` are the halves of each expert's rows."""
_SANDWICH = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


class Architecture(NamedTuple):
    """How files of an architecture become a model of transformers."""

    model_type: str
    """transformers' name."""
    settings: Mapping[str, str]
    """Keys of the metadata behind the architecture's name, and what the configuration calls them."""
    layer: Mapping[str, str] = _LAYER
    """Parts of a layer by their names in the file."""
    top: Mapping[str, str] = _TOP
    transform: Transform = lambda _name, tensor, _settings: tensor
    """From the file's layout of a tensor to transformers'."""
    complete: Callable[[Header, Settings], Settings] = lambda _header, _settings: {}
    """Settings that take more than a name."""
    layers_at: str = "model.layers"


_COMMON = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
}
_RMS = {**_COMMON, "attention.layer_norm_rms_epsilon": "rms_norm_eps"}
_HEAD = {**_RMS, "attention.key_length": "head_dim"}
_ROUTED = {"expert_used_count": "num_experts_per_tok"}
_GRANITE = {
    **_RMS,
    "attention.scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}
_WITHOUT_MLP = {part: name for part, name in _LAYER.items() if part not in ("ffn_gate", "ffn_up", "ffn_down")}
MIXTRAL = Architecture(
    "mixtral",
    {**_HEAD, **_ROUTED, "expert_count": "num_local_experts"},
    {**_WITHOUT_MLP, **_EXPERTS},
    transform=layouts.unpermuted,
    complete=layouts.rope,
)
"""What a file of architecture ``llama`` is that has experts."""
_GEMMA_LAYER = {**_LAYER, **_SANDWICH}
ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(
        "llama", _HEAD, transform=layouts.unpermuted, complete=layouts.with_rope(layouts.biases)
    ),
    "smollm3": Architecture("smollm3", _RMS, transform=layouts.unpermuted, complete=layouts.smollm3),
    "granite": Architecture(
        "granite", _GRANITE, transform=layouts.unpermuted, complete=layouts.with_rope(layouts.biases)
    ),
    "granitemoe": Architecture(
        "granitemoe",
        {**_GRANITE, **_ROUTED, "expert_count": "num_local_experts"},
        {
            **_WITHOUT_MLP,
            **{part: name.replace("mlp.", "block_sparse_moe.") for part, name in _EXPERTS.items()},
            "ffn_gate_inp": "block_sparse_moe.router",
        },
        transform=layouts.unpermuted,
        complete=layouts.rope,
    ),
    "qwen2": Architecture("qwen2", _RMS, complete=layouts.rope),
    "qwen3": Architecture("qwen3", _HEAD, {**_LAYER, **_QK_NORMS}, complete=layouts.rope),
    "qwen2moe": Architecture(
        "qwen2_moe",
        {
            **_RMS,
            **_ROUTED,
            "expert_count": "num_experts",
            "expert_feed_forward_length": "moe_intermediate_size",
            "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
        },
        {
            **_WITHOUT_MLP,
            **_EXPERTS,
            "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
            **{f"ffn_{part}_shexp": f"mlp.shared_expert.{part}_proj" for part in ("gate", "up", "down")},
        },
        transform=layouts.gate_of_shared_expert,
        complete=layouts.routed(normalised=False),
    ),
    "qwen3moe": Architecture(
        "qwen3_moe",
        {
            **_HEAD,
            **_ROUTED,
            "expert_count": "num_experts",
            "expert_feed_forward_length": "moe_intermediate_size",
        },
        {**_WITHOUT_MLP, **_QK_NORMS, **_EXPERTS},
        complete=layouts.routed(normalised=True),
    ),
    "olmoe": Architecture(
        "olmoe",
        {**_RMS, **_ROUTED, "expert_count": "num_experts"},
        {**_WITHOUT_MLP, **_QK_NORMS, **_EXPERTS},
        complete=layouts.routed(normalised=False),
    ),
    "gpt2": Architecture(
        "gpt2",
        {**_COMMON, "attention.layer_norm_epsilon": "layer_norm_epsilon"},
        {
            "attn_norm": "ln_1",
            "attn_qkv": "attn.c_attn",
            "attn_output": "attn.c_proj",
            "ffn_norm": "ln_2",
            "ffn_up": "mlp.c_fc",
            "ffn_down": "mlp.c_proj",
        },
        {
            "token_embd": "transformer.wte",
            "position_embd": "transformer.wpe",
            "output_norm": "transformer.ln_f",
            "output": "lm_head",
        },
        layouts.columns_first,
        layouts.gpt2,
        layers_at="transformer.h",
    ),
    "qwen35": Architecture(
        "qwen3_5_text",
        {
            **_HEAD,
            "ssm.conv_kernel": "linear_conv_kernel_dim",
            "ssm.state_size": "linear_key_head_dim",
            "ssm.group_count": "linear_num_key_heads",
            "ssm.time_step_rank": "linear_num_value_heads",
            "ssm.inner_size": "",
            "full_attention_interval": "",
            "nextn_predict_layers": "",
            "rope.dimension_sections": "",
        },
        {
            **{part: name for part, name in _LAYER.items() if part != "ffn_norm"},
            **_QK_NORMS,
            "post_attention_norm": "post_attention_layernorm",
            "attn_qkv": "linear_attn.in_proj_qkv",
            "attn_gate": "linear_attn.in_proj_z",
            "ssm_alpha": "linear_attn.in_proj_a",
            "ssm_beta": "linear_attn.in_proj_b",
            "ssm_conv1d": "linear_attn.conv1d",
            "ssm_norm": "linear_attn.norm",
            "ssm_out": "linear_attn.out_proj",
            "ssm_a": "linear_attn.A_log",
            "ssm_dt.bias": "linear_attn.dt_bias",
        },
        transform=layouts.qwen35_layout,
        complete=layouts.qwen35,
    ),
    "olmo2": Architecture(
        "olmo2",
        _RMS,
        {
            **{name: part for name, part in _LAYER.items() if not name.endswith("_norm")},
            **_QK_NORMS,
            "post_attention_norm": "post_attention_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm",
        },
        complete=layouts.rope,
    ),
    "gemma": Architecture("gemma", _HEAD, transform=layouts.norms_from_one, complete=layouts.rope),
    "gemma2": Architecture(
        "gemma2",
        {
            **_HEAD,
            "attention.sliding_window": "sliding_window",
            "attn_logit_softcapping": "attn_logit_softcapping",
            "final_logit_softcapping": "final_logit_softcapping",
        },
        _GEMMA_LAYER,
        transform=layouts.norms_from_one,
        complete=layouts.gemma2,
    ),
    "gemma3": Architecture(
        "gemma3_text",
        {**_HEAD, "attention.sliding_window": "sliding_window", "rope.freq_base_swa": ""},
        {**_GEMMA_LAYER, **_QK_NORMS},
        transform=layouts.norms_from_one,
        complete=layouts.gemma3,
    ),
    "phi3": Architecture(
        "phi3",
        {
            **_RMS,
            "attention.sliding_window": "sliding_window",
            "rope.scaling.original_context_length": "",
            "rope.scaling.attn_factor": "",
        },
        {**_LAYER, "attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"},
        complete=layouts.phi3,
    ),
    "starcoder2": Architecture(
        "starcoder2",
        {**_COMMON, "attention.layer_norm_epsilon": "norm_epsilon"},
        {**_LAYER, "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"},
        complete=layouts.starcoder2,
    ),
    "mamba": Architecture(
        "mamba",
        {
            "block_count": "num_hidden_layers",
            "context_length": "",
            "embedding_length": "hidden_size",
            "feed_forward_length": "",
            "attention.head_count": "",
            "attention.layer_norm_rms_epsilon": "layer_norm_epsilon",
            "ssm.conv_kernel": "conv_kernel",
            "ssm.inner_size": "intermediate_size",
            "ssm.state_size": "state_size",
            "ssm.time_step_rank": "time_step_rank",
        },
        {
            "attn_norm": "norm",
            "ssm_in": "mixer.in_proj",
            "ssm_conv1d": "mixer.conv1d",
            "ssm_x": "mixer.x_proj",
            "ssm_dt": "mixer.dt_proj",
            "ssm_a": "mixer.A_log",
            "ssm_d": "mixer.D",
            "ssm_out": "mixer.out_proj",
        },
        {"token_embd": "backbone.embeddings", "output_norm": "backbone.norm_f", "output": "lm_head"},
        layouts.mamba,
        layers_at="backbone.layers",
    ),
    "lfm2": Architecture(
        "lfm2",
        {
            **{key: name for key, name in _COMMON.items() if key != "attention.head_count_kv"},
            "attention.layer_norm_rms_epsilon": "norm_eps",
            "attention.head_count_kv": "",
            "shortconv.l_cache": "conv_L_cache",
        },
        {
            **{f"attn_{letter}": f"self_attn.{letter}_proj" for letter in "qkv"},
            "attn_norm": "operator_norm",
            "attn_output": "self_attn.out_proj",
            "attn_q_norm": "self_attn.q_layernorm",
            "attn_k_norm": "self_attn.k_layernorm",
            "ffn_norm": "ffn_norm",
            "ffn_gate": "feed_forward.w1",
            "ffn_up": "feed_forward.w3",
            "ffn_down": "feed_forward.w2",
            "shortconv.in_proj": "conv.in_proj",
            "shortconv.out_proj": "conv.out_proj",
            "shortconv.conv": "conv.conv",
        },
        {"token_embd": "model.embed_tokens", "token_embd_norm": "model.embedding_norm", "output": "lm_head"},
        layouts.kernel_of_convolution,
        layouts.lfm2_layers,
    ),
}
"""By ``general.architecture``."""
RWKV7 = "rwkv7"


def architecture_of(header: Header) -> Architecture:
    """The architecture of a file, which must be one of `ARCHITECTURES`."""
    if header.architecture == "llama" and "llama.expert_count" in header.metadata:
        return MIXTRAL
    return ARCHITECTURES[header.architecture]
