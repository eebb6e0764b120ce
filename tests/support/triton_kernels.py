"""The one way in which tests run Triton's kernels: on a GPU where there is one, else in its interpreter.

Triton decides when it is imported whether it interprets or compiles. Where there is no GPU, ``conftest.py``
lets it be imported for interpreting before anything else can import it; what is to be compiled is compiled in
a process of its own. The interpreter shows indices, masks and logic; not speed, nor 16-bit products.
"""

import importlib
import importlib.util
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest


def has_gpu() -> bool:
    """Without importing torch where there is no NVIDIA driver: many tests need neither."""
    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    import torch

    return torch.cuda.is_available()


ROOT = Path(__file__).parents[2]
INSTALLED = importlib.util.find_spec("triton") is not None
INTERPRETED = INSTALLED and (os.environ.get("TRITON_INTERPRET") == "1" or not has_gpu())
ON_GPU = INSTALLED and not INTERPRETED
DEVICE = "cuda" if ON_GPU else "cpu"
KERNELS = tuple(
    f"evalkit_kernels.{name}" for name in ("linear_nll_triton", "time_mix_triton", "wkv7_triton_kernels")
)

needs_triton = pytest.mark.skipif(not INSTALLED, reason="triton is not installed")
runs_kernels = pytest.mark.usefixtures("interpreter_serves")
needs_gpu = pytest.mark.skipif(not ON_GPU, reason="needs a GPU")


def import_to_interpret(*names: str) -> None:
    """Where there is no GPU, import modules for Triton's interpreter; the environment stays as it is."""
    if INTERPRETED:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            for name in names:
                importlib.import_module(name)


@pytest.fixture
def interpreter_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no GPU, operators are told that the interpreter serves."""
    if INTERPRETED:
        monkeypatch.setenv("TRITON_INTERPRET", "1")


class Kernel(NamedTuple):
    """What is compiled: a kernel by its module's and its own name, its arguments' types, and its constants.

    An argument whose type is None is the constant None. ``aligned`` arguments are multiples of 16.
    """

    module: str
    name: str
    capability: int
    signature: dict[str, Any]
    constants: dict[str, Any]
    options: dict[str, int]
    aligned: tuple[str, ...] = ()


class Compiled(NamedTuple):
    """A kernel's assembly, after it has become machine code, and the bytes of shared memory that it takes."""

    ptx: str
    shared: int


def compile_for_nvidia(kernel: Kernel) -> Compiled:
    """Down to machine code, for a GPU that need not be here."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(importlib.import_module(f"evalkit_kernels.{kernel.module}"), kernel.name)
    names = function.arg_names
    constants = kernel.constants | {name: None for name, kind in kernel.signature.items() if kind is None}
    aligned: list[tuple[int, ...]] = [(names.index(name),) for name in kernel.aligned if name in names]
    for position, name in enumerate(names):
        kind = kernel.signature.get(name)
        if isinstance(kind, tuple):
            aligned += [(position, i) for i in range(len(kind))]
        elif kind is not None and kind.startswith("*"):
            aligned.append((position,))
    source = ASTSource(
        function,
        {name: "constexpr" if name in constants else kernel.signature[name] for name in names},
        {(names.index(name),): value for name, value in constants.items() if name in names},
        {path: [["tt.divisibility", 16]] for path in aligned},
    )
    target = GPUTarget("cuda", kernel.capability, 32)
    program = triton.compile(source, target=target, options=kernel.options)
    assert program.asm["cubin"]
    return Compiled(program.asm["ptx"], program.metadata.shared)


class Compiler:
    """A process that compiles, for as long as it is fed."""

    def __init__(self, cache: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRITON_CACHE_DIR": str(cache)}
        environment.pop("TRITON_INTERPRET", None)
        command = [sys.executable, "-m", "tests.support.triton_kernels"]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __call__(self, kernel: Kernel) -> Compiled:
        assert self.process.stdin and self.process.stdout
        pickle.dump(kernel, self.process.stdin)
        self.process.stdin.flush()
        result = pickle.load(self.process.stdout)
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, Compiled)
        return result


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiler]:
    result = Compiler(tmp_path_factory.mktemp("triton"))
    with result.process:  # closes its input, which ends it, and waits
        yield result


def serve() -> None:
    """Read kernels from standard input and write what they become, or why they do not, to standard output."""
    output, sys.stdout = sys.stdout.buffer, sys.stderr
    while True:
        try:
            kernel = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        result: Compiled | Exception
        try:
            result = compile_for_nvidia(kernel)
        except Exception as error:
            result = RuntimeError(f"{type(error).__name__}: {error}")
        pickle.dump(result, output)
        output.flush()


if __name__ == "__main__":
    # Under the name by which the other process knows the classes.
    importlib.import_module("tests.support.triton_kernels").serve()
