"""The library of the native loops: what a wheel brings for this processor, or what is compiled here and kept.

Imports nothing that has to be installed: what builds wheels (`hatch_build.py`) loads this file by itself.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SOURCES = tuple(Path(__file__).with_name(name) for name in ("wkv7_cpu.c", "attention_cpu.c"))
_HEADER = Path(__file__).with_name("native_loops.h")
# Apple's compiler has the processor that it runs on under another option.
_PROCESSOR = "-mcpu=native" if platform.machine() == "arm64" else "-march=native"
# Comparisons may trap by the book, so that no loop with one is made of vectors. Nobody here looks at traps,
# and the numbers are the same.
COMMON_FLAGS = ("-fno-trapping-math", "-shared", "-fPIC")
FLAGS = ("-O3", _PROCESSOR, *COMMON_FLAGS)
ARCHITECTURES = {
    "x86_64": {"AVX512": "x86-64-v4", "AVX2": "x86-64-v3", "DEFAULT": "x86-64"},
    "aarch64": {"DEFAULT": "armv8-a"},
}
"""What wheels bring libraries for: by machine and by what torch says that the processor can, ``-march``."""

_COMPILERS = ("cc", "gcc", "clang")
_COMPILE_SECONDS = 120


class NativeLibrary(NamedTuple):
    """The library, and what to say of it."""

    library: ctypes.CDLL | None
    origin: str
    """``prebuilt for x86-64-v3``, ``cc -O3 -march=native``; without a library, why there is none."""


@functools.cache
def native_library(capability: str) -> NativeLibrary:
    """The library for this processor.

    Args:
        capability: what torch says that the processor can: ``torch.backends.cpu.get_cpu_capability()``.
    """
    with contextlib.suppress(OSError):  # not in this installation, or for another C library
        architectures = ARCHITECTURES.get(platform.machine(), {})
        name = capability if capability in architectures else "DEFAULT"
        library = ctypes.CDLL(str(prebuilt_path(platform.machine(), name)))
        return NativeLibrary(library, f"prebuilt for {architectures[name]}")
    compiler = find_compiler()
    if compiler is None:
        return NativeLibrary(None, "no C compiler found")
    try:
        library = _load(compiler)
    except subprocess.CalledProcessError as error:
        lines = [*error.stderr.strip().splitlines(), f"exit status {error.returncode}"]
        return NativeLibrary(None, f"{Path(compiler[0]).name} failed: {lines[0]}")
    except (OSError, subprocess.TimeoutExpired) as error:
        return NativeLibrary(None, str(error))
    return NativeLibrary(library, " ".join((Path(compiler[0]).name, *compiler[1:], *FLAGS[:2])))


def prebuilt_path(machine: str, capability: str) -> Path:
    """Where a wheel has the library for a machine (`platform.machine()`) and a name in `ARCHITECTURES`."""
    return _HEADER.with_name("prebuilt") / f"native_loops-{machine}-{capability}.so"


def find_compiler() -> tuple[str, ...] | None:
    """The compiler and its own flags: ``$CC``, or the first of the usual names that exists."""
    for command in (shlex.split(os.environ.get("CC", "")), *([name] for name in _COMPILERS)):
        if command and (path := shutil.which(command[0])):
            return (path, *command[1:])
    return None


def compile_library(compiler: Sequence[str], flags: Sequence[str], product: Path) -> None:
    """Compile the sources.

    Raises:
        subprocess.CalledProcessError, subprocess.TimeoutExpired: the compiler failed.
        OSError: it cannot be started.
    """
    _output([*compiler, *flags, "-o", str(product), *map(str, SOURCES)])


def _load(compiler: Sequence[str]) -> ctypes.CDLL:
    """The library out of the cache, or else compiled into it.

    Raises:
        subprocess.CalledProcessError, subprocess.TimeoutExpired: the compiler failed.
        OSError: it cannot be started, or its product not loaded.
    """
    from platformdirs import user_cache_path

    root = os.environ.get("EVALKIT_CACHE")
    folder = (Path(root) if root else user_cache_path("evalkit", appauthor=False)) / "native"
    if not root and not folder.is_absolute():
        folder = Path(os.devnull, "native")  # a user without a home: no folder can be made there
    path = folder / f"native_loops-{_build_key(compiler)}.so"
    if path.is_file():
        return ctypes.CDLL(str(path))
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            build = stack.enter_context(tempfile.TemporaryDirectory(dir=folder))
        except OSError:  # a cache that cannot be written: compile for this process alone
            build = stack.enter_context(tempfile.TemporaryDirectory())
        product = Path(build) / path.name
        compile_library(compiler, FLAGS, product)
        if product.parent.parent == folder:
            product.replace(path)
            return ctypes.CDLL(str(path))
        return ctypes.CDLL(str(product))  # stays mapped after the file is gone


def _build_key(compiler: Sequence[str]) -> str:
    """Digest of all that the product depends on, so that a shared cache never serves another processor."""
    version = _output([*compiler, "--version"])
    cpuinfo = Path("/proc/cpuinfo")
    cpu = {platform.machine(), platform.processor()}
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        cpu |= {line for line in lines if line.startswith(("model", "cpu family", "flags", "Features"))}
    sources = [path.read_text(encoding="utf-8") for path in (_HEADER, *SOURCES)]
    parts = (*sources, *compiler, *FLAGS, version, *sorted(cpu))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_COMPILE_SECONDS)
    return done.stdout
