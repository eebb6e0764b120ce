"""The operators that a language model's score is made of, each with a plain reference beside it."""

from evalkit_kernels.linear import linear
from evalkit_kernels.linear_nll import linear_nll
from evalkit_kernels.wkv7 import wkv7

__all__ = ["linear", "linear_nll", "wkv7"]
