"""Every type of weights: evalkit's numbers against ggml's own, exported by llama.cpp's library."""

import ctypes
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from evalkit.models.gguf.dequantise import quantisation_summary, read_tensor
from evalkit.models.gguf.header import TensorInfo
from evalkit.models.llamacpp.library import open_library

TYPES = (
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "TQ1_0", "TQ2_0"),
    *("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ1_M", "IQ4_NL", "IQ4_XS", "MXFP4"),
)
NUM_BLOCKS = 300


@pytest.mark.parametrize("type_name", TYPES)
def test_equals_ggml(tmp_path: Path, type_name: str) -> None:
    ggml_type = gguf.GGMLQuantizationType[type_name]
    block_size, block_bytes = gguf.GGML_QUANT_SIZES[ggml_type]
    stored = np.random.default_rng(0).integers(0, 256, NUM_BLOCKS * block_bytes, np.uint8)
    count = NUM_BLOCKS * block_size
    theirs = np.empty(count, np.float32)
    name = type_name.lower().replace("_k", "_K")
    function = getattr(open_library().functions, f"dequantize_row_{name}")
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    function.restype = None
    function(stored.ctypes.data, theirs.ctypes.data, count)

    path = tmp_path / "weights"
    path.write_bytes(b"before" + stored.tobytes() + b"behind")
    info = TensorInfo("t", (NUM_BLOCKS, block_size), type_name, 6, len(stored), path)
    with np.errstate(all="ignore"):  # random scales may be infinite or no numbers
        ours = read_tensor(info, torch.float32).numpy().ravel()
    finite = np.isfinite(theirs)
    assert finite.mean() > 0.9
    np.testing.assert_array_equal(np.isfinite(ours), finite)
    # Scales are multiplied in another order, which moves the last bit.
    np.testing.assert_allclose(ours[finite], theirs[finite], rtol=3e-7, atol=0)


@pytest.mark.parametrize("type_name", ["F32", "F16", "BF16"])
def test_whole_types_come_out_as_they_are(tmp_path: Path, type_name: str) -> None:
    dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[type_name]
    values = torch.randn(7, 5).to(dtype)
    path = tmp_path / "weights"
    path.write_bytes(values.contiguous().view(torch.uint8).numpy().tobytes())
    info = TensorInfo("t", (7, 5), type_name, 0, values.nbytes, path)
    torch.testing.assert_close(read_tensor(info, torch.float32), values.float(), rtol=0, atol=0)
    torch.testing.assert_close(read_tensor(info, dtype), values, rtol=0, atol=0)


def test_types_are_listed_by_the_bytes_that_they_take() -> None:
    path = Path("model.gguf")
    tensors = [
        TensorInfo("a", (32,), "F32", 0, 128, path),
        TensorInfo("b", (640,), "Q4_1", 0, 400, path),
        TensorInfo("c", (640,), "Q4_1", 0, 400, path),
        TensorInfo("d", (320,), "Q8_0", 0, 340, path),
    ]
    assert quantisation_summary(tensors) == "Q4_1 (2), Q8_0 (1), F32 (1)"
