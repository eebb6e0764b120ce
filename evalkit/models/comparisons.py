"""What has been compared with what, by format and architecture: printed by ``evalkit models formats``."""

from collections.abc import Iterator
from typing import NamedTuple

_RWKV7_TESTS = "tests/evalkit/models/rwkv7/test_model.py"
_HF_TESTS = "tests/evalkit/models/hf/test_architectures.py"
_GGUF_TESTS = "tests/evalkit/models/gguf"
_SERVER_TESTS = "tests/evalkit/models/openai"
_SMOLLM2_TESTS = f"{_GGUF_TESTS}/test_smollm2.py"


class Comparison(NamedTuple):
    """A comparison that a test makes; its agreement is the test's tolerance."""

    format: str
    """What the weights are in."""
    architecture: str
    compared: str
    """What was computed."""
    reference: str
    """The program that it was compared with."""
    agreement: str
    test: str
    """The file that makes the comparison."""


def comparisons() -> Iterator[Comparison]:
    """All comparisons, by format."""
    yield Comparison(
        ".pth", "rwkv7", "logits of a trained model", "rwkv.cpp's expected logits", "1e-5", _RWKV7_TESTS
    )
    yield Comparison(
        ".pth", "rwkv7", "nats, token ids", "package rwkv 0.8", "1e-4 nats a token", _RWKV7_TESTS
    )
    yield Comparison(
        "safetensors, fla's and the hub's layout", "rwkv7", "nats", "the .pth of the same weights",
        "to the last bit", _RWKV7_TESTS,
    )  # fmt: skip
    yield Comparison(
        "safetensors", "transformers' causal models, tiny", "nats alone, batched, carried on",
        "full logits in float64", "1e-6", _HF_TESTS,
    )  # fmt: skip
    of_harness = (
        ("policy lm-eval", "tests/evalkit/scoring/test_lm_eval_agreement.py"),
        ("answers of two tasks, greedy ones too", "tests/evalkit/exports/test_harness_model.py"),
    )
    for compared, test in of_harness:
        yield Comparison("safetensors", "llama", compared, "lm_eval 0.4.13", "1e-6", test)
    yield from _gguf()
    yield from _of_servers()
    yield Comparison(
        "codec", "xz, zstd, brotli, ppmd", "sizes", "the libraries' files without containers", "container",
        "tests/evalkit/models/test_compressors.py",
    )  # fmt: skip


def _gguf() -> Iterator[Comparison]:
    from evalkit.models.gguf.architectures import ARCHITECTURES

    real = (
        ("bits of ten documents", "transformers in float64, own dequantisation", "4e-6"),
        ("policy lm-eval", "lm_eval 0.4.13 in float64", "4e-6"),
        ("bits of ten documents", "llama.cpp on the weights in float32", "4e-6"),
        ("bits of ten documents", "llama.cpp on the file", "0.5 % in all, 2 % a document"),
        ("token ids of 2,000 nasty texts", "llama.cpp", "equal"),
    )
    for compared, reference, agreement in real:
        yield Comparison(
            "GGUF", "llama, SmolLM2-135M in Q4_1", compared, reference, agreement, _SMOLLM2_TESTS
        )
    # ggml looks GELU up in a table of float16.
    with_gelu = [name for name in sorted(ARCHITECTURES) if name.startswith(("gemma", "gpt2", "starcoder"))]
    without_gelu = [name for name in sorted(ARCHITECTURES) if name not in with_gelu]
    without_gelu.insert(without_gelu.index("llama") + 1, "llama with experts")
    for names, agreement in ((without_gelu, "2e-6"), (with_gelu, "2e-5")):
        yield Comparison(
            "GGUF", f"{', '.join(names)}, random", "nats", "llama.cpp, attending in float32", agreement,
            f"{_GGUF_TESTS}/test_architectures.py",
        )  # fmt: skip
    yield Comparison(
        "GGUF", "rwkv7, trained", "nats", "llama.cpp; the original with rounded weights",
        "2e-4 nats a token; to the last bit", f"{_GGUF_TESTS}/test_rwkv7.py",
    )  # fmt: skip
    yield Comparison(
        "GGUF in parts", "all", "nats", "the whole file; llama.cpp on the parts", "to the last bit; 2e-6",
        f"{_GGUF_TESTS}/test_parts.py",
    )  # fmt: skip
    yield Comparison(
        "GGUF", "all", "weights of 22 types", "ggml's own dequantisation", "3e-7",
        f"{_GGUF_TESTS}/test_dequantise.py",
    )  # fmt: skip
    yield Comparison(
        "GGUF", "all", "token ids by every way to cut texts", "llama.cpp", "equal but for marks in two",
        f"{_GGUF_TESTS}/test_tokenizer.py",
    )  # fmt: skip


def _of_servers() -> Iterator[Comparison]:
    yield Comparison(
        "a server's completions", "llama, trained", "bits of documents, cut into windows",
        "the checkpoint on this machine", "1e-6 bits a byte", f"{_SERVER_TESTS}/test_completions.py",
    )  # fmt: skip
    yield Comparison(
        "llama.cpp's server", "llama, random", "bits of documents, cut into windows",
        "the file, dequantised", "2e-5 bits a byte", f"{_SERVER_TESTS}/test_llamacpp_server.py",
    )  # fmt: skip
