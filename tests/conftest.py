"""Shared by all tests: no network, one thread, a cache and a working folder of their own."""

import gc
import itertools
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before torch and Hugging Face libraries are imported anywhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest

from tests.support.triton_kernels import import_to_interpret

gc.disable()  # until the first test: what is imported until then stays

import_to_interpret("triton")  # before anything else imports it

# A shell's background jobs ignore Ctrl-C, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = Path(__file__).parent / "data"

_num_modules_apart = 0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Keep what tests import from the garbage collector.

    It is a million objects in the end, and commands collect after every model and every figure.
    """
    global _num_modules_apart
    if len(sys.modules) > 1.1 * _num_modules_apart:
        gc.collect()
        gc.freeze()
        gc.enable()
        _num_modules_apart = len(sys.modules)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that opens a connection to anything but this machine fails and says where to."""
    real_connect = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        local = self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1", "localhost")
        if not local:
            raise AssertionError(f"a test tried to reach {address}")
        return real_connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def native_kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what the C compiler makes of the kernels is kept for all tests, on all of pytest-xdist's workers.

    A file's name is a digest of all that its content depends on, so no test sees another's.
    """
    of_worker = tmp_path_factory.getbasetemp()
    folder = (of_worker.parent if "PYTEST_XDIST_WORKER" in os.environ else of_worker) / "native"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def numbered_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """New folders, whose names are counted: ``mktemp`` lists all that there are each time."""
    parent = tmp_path_factory.mktemp("own")
    return (parent / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_folders(
    numbered_folders: Iterator[Path], native_kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caches and relative paths of a test stay its own, but for compiled kernels."""
    folder = next(numbered_folders)
    cache, working = folder / "cache", folder / "cwd"
    for new in (folder, cache, working):
        new.mkdir()
    (cache / "native").symlink_to(native_kernels)
    monkeypatch.setenv("EVALKIT_CACHE", str(cache))
    monkeypatch.chdir(working)
