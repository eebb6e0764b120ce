"""Tiny random models of many architectures of transformers."""

from typing import Any

import torch
import transformers
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
}
MOE = SHAPE | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LOCAL_MOE = SHAPE | {"num_local_experts": 4, "num_experts_per_tok": 2}
MAMBA2 = {
    "mamba_d_state": 8,
    "mamba_d_head": 8,
    "mamba_n_heads": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 16,
}
DELTA = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
}
MLA = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}
DEEPSEEK = (
    SHAPE
    | MLA
    | {
        "num_key_value_heads": 4,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "n_group": 2,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "n_shared_experts": 1,
    }
)
LONGROPE = SHAPE | {
    "original_max_position_embeddings": 40,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_factor": [1.5, 3.0, 6.0, 12.0],
        "original_max_position_embeddings": 40,
    },
}
DYNAMIC = SHAPE | {
    "max_position_embeddings": 40,
    "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
}
HYBRID = SHAPE | DELTA | {"layer_types": ["linear_attention", "full_attention"]}
SHARED_EXPERT = {"shared_expert_intermediate_size": 16}
CHUNKED = LOCAL_MOE | {"intermediate_size_mlp": 48, "attention_chunk_size": 16, "num_experts_per_tok": 1}
DSA = DEEPSEEK | {"index_topk": 16, "index_n_heads": 2, "index_head_dim": 16}
LOCAL = SHAPE | {"sliding_window": 16}
PER_LAYER_INPUT = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 378}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}

# Settings are chosen so that whatever follows the head matters.
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "afmoe": ("AfmoeConfig", MOE | {"num_dense_layers": 1, "sliding_window": 16}),
    "apertus": ("ApertusConfig", SHAPE),
    "arcee": ("ArceeConfig", SHAPE),
    "bailing_hybrid": ("BailingHybridConfig", MOE | DEEPSEEK),
    "bamba": ("BambaConfig", SHAPE | MAMBA2 | {"attn_layer_indices": [1]}),
    "bitnet": ("BitNetConfig", SHAPE),
    "bloom": ("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "codegen": (
        "CodeGenConfig",
        GPT2 | {"rotary_dim": 4},
    ),
    "cohere": ("CohereConfig", SHAPE | {"logit_scale": 0.5}),
    "cohere2": ("Cohere2Config", SHAPE | {"sliding_window": 16, "logit_scale": 0.5}),
    "ctrl": ("CTRLConfig", {"n_embd": 32, "dff": 64, "n_layer": 2, "n_head": 4, "n_positions": 512}),
    "cwm": ("CwmConfig", LOCAL),
    "deepseek_v2": ("DeepseekV2Config", DEEPSEEK | {"topk_method": "greedy"}),
    "deepseek_v3": ("DeepseekV3Config", DEEPSEEK),
    "deepseek_v32": (
        "DeepseekV32Config",
        DEEPSEEK | {"index_topk": 16, "index_n_heads": 2, "index_head_dim": 16},
    ),
    "deepseek_v4": (
        "DeepseekV4Config",
        DSA
        | {
            "num_hidden_layers": 3,
            "num_key_value_heads": 1,
            "num_nextn_predict_layers": 0,
            "sliding_window": 16,
            "o_groups": 2,
            "o_lora_rank": 16,
            "layer_types": [
                *("sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention")
            ],
        },
    ),
    "diffllama": ("DiffLlamaConfig", SHAPE),
    "doge": ("DogeConfig", SHAPE | {"keep_window_size": 16}),
    "dots1": ("Dots1Config", DEEPSEEK),
    "ernie4_5": ("Ernie4_5Config", SHAPE),
    "ernie4_5_moe": (
        "Ernie4_5_MoeConfig",
        SHAPE | {"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 16, "moe_num_shared_experts": 1},
    ),
    "exaone4": ("Exaone4Config", SHAPE | {"sliding_window": 16, "sliding_window_pattern": 2}),
    "falcon": (
        "FalconConfig",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 512},
    ),
    "falcon_alibi": (
        "FalconConfig",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "alibi": True,
            "max_position_embeddings": 512,
        },
    ),
    "falcon_h1": ("FalconH1Config", SHAPE | MAMBA2 | {"mamba_d_ssm": 64}),
    "falcon_mamba": ("FalconMambaConfig", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}),
    "flex_olmo": ("FlexOlmoConfig", MOE),
    "gemma": ("GemmaConfig", SHAPE),
    "gemma2": ("Gemma2Config", SHAPE | {"final_logit_softcapping": 1.5, "sliding_window": 16}),
    "gemma3_text": ("Gemma3TextConfig", LOCAL),
    "gemma3n_text": (
        "Gemma3nTextConfig",
        LOCAL
        | PER_LAYER_INPUT
        | {
            "num_hidden_layers": 4,
            "num_kv_shared_layers": 2,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "laurel_rank": 8,
            "intermediate_size": [48] * 4,
            "activation_sparsity_pattern": [0.95, 0.0, 0.0, 0.0],
        },
    ),
    "gemma4_text": (
        "Gemma4TextConfig",
        LOCAL
        | PER_LAYER_INPUT
        | {"global_head_dim": 16, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "glm": ("GlmConfig", SHAPE),
    "glm4": ("Glm4Config", SHAPE),
    "glm4_moe": ("Glm4MoeConfig", DEEPSEEK),
    "glm_moe_dsa": (
        "GlmMoeDsaConfig",
        DEEPSEEK | {"index_topk": 16, "index_n_heads": 2, "index_head_dim": 16},
    ),
    "gpt2": ("GPT2Config", GPT2),
    "gpt_bigcode": ("GPTBigCodeConfig", GPT2),
    "gpt_neo": (
        "GPTNeoConfig",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 16,
            "max_position_embeddings": 512,
        },
    ),
    "gpt_oss": ("GptOssConfig", LOCAL_MOE | {"sliding_window": 16}),
    "gpt_neox": (
        "GPTNeoXConfig",
        {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 512,
        },
    ),
    "gptj": ("GPTJConfig", GPT2 | {"rotary_dim": 4}),
    "granite": ("GraniteConfig", SHAPE | {"logits_scaling": 2.0}),
    "granitemoe": ("GraniteMoeConfig", LOCAL_MOE),
    "granitemoehybrid": (
        "GraniteMoeHybridConfig",
        LOCAL_MOE | MAMBA2 | {"shared_intermediate_size": 16, "layer_types": ["mamba", "attention"]},
    ),
    "granitemoeshared": ("GraniteMoeSharedConfig", LOCAL_MOE | {"shared_intermediate_size": 16}),
    "granite_swa": ("GraniteSWAConfig", LOCAL),
    "helium": ("HeliumConfig", SHAPE),
    "hunyuan_dense": ("HunYuanDenseV1Config", SHAPE),
    "hrm_text": ("HrmTextConfig", SHAPE),
    "hy_v3": ("HYV3Config", DEEPSEEK),
    "jamba": (
        "JambaConfig",
        MOE
        | {
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    "jetmoe": (
        "JetMoeConfig",
        {
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_key_value_heads": 2,
            "kv_channels": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "max_position_embeddings": 512,
        },
    ),
    "kimi_linear": (
        "KimiLinearConfig",
        MOE
        | DEEPSEEK
        | {
            "linear_attn_config": {
                "head_dim": 8,
                "num_heads": 2,
                "short_conv_kernel_size": 4,
                "kda_layers": [1],
                "full_attn_layers": [2],
            }
        },
    ),
    "kolibri1": ("Kolibri1Config", MOE),
    "lfm2": ("Lfm2Config", SHAPE | {"layer_types": ["conv", "full_attention"]}),
    "lfm2_moe": ("Lfm2MoeConfig", MOE | {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1}),
    "lfm3": ("Lfm3Config", SHAPE | {"layer_types": ["conv", "full_attention"]}),
    "llama": ("LlamaConfig", SHAPE),
    "llama_dynamic_ntk": ("LlamaConfig", DYNAMIC),
    "llama_yarn": (
        "LlamaConfig",
        SHAPE
        | {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 40,
            }
        },
    ),
    "llama4_text": (
        "Llama4TextConfig",
        LOCAL_MOE | {"intermediate_size_mlp": 48, "attention_chunk_size": 16, "num_experts_per_tok": 1},
    ),
    "longcat_flash": (
        "LongcatFlashConfig",
        SHAPE
        | MLA
        | {
            "num_layers": 1,
            "ffn_hidden_size": 48,
            "expert_ffn_hidden_size": 16,
            "n_routed_experts": 4,
            "zero_expert_num": 2,
            "moe_topk": 2,
            "num_key_value_heads": 4,
        },
    ),
    "minicpm3": ("MiniCPM3Config", SHAPE | MLA | {"num_key_value_heads": 4}),
    "minimax": (
        "MiniMaxConfig",
        LOCAL_MOE | {"block_size": 16, "layer_types": ["linear_attention", "full_attention"]},
    ),
    "minimax_m2": ("MiniMaxM2Config", LOCAL_MOE),
    "ministral": ("MinistralConfig", LOCAL),
    "ministral3": ("Ministral3Config", SHAPE),
    "mistral": ("MistralConfig", LOCAL),
    "mixtral": ("MixtralConfig", LOCAL_MOE),
    "mamba": ("MambaConfig", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}),
    "mamba2": (
        "Mamba2Config",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 8,
            "num_heads": 8,
            "head_dim": 8,
            "expand": 2,
            "n_groups": 1,
            "chunk_size": 16,
        },
    ),
    "mpt": (
        "MptConfig",
        {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 4096, "expansion_ratio": 2},
    ),
    "nanochat": ("NanoChatConfig", SHAPE),
    "nemotron": ("NemotronConfig", SHAPE),
    "nemotron_h": (
        "NemotronHConfig",
        SHAPE
        | {
            "hybrid_override_pattern": "M*-",
            "num_hidden_layers": 3,
            "mamba_num_heads": 8,
            "mamba_head_dim": 8,
            "n_groups": 1,
            "ssm_state_size": 8,
            "chunk_size": 16,
        },
    ),
    "olmo": ("OlmoConfig", SHAPE),
    "olmo2": ("Olmo2Config", SHAPE),
    "olmo3": ("Olmo3Config", LOCAL),
    "olmo_hybrid": (
        "OlmoHybridConfig",
        HYBRID,
    ),
    "olmoe": ("OlmoeConfig", MOE),
    "opt": (
        "OPTConfig",
        {
            "hidden_size": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 512,
            "word_embed_proj_dim": 32,
        },
    ),
    "persimmon": ("PersimmonConfig", SHAPE),
    "phi": ("PhiConfig", SHAPE),
    "phi3": ("Phi3Config", SHAPE),
    "phi3_longrope": ("Phi3Config", LONGROPE),
    "phimoe_longrope": (
        "PhimoeConfig",
        LOCAL_MOE
        | LONGROPE
        | {"rope_parameters": LONGROPE["rope_parameters"] | {"short_mscale": 1.1, "long_mscale": 1.3}},
    ),
    "qwen2": ("Qwen2Config", SHAPE | {"tie_word_embeddings": True}),
    "qwen2_moe": ("Qwen2MoeConfig", MOE | {"shared_expert_intermediate_size": 16}),
    "qwen3": ("Qwen3Config", SHAPE),
    "qwen3_moe": ("Qwen3MoeConfig", MOE),
    "qwen4_exp_text": (
        "Qwen4ExpTextConfig",
        MOE
        | HYBRID
        | SHARED_EXPERT
        | {
            "indexer_n_heads": 2,
            "indexer_kv_heads": 1,
            "indexer_head_dim": 8,
            "indexer_budget": 16,
            "indexer_compress_ratio": 4,
            "hc_count": 2,
            "hc_lowrank": 8,
        },
    ),
    "qwen3_next": (
        "Qwen3NextConfig",
        MOE | HYBRID | SHARED_EXPERT,
    ),
    "qwen3_5_text": (
        "Qwen3_5TextConfig",
        HYBRID,
    ),
    "qwen3_5_moe_text": (
        "Qwen3_5MoeTextConfig",
        MOE | HYBRID | SHARED_EXPERT,
    ),
    "recurrent_gemma": (
        "RecurrentGemmaConfig",
        SHAPE
        | {
            "num_hidden_layers": 3,
            "num_key_value_heads": 1,
            "lru_width": 32,
            "attention_window_size": 16,
            "logits_soft_cap": 1.5,
        },
    ),
    "rwkv": (
        "RwkvConfig",
        {"hidden_size": 32, "attention_hidden_size": 32, "num_hidden_layers": 2, "context_length": 512},
    ),
    "seed_oss": ("SeedOssConfig", SHAPE),
    "smollm3": ("SmolLM3Config", SHAPE),
    "stablelm": ("StableLmConfig", SHAPE),
    "starcoder2": ("Starcoder2Config", LOCAL),
    "vaultgemma": ("VaultGemmaConfig", LOCAL),
    "xlstm": (
        "xLSTMConfig",
        {
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_blocks": 2,
            "num_heads": 4,
            "chunk_size": 16,
            "output_logit_soft_cap": 1.5,
        },
    ),
    "zamba2": (
        "Zamba2Config",
        SHAPE
        | {
            "num_mem_blocks": 1,
            "layers_block_type": ["mamba", "hybrid"],
            "mamba_d_state": 8,
            "mamba_headdim": 8,
            "n_mamba_heads": 8,
            "mamba_ngroups": 1,
            "chunk_size": 16,
            "attention_hidden_size": 64,
            "attention_head_dim": 16,
            "adapter_rank": 4,
        },
    ),
}

REPRESENTATIVE = (
    *("llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "cohere", "granite", "olmo2", "gpt_neox"),
    *("mamba", "mamba2", "falcon_mamba", "recurrent_gemma", "xlstm"),
)
"""Of every kind of head, of embedding and of memory one."""


VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "head_dim": 8,
}
VISION_BLOCKS = {
    "depth": 1,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_heads": 2,
    "out_hidden_size": 32,
}
MROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}}
COMPOSITES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "mistral3": ("Mistral3Config", SHAPE | {"model_type": "mistral"}, VISION | {"model_type": "pixtral"}),
    "mllama": (
        "MllamaConfig",
        SHAPE | {"cross_attention_layers": [1]},
        VISION
        | {
            "num_global_layers": 1,
            "intermediate_layers_indices": [0],
            "supported_aspect_ratios": [[1, 1]],
            "attention_heads": 2,
            "vision_output_dim": 32,
        },
    ),
    "gemma3": ("Gemma3Config", LOCAL, VISION),
    "gemma4": (
        "Gemma4Config",
        LOCAL
        | PER_LAYER_INPUT
        | {"global_head_dim": 16, "layer_types": ["sliding_attention", "full_attention"]},
        VISION | {"num_key_value_heads": 2},
    ),
    "llava": ("LlavaConfig", SHAPE | {"model_type": "llama"}, VISION | {"model_type": "clip_vision_model"}),
    "qwen2_5_vl": ("Qwen2_5_VLConfig", SHAPE | MROPE, VISION_BLOCKS),
    "qwen3_vl": ("Qwen3VLConfig", SHAPE | MROPE, VISION_BLOCKS | {"deepstack_visual_indexes": [0]}),
    "qwen3_5": ("Qwen3_5Config", HYBRID, VISION_BLOCKS),
    "llama4": (
        "Llama4Config",
        CHUNKED,
        VISION | {"vision_output_dim": 16, "projector_input_dim": 16, "projector_output_dim": 16},
    ),
    "emu3": (
        "Emu3Config",
        SHAPE,
        {
            "base_channels": 32,
            "channel_multiplier": [1],
            "num_res_blocks": 1,
            "attn_resolutions": [],
            "hidden_size": 32,
            "embed_dim": 8,
            "latent_channels": 32,
            "codebook_size": 16,
        },
    ),
}
"""Config, settings of the language model, and of what makes its other inputs."""


def random_model(architecture: str, vocab_size: int, *, seed: int = 0, **changes: Any) -> Any:
    """A float32 model of one of `ARCHITECTURES` or `COMPOSITES`, in evaluation mode.

    Its weights are larger than an initialisation's, so that its predictions are far from uniform.

    Args:
        architecture: its name there.
        vocab_size: rows of the embedding and of the head.
        seed: of the weights.
        changes: settings of the config in place of those there; of `ARCHITECTURES` only.
    """
    ids = {"vocab_size": vocab_size, "bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0}
    torch.manual_seed(seed)
    if architecture in COMPOSITES:
        config_name, text, vision = COMPOSITES[architecture]
        settings: dict[str, Any] = {"text_config": ids | text, "vision_config": vision}
        if architecture == "emu3":
            settings = {"text_config": ids | text, "vq_config": vision, "vocabulary_map": {"<image>": 5}}
        config = getattr(transformers, config_name)(**settings)
        name = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[architecture]
    else:
        config_name, settings = ARCHITECTURES[architecture]
        config = getattr(transformers, config_name)(**(ids | settings | changes))
        name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[config.model_type]
    model = getattr(transformers, name)(config)  # not an Auto class: importing fla changes those
    _randomize(model)
    return model.eval()


def _randomize(model: Any) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2 and "norm" not in name and "A_log" not in name:
                scale = 0.3 if "embed" in name or "head" in name else parameter.shape[1] ** -0.5
                parameter.normal_(0, scale)
