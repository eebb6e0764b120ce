"""Triton's kernels in its interpreter, and what they compile to."""

from tests.support.triton_kernels import KERNELS, compiler, import_to_interpret, interpreter_serves

import_to_interpret(*KERNELS)

__all__ = ["compiler", "interpreter_serves"]
