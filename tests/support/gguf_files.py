"""Small GGUF files: random models of every architecture, with a small vocabulary of bytes and merges."""

import ast
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from evalkit.models.hf.tokenizer_state import BYTE_OF

Tensors = dict[str, NDArray[np.float32]]
Metadata = Mapping[str, object]

WIDTH, NUM_HEADS, NUM_KEY_HEADS, HEAD, FFN, NUM_LAYERS = 64, 4, 2, 16, 96, 3
NUM_EXPERTS, EXPERT_FFN = 4, 32
MIXTRAL_METADATA = {"llama.expert_count": NUM_EXPERTS, "llama.expert_used_count": 2}
_TEXTS = (
    "The quick brown fox jumps over 1234 lazy dogs; it's 10.50 pounds, isn't it? They'll SHOUT: we've won!",
    "def main(argv):\n    for i in range(10):\n        print(i, argv[i])\n\n\nif __name__ == '__main__':\r\n",
    "Ünïcödé Straße, Größe 42; Ελληνικά, русский язык, 中文文本, 日本語テキスト, 한국어, العربية, हिन्दी पाठ.",
    "   spaces   and\ttabs\n\n  newlines  \n http://example.org/path?query=1 camelCase HTTPServer snake_case",
)


@functools.cache
def byte_level_vocabulary() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tokens and merges that cross words, digits and lines, so that it shows how texts are cut."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=list(BYTE_OF), special_tokens=["<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator([*_TEXTS] * 2 + [text[k:] for text in _TEXTS for k in range(1, 9)], trainer)
    ids = tokenizer.get_vocab()
    tokens = tuple(sorted(ids, key=ids.__getitem__))
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return tokens, tuple(" ".join(pair) for pair in merges)


def byte_level_metadata(pre: str = "gpt-2") -> dict[str, object]:
    """The metadata of such a tokenizer, cutting texts as a name of llama.cpp says."""
    tokens, merges = byte_level_vocabulary()
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.token_type": [3 if token in ("<s>", "</s>") else 1 for token in tokens],
        "tokenizer.ggml.merges": list(merges),
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 1,
    }


@functools.cache
def _pieces() -> tuple[str, ...]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=400, show_progress=False)
    tokenizer.train_from_iterator([*_TEXTS] * 2 + [text[k:] for text in _TEXTS for k in range(1, 9)], trainer)
    ids = tokenizer.get_vocab()
    merged = sorted((piece for piece in ids if len(piece) > 1), key=ids.__getitem__)
    return *merged, *sorted(piece for piece in ids if len(piece) == 1)


def sentencepiece_metadata() -> dict[str, object]:
    """The metadata of a vocabulary of pieces with scores, the longer ones better, as Llama 2 has it."""
    pieces = _pieces()
    num_special = 3 + 256
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [
            "<unk>",
            "<s>",
            "</s>",
            *(f"<0x{byte:02X}>" for byte in range(256)),
            *pieces,
        ],
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * len(pieces)],
        "tokenizer.ggml.scores": [0.0] * num_special + [-float(rank) for rank in range(len(pieces))],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def write_gguf(
    path: Path,
    architecture: str,
    metadata: Metadata,
    tensors: Tensors,
    *,
    quantisation: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
) -> Path:
    """A file by gguf's own writer; matrices are quantised by gguf's own quantiser, vectors stay float32."""
    metadata = dict(metadata)
    writer = gguf.GGUFWriter(path, str(metadata.pop("general.architecture", architecture)))
    for key, value in metadata.items():
        _add(writer, key, value)
    for name, tensor in tensors.items():
        kind = stored_type(name, tensor, quantisation)
        if kind == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, np.ascontiguousarray(tensor, np.float32))
        else:
            writer.add_tensor(
                name, gguf.quantize(np.ascontiguousarray(tensor, np.float32), kind), raw_dtype=kind
            )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_parts(
    whole: Path, stem: Path, num_parts: int, *, first_tensors: int = 0, repeats_metadata: bool = False
) -> list[Path]:
    """A file in parts, as llama.cpp's gguf-split writes them; the first has few tensors, or as many as said.

    Args:
        whole: the file.
        stem: folder and beginning of the names.
        num_parts: of them.
        first_tensors: how many tensors the first part has.
        repeats_metadata: whether every part has all of the metadata, as no program writes it.
    """
    reader = gguf.GGUFReader(whole)
    tensors = list(reader.tensors)
    rest = np.array_split(np.arange(first_tensors, len(tensors)), num_parts - 1)
    groups = [np.arange(first_tensors), *rest]
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, group in enumerate(groups):
        path = stem.parent / f"{stem.name}-{number + 1:05d}-of-{num_parts:05d}.gguf"
        writer = gguf.GGUFWriter(path, "")
        for name, field in reader.fields.items():
            if not name.startswith("GGUF.") and (number == 0 or repeats_metadata):
                sub_type = field.types[1] if len(field.types) > 1 else None
                writer.add_key_value(name, field.contents(), field.types[0], sub_type)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", num_parts)
        writer.add_int32("split.tensors.count", len(tensors))
        for index in group:
            writer.add_tensor(tensors[index].name, tensors[index].data, raw_dtype=tensors[index].tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        paths.append(path)
    return paths


def stored_type(
    name: str, tensor: NDArray[np.float32], quantisation: gguf.GGMLQuantizationType
) -> gguf.GGMLQuantizationType:
    """As llama.cpp's converter does: vectors, kernels and rows that are no whole blocks stay float32."""
    is_whole = tensor.shape[-1] % gguf.GGML_QUANT_SIZES[quantisation][0] == 0
    kept = ("conv1d", "shortconv.conv", "lerp", "ssm_a")
    if tensor.ndim < 2 or not is_whole or any(part in name for part in kept):
        return gguf.GGMLQuantizationType.F32
    return quantisation


def _add(writer: gguf.GGUFWriter, key: str, value: object) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case list():
            writer.add_array(key, value)
        case _:
            raise TypeError(key)


def random_model(
    path: Path,
    architecture: str,
    *,
    quantisation: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    extra: Metadata | None = None,
    change: Callable[[Tensors], object] = lambda _tensors: None,
    vocabulary: Metadata | None = None,
) -> Path:
    """A model with random weights that make every part of its network matter.

    Args:
        path: where it goes.
        architecture: one of `ARCHITECTURES`.
        quantisation: of the matrices.
        extra: metadata beyond or in place of the architecture's.
        change: of the tensors, in place.
        vocabulary: metadata of another tokenizer, whose tokens the embedding has a row for.
    """
    metadata = {
        **(vocabulary or byte_level_metadata()),
        **_SETTINGS[architecture](architecture),
        **(extra or {}),
    }
    tokens = (vocabulary or byte_level_metadata())["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list)
    tensors = _tensors(architecture, len(tokens))
    change(tensors)
    return write_gguf(path, architecture, metadata, tensors, quantisation=quantisation)


def _common(architecture: str) -> dict[str, object]:
    settings: dict[str, object] = {
        "context_length": 256,
        "embedding_length": WIDTH,
        "block_count": NUM_LAYERS,
        "feed_forward_length": FFN,
        "attention.head_count": NUM_HEADS,
        "attention.head_count_kv": NUM_KEY_HEADS,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": 5000.0,
    }
    return {f"{architecture}.{key}": value for key, value in settings.items()}


def _with(**more: object) -> "functools.partial[dict[str, object]]":
    return functools.partial(_and_more, {key.replace("__", "."): value for key, value in more.items()})


def _and_more(more: Metadata, architecture: str) -> dict[str, object]:
    common = {
        key: value
        for key, value in _common(architecture).items()
        if more.get(key.split(".", 1)[1], 0) is not None
    }
    return {**common, **{f"{architecture}.{key}": value for key, value in more.items() if value is not None}}


_HEADS = {"attention__key_length": HEAD, "attention__value_length": HEAD}
_EXPERTS = {"expert_count": NUM_EXPERTS, "expert_used_count": 2}
_WIDE_HEADS = {"attention__key_length": 32, "attention__value_length": 32}
_SETTINGS = {
    "llama": _with(**_HEADS, rope__dimension_count=HEAD),
    "smollm3": _with(block_count=5),
    "granite": _with(attention__scale=0.21, embedding_scale=1.7, residual_scale=0.6, logit_scale=2.5),
    "granitemoe": _with(
        attention__scale=0.21, embedding_scale=1.7, residual_scale=0.6, logit_scale=2.5, **_EXPERTS
    ),
    "qwen2": _with(),
    "qwen2moe": _with(
        **_EXPERTS, expert_feed_forward_length=EXPERT_FFN, expert_shared_feed_forward_length=48
    ),
    "qwen3moe": _with(**_WIDE_HEADS, **_EXPERTS, expert_feed_forward_length=EXPERT_FFN),
    "olmoe": _with(attention__head_count_kv=NUM_HEADS, **_EXPERTS, feed_forward_length=EXPERT_FFN),
    "gpt2": _with(
        attention__layer_norm_rms_epsilon=None,
        attention__layer_norm_epsilon=1e-5,
        attention__head_count_kv=None,
        rope__freq_base=None,
    ),
    "qwen3": _with(**_WIDE_HEADS),
    "qwen35": _with(
        **_WIDE_HEADS,
        block_count=4,
        full_attention_interval=4,
        rope__dimension_count=8,
        rope__dimension_sections=[2, 1, 1, 0],
        ssm__conv_kernel=4,
        ssm__inner_size=64,
        ssm__state_size=16,
        ssm__time_step_rank=4,
        ssm__group_count=2,
    ),
    "olmo2": _with(),
    "gemma": _with(**_WIDE_HEADS),
    "gemma2": _with(
        **_WIDE_HEADS,
        attention__sliding_window=12,
        attn_logit_softcapping=7.0,
        final_logit_softcapping=3.0,
    ),
    "gemma3": _with(**_WIDE_HEADS, attention__sliding_window=12, block_count=7),
    "phi3": _with(rope__dimension_count=HEAD),
    "starcoder2": _with(attention__layer_norm_rms_epsilon=None, attention__layer_norm_epsilon=1e-5),
    "mamba": _with(
        attention__head_count=0,
        attention__head_count_kv=None,
        feed_forward_length=0,
        rope__freq_base=None,
        ssm__conv_kernel=4,
        ssm__inner_size=2 * WIDTH,
        ssm__state_size=8,
        ssm__time_step_rank=6,
    ),
    "lfm2": _with(
        attention__head_count_kv=[0, NUM_KEY_HEADS, 0, NUM_KEY_HEADS], block_count=4, shortconv__l_cache=3
    ),
}
ARCHITECTURES = tuple(_SETTINGS)
_UNTIED = ("llama", "olmo2", "olmoe", "phi3", "qwen3", "qwen35", "qwen2moe", "qwen3moe")
_BIASED_QKV = ("qwen2", "qwen2moe", "starcoder2")
_ROUTED = ("granitemoe", "olmoe", "qwen2moe", "qwen3moe")


def _tensors(architecture: str, vocab_size: int) -> Tensors:
    random = np.random.default_rng(sum(map(ord, architecture)))
    settings = {key.split(".", 1)[1]: value for key, value in _SETTINGS[architecture](architecture).items()}
    num_layers = int(str(settings["block_count"]))
    head = int(str(settings.get("attention.key_length", HEAD)))
    num_key_heads = NUM_HEADS if architecture == "olmoe" else NUM_KEY_HEADS
    tensors: Tensors = {}

    def matrix(name: str, rows: int, columns: int, scale: float = 1.0) -> None:
        tensors[name] = (random.standard_normal((rows, columns)) * scale / columns**0.5).astype(np.float32)

    def vector(name: str, size: int, mean: float) -> None:
        tensors[name] = (mean + 0.3 * random.standard_normal(size)).astype(np.float32)

    matrix("token_embd.weight", vocab_size, WIDTH, scale=8.0)
    if architecture in _UNTIED:
        matrix("output.weight", vocab_size, WIDTH, scale=4.0)
    norm_biases = architecture in ("gpt2", "starcoder2")
    if architecture == "gpt2":
        matrix("position_embd.weight", 256, WIDTH, scale=4.0)
    top_norm = "token_embd_norm" if architecture == "lfm2" else "output_norm"
    vector(f"{top_norm}.weight", WIDTH, 1.0)
    if norm_biases:
        vector(f"{top_norm}.bias", WIDTH, 0.0)
    for layer in range(num_layers):
        block = f"blk.{layer}."
        if architecture == "mamba":
            _mamba_layer(block, vector, matrix, tensors, random)
            continue
        if architecture == "qwen35":
            _qwen35_layer(block, layer, vector, matrix, tensors, random)
            continue
        attends = architecture != "lfm2" or layer % 2 == 1
        if architecture != "olmo2":
            for norm in ("attn_norm", "ffn_norm"):
                vector(f"{block}{norm}.weight", WIDTH, 1.0)
                if norm_biases:
                    vector(f"{block}{norm}.bias", WIDTH, 0.0)
        if architecture in ("gemma2", "gemma3", "olmo2"):
            vector(f"{block}post_attention_norm.weight", WIDTH, 1.0)
            vector(f"{block}post_ffw_norm.weight", WIDTH, 1.0)
        if architecture in ("qwen3", "qwen3moe", "gemma3") or (architecture == "lfm2" and attends):
            vector(f"{block}attn_q_norm.weight", head, 1.0)
            vector(f"{block}attn_k_norm.weight", head, 1.0)
        if architecture in ("olmo2", "olmoe"):
            vector(f"{block}attn_q_norm.weight", NUM_HEADS * head, 1.0)
            vector(f"{block}attn_k_norm.weight", num_key_heads * head, 1.0)
        if not attends:
            matrix(f"{block}shortconv.in_proj.weight", 3 * WIDTH, WIDTH, 2.0)
            matrix(f"{block}shortconv.out_proj.weight", WIDTH, WIDTH, 2.0)
            matrix(f"{block}shortconv.conv.weight", WIDTH, 3)
        elif architecture == "gpt2":
            matrix(f"{block}attn_qkv.weight", 3 * WIDTH, WIDTH, 2.0)
            vector(f"{block}attn_qkv.bias", 3 * WIDTH, 0.0)
        elif architecture == "phi3":
            matrix(f"{block}attn_qkv.weight", (NUM_HEADS + 2 * num_key_heads) * head, WIDTH, 2.0)
        else:
            for part, heads in (("q", NUM_HEADS), ("k", num_key_heads), ("v", num_key_heads)):
                matrix(f"{block}attn_{part}.weight", heads * head, WIDTH, 2.0)
                if architecture in _BIASED_QKV:
                    vector(f"{block}attn_{part}.bias", heads * head, 0.0)
        if attends:
            matrix(f"{block}attn_output.weight", WIDTH, NUM_HEADS * head, 2.0)
        if architecture in _ROUTED:
            width = FFN if architecture == "granitemoe" else EXPERT_FFN
            tensors.update(routed_mlp(layer, width, has_shared=architecture == "qwen2moe"))
            continue
        if architecture == "phi3":
            matrix(f"{block}ffn_up.weight", 2 * FFN, WIDTH, 2.0)
        else:
            matrix(f"{block}ffn_up.weight", FFN, WIDTH, 2.0)
            if not norm_biases:
                matrix(f"{block}ffn_gate.weight", FFN, WIDTH, 2.0)
        matrix(f"{block}ffn_down.weight", WIDTH, FFN, 2.0)
        if norm_biases:
            for part, size in (("attn_output", WIDTH), ("ffn_up", FFN), ("ffn_down", WIDTH)):
                vector(f"{block}{part}.bias", size, 0.0)
    return tensors


def routed_mlp(layer: int, width: int, *, has_shared: bool = False) -> Tensors:
    """Experts and their router, in place of an MLP."""
    random = np.random.default_rng(1000 + layer)
    block = f"blk.{layer}.ffn_"
    shapes: dict[str, tuple[int, ...]] = {
        "gate_inp": (NUM_EXPERTS, WIDTH),
        "gate_exps": (NUM_EXPERTS, width, WIDTH),
        "up_exps": (NUM_EXPERTS, width, WIDTH),
        "down_exps": (NUM_EXPERTS, WIDTH, width),
    }
    if has_shared:
        shapes |= {"gate_inp_shexp": (WIDTH,), "gate_shexp": (48, WIDTH), "up_shexp": (48, WIDTH)}
        shapes |= {"down_shexp": (WIDTH, 48)}
    return {
        f"{block}{name}.weight": (2 * random.standard_normal(shape) / shape[-1] ** 0.5).astype(np.float32)
        for name, shape in shapes.items()
    }


def _qwen35_layer(block, layer, vector, matrix, tensors, random) -> None:  # type: ignore[no-untyped-def]
    num_keys, num_values, head = 2, 4, 16
    for norm in ("attn_norm", "post_attention_norm"):
        vector(f"{block}{norm}.weight", WIDTH, 1.0)
    if (layer + 1) % 4 == 0:
        matrix(f"{block}attn_q.weight", 2 * NUM_HEADS * 32, WIDTH, 2.0)  # and a gate for each
        for part in "kv":
            matrix(f"{block}attn_{part}.weight", NUM_KEY_HEADS * 32, WIDTH, 2.0)
        matrix(f"{block}attn_output.weight", WIDTH, NUM_HEADS * 32, 2.0)
        for norm in ("attn_q_norm", "attn_k_norm"):
            vector(f"{block}{norm}.weight", 32, 1.0)
    else:
        num_channels = (2 * num_keys + num_values) * head
        matrix(f"{block}attn_qkv.weight", num_channels, WIDTH, 2.0)
        matrix(f"{block}attn_gate.weight", num_values * head, WIDTH, 2.0)
        matrix(f"{block}ssm_conv1d.weight", num_channels, 4)
        for part in ("alpha", "beta"):
            matrix(f"{block}ssm_{part}.weight", num_values, WIDTH, 1.0)
        vector(f"{block}ssm_dt.bias", num_values, 0.0)
        tensors[f"{block}ssm_a"] = -random.uniform(0.1, 2.0, num_values).astype(np.float32)
        vector(f"{block}ssm_norm.weight", head, 1.0)
        matrix(f"{block}ssm_out.weight", WIDTH, num_values * head, 2.0)
    for part in ("gate", "up"):
        matrix(f"{block}ffn_{part}.weight", FFN, WIDTH, 2.0)
    matrix(f"{block}ffn_down.weight", WIDTH, FFN, 2.0)


def _mamba_layer(block, vector, matrix, tensors, random) -> None:  # type: ignore[no-untyped-def]
    inner, state, rank, kernel = 2 * WIDTH, 8, 6, 4
    vector(f"{block}attn_norm.weight", WIDTH, 1.0)
    matrix(f"{block}ssm_in.weight", 2 * inner, WIDTH, 2.0)
    matrix(f"{block}ssm_conv1d.weight", inner, kernel)
    vector(f"{block}ssm_conv1d.bias", inner, 0.0)
    matrix(f"{block}ssm_x.weight", rank + 2 * state, inner, 2.0)
    matrix(f"{block}ssm_dt.weight", inner, rank)
    vector(f"{block}ssm_dt.bias", inner, -1.0)
    tensors[f"{block}ssm_a"] = -random.uniform(0.2, 4.0, (inner, state)).astype(np.float32)
    vector(f"{block}ssm_d", inner, 1.0)
    matrix(f"{block}ssm_out.weight", WIDTH, inner, 2.0)


_RWKV_LERPS = "rwkvag"


def write_rwkv7(
    path: Path,
    official: Mapping[str, NDArray[np.float32]],
    *,
    quantisation: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    world: bool,
    extra: Metadata | None = None,
) -> Path:
    """Official tensors in llama.cpp's names and layouts, as its converter writes them.

    Args:
        path: where the file goes.
        official: tensors of an official checkpoint.
        quantisation: of the matrices.
        world: whether the vocabulary is World's; else it is bytes and a document start.
        extra: more metadata.
    """
    vocab_size, width = official["emb.weight"].shape
    num_layers = 1 + max(int(name.split(".")[1]) for name in official if name.startswith("blocks."))
    settings = {
        "context_length": 1048576,
        "embedding_length": width,
        "block_count": num_layers,
        "feed_forward_length": official["blocks.0.ffn.key.weight"].shape[0],
        "attention.layer_norm_epsilon": 1e-5,
        "attention.head_count": 0,
        "wkv.head_size": official["blocks.0.att.r_k"].shape[1],
        "attention.decay_lora_rank": official["blocks.0.att.w1"].shape[1],
        "attention.iclr_lora_rank": official["blocks.0.att.a1"].shape[1],
        "attention.value_residual_mix_lora_rank": official["blocks.1.att.v1"].shape[1],
        "attention.gate_lora_rank": official["blocks.0.att.g1"].shape[1],
    }
    tokens = world_tokens() if world else [repr(bytes([byte]))[2:-1] for byte in range(256)]
    types = [1] * len(tokens)
    if world:
        tokens, types = ["<s>", *tokens], [3, *types]
    types += [5] * (vocab_size - len(tokens))
    tokens += [f"[PAD{index}]" for index in range(len(tokens), vocab_size)]
    metadata = {
        **{f"rwkv7.{key}": value for key, value in settings.items()},
        "tokenizer.ggml.model": "rwkv",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        **(extra or {}),
    }
    tensors = {name: tensor for layer in range(num_layers) for name, tensor in _rwkv_layer(official, layer)}
    for name, theirs in (("emb", "token_embd"), ("head", "output"), ("ln_out", "output_norm")):
        tensors[f"{theirs}.weight"] = official[f"{name}.weight"]
    tensors["output_norm.bias"] = official["ln_out.bias"]
    for kind in ("weight", "bias"):
        tensors[f"token_embd_norm.{kind}"] = official[f"blocks.0.ln0.{kind}"]
    return write_gguf(path, "rwkv7", metadata, tensors, quantisation=quantisation)


def _rwkv_layer(
    official: Mapping[str, NDArray[np.float32]], layer: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    block = f"blk.{layer}."
    parts = {
        name.split(".", 2)[2]: tensor
        for name, tensor in official.items()
        if name.startswith(f"blocks.{layer}.")
    }
    lerps = [parts[f"att.x_{letter}"].reshape(1, 1, -1) for letter in _RWKV_LERPS]
    yield f"{block}time_mix_lerp_fused.weight", np.stack(lerps)
    yield f"{block}channel_mix_lerp_k.weight", parts["ffn.x_k"].reshape(1, 1, -1)
    for kind in ("weight", "bias"):
        yield f"{block}attn_norm.{kind}", parts[f"ln1.{kind}"]
        yield f"{block}attn_norm_2.{kind}", parts[f"ln2.{kind}"]
        yield f"{block}time_mix_ln.{kind}", parts[f"att.ln_x.{kind}"]
    for name in ("key", "value", "receptance", "output"):
        yield f"{block}time_mix_{name}.weight", parts[f"att.{name}.weight"]
    for name in ("key", "value"):
        yield f"{block}channel_mix_{name}.weight", parts[f"ffn.{name}.weight"]
    for name in ("w", "a", "v", "g"):
        source = "a" if layer == 0 and name == "v" else name  # the converter fills what nothing reads
        for index in "012" if name != "g" else "12":
            tensor = parts[f"att.{source}{index}"]
            yield f"{block}time_mix_{name}{index}.weight", tensor.reshape(-1) if index == "0" else tensor.T
    for name in ("k_k", "k_a", "r_k"):
        yield f"{block}time_mix_{name}.weight", parts[f"att.{name}"].reshape(-1)


@functools.cache
def _world_lines() -> tuple[bytes, ...]:
    """World's tokens from id 1 on, by the published file."""
    from pyrwkv_tokenizer import RWKVTokenizer

    tokens = {}
    for line in Path(RWKVTokenizer().vocab_filepath).read_text(encoding="utf-8").splitlines():
        index, literal = line.split(" ", 1)
        value = ast.literal_eval(literal.rsplit(" ", 1)[0])
        tokens[int(index)] = value if isinstance(value, bytes) else value.encode()
    return tuple(tokens[index] for index in range(1, len(tokens) + 1))


def world_tokens() -> list[str]:
    """The same as llama.cpp's converter writes them."""
    return [repr(token)[2:-1] for token in _world_lines()]
