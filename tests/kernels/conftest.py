"""Triton's kernels in its interpreter, and what they compile to."""

from tests.support.triton_kernels import compiler, interpreter_serves

__all__ = ["compiler", "interpreter_serves"]
