"""Make a quantised GGUF file: of another GGUF file, or of an RWKV-7 checkpoint.

    python -m evalkit.models.gguf.quantise rwkv7-nano Q4_1 nano-Q4_1.gguf
    python -m evalkit.models.gguf.quantise small-F16.gguf Q8_0 small-Q8_0.gguf

Matrices are rounded by the quantiser of the package gguf, which has F16, BF16, Q8_0, Q5_1, Q5_0, Q4_1, Q4_0
and more; vectors, kernels of convolutions and rows that are no whole blocks stay in 32 bits. The program
``llama-quantize`` of llama.cpp has more types, mixes them and can look at activations: this is for knowing
what a type costs, with ``evalkit compare --kl``.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.errors import ModelError, UsageError
from evalkit.files import atomic_write
from evalkit.models.catalog import load_catalog, resolve_spec
from evalkit.models.gguf.dequantise import read_tensor
from evalkit.models.gguf.parts import names_of_parts, read_parts
from evalkit.models.gguf.vocabulary import add_vocabulary
from evalkit.models.rwkv7.checkpoint import read_tensors
from evalkit.terminal import show

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFWriter

_UNTOUCHED = re.compile(r"conv1d|shortconv\.conv|lerp|ssm_a|rope_f")
Named = tuple[str, NDArray[np.float32]]


def quantise(source: str, type_name: str, target: Path) -> None:
    """Write a GGUF file whose matrices are of one type.

    Args:
        source: a GGUF file, or a catalog name or ``rwkv7:PATH`` of an RWKV-7 checkpoint on this machine.
        type_name: as ggml calls it: ``Q4_1``.
        target: the file, written whole or not at all.

    Raises:
        UsageError: gguf has no such type or no quantiser for it.
        ModelError: the source cannot be read.
    """
    kind = _type_of(type_name)
    with atomic_write(target) as temporary:
        if source.endswith(".gguf"):
            _write_file(Path(source), kind, temporary)
        else:
            _write_rwkv7(source, kind, temporary)


def _type_of(name: str) -> "GGMLQuantizationType":
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quantize

    try:
        kind = GGMLQuantizationType[name]
        quantize(np.zeros((1, GGML_QUANT_SIZES[kind][0]), np.float32), kind)
    except (KeyError, NotImplementedError):
        raise UsageError(f"gguf has no quantiser for {name!r}; give Q8_0, Q5_1, Q4_1, Q4_0, F16, …") from None
    return kind


def _write_file(source: Path, kind: "GGMLQuantizationType", target: Path) -> None:
    from gguf import GGUFReader, GGUFWriter

    if not source.is_file():
        raise ModelError(f"there is no file {source}")
    header = read_parts([source.parent / name for name in names_of_parts(source.name)])
    writer = GGUFWriter(target, header.architecture)
    for key, field in GGUFReader(header.path).fields.items():
        if not key.startswith(("GGUF.", "split.")) and key not in (
            "general.architecture",
            "general.file_type",
        ):
            item_type = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], item_type)
    tensors = ((name, read_tensor(info, torch.float32).numpy()) for name, info in header.tensors.items())
    _write(writer, tensors, kind)


def _write_rwkv7(source: str, kind: "GGMLQuantizationType", target: Path) -> None:
    from gguf import GGUFWriter

    entry = resolve_spec(source, load_catalog())
    path = entry.local_path
    if entry.loader != "rwkv7" or path is None:
        raise UsageError(f"{source} is neither a GGUF file nor an RWKV-7 checkpoint on this machine")
    official = {name: tensor.float().numpy() for name, tensor in read_tensors(path).items()}
    writer = GGUFWriter(target, "rwkv7")
    writer.add_name(entry.name)
    num_layers = 1 + max(int(name.split(".")[1]) for name in official if name.startswith("blocks."))
    vocab_size, width = official["emb.weight"].shape
    sizes = {
        "context_length": 1048576,
        "embedding_length": width,
        "block_count": num_layers,
        "feed_forward_length": official["blocks.0.ffn.key.weight"].shape[0],
        "attention.head_count": 0,
        "wkv.head_size": official["blocks.0.att.r_k"].shape[1],
        **{
            f"attention.{rank}_lora_rank": official[f"blocks.1.att.{letter}1"].shape[1]
            for rank, letter in (("decay", "w"), ("iclr", "a"), ("value_residual_mix", "v"), ("gate", "g"))
        },
    }
    for key, size in sizes.items():
        writer.add_uint32(f"rwkv7.{key}", size)
    writer.add_float32("rwkv7.attention.layer_norm_epsilon", 1e-5)
    add_vocabulary(writer, entry, path, vocab_size)
    _write(writer, _llama_cpp_tensors(official, num_layers), kind)


def _llama_cpp_tensors(official: dict[str, NDArray[np.float32]], num_layers: int) -> Iterator[Named]:
    """The tensors of a checkpoint under llama.cpp's names and in its layouts."""
    for name, theirs in (("emb", "token_embd"), ("head", "output"), ("ln_out", "output_norm")):
        yield f"{theirs}.weight", official[f"{name}.weight"]
    yield "output_norm.bias", official["ln_out.bias"]
    for part in ("weight", "bias"):
        yield f"token_embd_norm.{part}", official[f"blocks.0.ln0.{part}"]
    for layer in range(num_layers):
        ours, theirs = f"blocks.{layer}.", f"blk.{layer}."
        lerps = [official[f"{ours}att.x_{letter}"].reshape(1, 1, -1) for letter in "rwkvag"]
        yield f"{theirs}time_mix_lerp_fused.weight", np.stack(lerps)
        yield f"{theirs}channel_mix_lerp_k.weight", official[f"{ours}ffn.x_k"].reshape(1, 1, -1)
        for part in ("weight", "bias"):
            yield f"{theirs}attn_norm.{part}", official[f"{ours}ln1.{part}"]
            yield f"{theirs}attn_norm_2.{part}", official[f"{ours}ln2.{part}"]
            yield f"{theirs}time_mix_ln.{part}", official[f"{ours}att.ln_x.{part}"]
        for name in ("key", "value", "receptance", "output"):
            yield f"{theirs}time_mix_{name}.weight", official[f"{ours}att.{name}.weight"]
        for name in ("key", "value"):
            yield f"{theirs}channel_mix_{name}.weight", official[f"{ours}ffn.{name}.weight"]
        for letter in "wavg":
            # Nothing reads a value residual in the first layer; the converter puts its neighbour there.
            place = "a" if layer == 0 and letter == "v" else letter
            for number in "12" if letter == "g" else "012":
                tensor = official[f"{ours}att.{place}{number}"]
                moved = tensor.reshape(-1) if number == "0" else tensor.T
                yield f"{theirs}time_mix_{letter}{number}.weight", moved
        for name in ("k_k", "k_a", "r_k"):
            yield f"{theirs}time_mix_{name}.weight", official[f"{ours}att.{name}"].reshape(-1)


def _write(writer: "GGUFWriter", tensors: Iterator[Named], kind: "GGMLQuantizationType") -> None:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quantize

    block_size = GGML_QUANT_SIZES[kind][0]
    for name, tensor in tensors:
        values = np.ascontiguousarray(tensor, np.float32)
        is_whole = values.ndim > 1 and values.shape[-1] % block_size == 0
        if is_whole and kind != GGMLQuantizationType.F32 and not _UNTOUCHED.search(name):
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Quantise, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m evalkit.models.gguf.quantise", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", help="a GGUF file, or the name of an RWKV-7 checkpoint on this machine")
    parser.add_argument("type", help="Q8_0, Q5_1, Q4_1, Q4_0, F16, …")
    parser.add_argument("target", type=Path, help="the file to write")
    arguments = parser.parse_args()
    try:
        quantise(arguments.source, arguments.type, arguments.target)
    except (ModelError, UsageError) as error:
        parser.exit(2, f"{error}\n")
    show(f"{arguments.target}: {arguments.target.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
