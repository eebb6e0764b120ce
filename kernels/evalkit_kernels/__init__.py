"""The operators that a language model's score is made of, each with a plain reference beside it."""

from evalkit_kernels.linear import linear
from evalkit_kernels.linear_nll import linear_logits, linear_nll
from evalkit_kernels.wkv7 import wkv7

__all__ = ["NUMERICS_VERSION", "linear", "linear_logits", "linear_nll", "wkv7"]

NUMERICS_VERSION = 1
"""Part of the key of what is computed with these operators alone; raised by a change of their results."""
