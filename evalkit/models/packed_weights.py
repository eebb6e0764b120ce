"""How many parameters quantised weights stand for: several are packed into an element, and scales go beside.

| method | parameters of an element |
|---|---|
| GPTQ, AWQ (``qweight``), compressed-tensors (``weight_packed``) | 32 bits by those of a parameter |
| bytes: bitsandbytes of 4 bits (``quant_state``), NVFP4 (``weight_scale``), MXFP4 (``…_blocks``) | 2 |
| FP8, bitsandbytes of 8 bits | 1 |
"""

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

_WORD_BITS = 32
_PACKED = re.compile(r"(?:^|\.)(?:qweight|weight_packed)$")
_BLOCKS = re.compile(r"_blocks$")
_BESIDE = re.compile(
    r"(?:^|[._])(?:qzeros|scales|g_idx|absmax|quant_map|nested_absmax|nested_quant_map|SCB|weight_format"
    r"|weight_scale(?:_inv|_2)?|scale_inv|input_scale|[kv]_scale|weight_shape|weight_zero_point"
    r"|(?:weight|input)_global_scale|weight_g_idx)$|\.quant_state\."
)
"""Names of what only says how the weights are meant."""
_WHOLE = ("float64", "float32", "float16", "bfloat16")
_OF_ONE_BYTE = ("float8_e4m3fn", "float8_e5m2", "int8")


class StoredTensor(NamedTuple):
    """A tensor of a weight file, from its header."""

    name: str
    shape: tuple[int, ...]
    num_bytes: int
    dtype: str
    """torch's name of it."""


def num_packed_parameters(tensors: Sequence[StoredTensor], num_bits: int | None) -> int | None:
    """The parameters that a quantised model's tensors stand for; None where a tensor is of no known form.

    Args:
        tensors: all of them, scales and zero points included.
        num_bits: of a parameter, as ``quantization_config`` states it; None: it does not.
    """
    names = {tensor.name for tensor in tensors}
    total = Fraction(0)
    for tensor in tensors:
        if _BESIDE.search(tensor.name):
            continue
        per_element = _parameters_of_an_element(tensor, names, num_bits)
        if per_element is None:
            return None
        total += math.prod(tensor.shape) * per_element
    return round(total)


def _parameters_of_an_element(tensor: StoredTensor, names: set[str], num_bits: int | None) -> Fraction | None:
    if tensor.dtype in (*_WHOLE, *_OF_ONE_BYTE):
        return Fraction(1)
    if tensor.dtype == "uint8":
        has_state = any(name.startswith(f"{tensor.name}.quant_state.") for name in names)
        is_packed = has_state or f"{tensor.name}_scale" in names or _BLOCKS.search(tensor.name)
        return Fraction(2) if is_packed or _PACKED.search(tensor.name) else None
    if tensor.dtype == "int32" and _PACKED.search(tensor.name) and num_bits:
        return Fraction(_WORD_BITS, num_bits)
    return None
