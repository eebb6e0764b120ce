"""Calls of the native loops: tensors as their structures have them, and torch's threads to run in."""

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from evalkit_kernels.native_library import NativeLibrary, native_library

POINTER, INT = ctypes.c_void_p, ctypes.c_int64
_PARALLEL_SIZE = 1 << 15
"""Below this many elements a second thread costs more than it saves."""


class Operand(ctypes.Structure):
    """``struct operand``: a ``[B, T, H, N]`` tensor with its strides."""

    _fields_ = (("data", POINTER), ("batch", INT), ("time", INT), ("head", INT))


def status() -> str:
    """What serves: ``native (cc -O3 ...)``, ``native (prebuilt for ...)``, or ``torch: `` and why."""
    return _native().origin


def available() -> bool:
    """Whether the library is, or can be, compiled and loaded here."""
    return _native().library is not None


def rows(x: Tensor) -> Tensor:
    """The same with the last axis contiguous, as an `Operand` must be."""
    return x if x.stride(-1) == 1 else x.contiguous()


def operands(tensors: Sequence[Tensor], count: int) -> ctypes.Array[Operand]:
    """``struct operand[count]``; those that are missing at the end have no data."""
    return (Operand * count)(*(Operand(x.data_ptr(), *x.stride()[:3]) for x in tensors))


def pointers(tensors: Sequence[Tensor], count: int) -> ctypes.Array[ctypes.c_void_p]:
    """``float *[count]``; those that are missing at the end are null."""
    return (POINTER * count)(*(x.data_ptr() for x in tensors))


def run(function: str, size: int, arguments: ctypes.Structure) -> None:
    """Run a native function in as many threads as torch uses; they deal out its pieces among themselves.

    The threads are torch's own: those of another pool would compete with these, which keep their cores
    busy for milliseconds after every operator. ctypes releases the interpreter's lock meanwhile.
    """
    library = _native().library
    if library is None:
        raise RuntimeError(status())
    parallel = _openmp_parallel()
    num_threads = torch.get_num_threads()
    if parallel is None or num_threads == 1 or size < _PARALLEL_SIZE:
        library[function](ctypes.byref(arguments))
    else:
        parallel(library[function], ctypes.byref(arguments), num_threads, 0)


@functools.cache
def _openmp_parallel() -> Any:
    """``GOMP_parallel(function, data, num_threads, flags)`` of the OpenMP runtime that torch has loaded."""
    try:
        parallel = ctypes.CDLL(torch._C.__file__).GOMP_parallel
    except (AttributeError, OSError):  # another runtime, without GNU's entry points: one thread
        return None
    parallel.argtypes = (POINTER, POINTER, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None
    return parallel


@functools.cache
def _native() -> NativeLibrary:
    native = native_library(torch.backends.cpu.get_cpu_capability())
    if native.library is None:
        return NativeLibrary(None, f"torch: {native.origin}")
    for function in (
        native.library.evalkit_attention,
        native.library.evalkit_wkv7,
        native.library.evalkit_wkv7_backward,
        native.library.evalkit_time_mix,
        native.library.evalkit_token_shift,
        native.library.evalkit_squared_relu,
    ):
        function.restype = None
    threads = ", one thread" if _openmp_parallel() is None else ""
    return NativeLibrary(native.library, f"native ({native.origin}{threads})")
