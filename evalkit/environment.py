"""What a result ran on: versions, processor, accelerator, and evalkit's own commit."""

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from pathlib import Path

from evalkit.version import __version__

_PACKAGES = (
    "torch",
    "triton",
    "transformers",
    "tokenizers",
    "datasets",
    "pyarrow",
    "numpy",
    "pyrwkv-tokenizer",
)
_GIT_S = 120
_COMPUTING_PACKAGES = ("evalkit", "evalkit_kernels")
_SOURCE_SUFFIXES = {".py", ".c", ".h", ".toml"}


def environment() -> dict[str, object]:
    """Provenance of a measurement, as strict JSON can hold it.

    Nothing in it names the user, the machine or a folder.
    """
    return {
        "evalkit": __version__,
        "git": _git_state(Path(__file__).parent),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "num_cpus": os.cpu_count(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def torch_environment(device: str) -> dict[str, object]:
    """What torch knows of where a measurement ran: threads, the accelerator, and which CPU kernels serve.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; of the model that was measured.

    Raises:
        UsageError: there is no such device.
    """
    import torch

    from evalkit.models.devices import resolve_device
    from evalkit_kernels import native_calls
    from evalkit_kernels.linear import onednn_is_faster

    resolved = resolve_device(device)
    on_gpu = resolved.type == "cuda"
    return {
        "device": str(resolved),
        "gpu": torch.cuda.get_device_name(resolved) if on_gpu else None,
        "cuda": torch.version.cuda if on_gpu else None,
        "num_threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_float32_gemm": "oneDNN" if onednn_is_faster() else "MKL",
        "wkv7_cpu": native_calls.status(),
    }


@functools.cache
def sources_sha256() -> str:
    """Digest of the sources of what computes: the same in every checkout and state of one that has these.

    A commit says less, for it is another one where a page of the docs was changed, and "dirty" says nothing
    of what is. Asked once: what is imported is the state at the start.
    """
    digest = hashlib.sha256()
    for package in _COMPUTING_PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.submodule_search_locations is not None
        folder = Path(next(iter(spec.submodule_search_locations)))
        for path in sorted(path for path in folder.rglob("*") if path.suffix in _SOURCE_SUFFIXES):
            content = path.read_bytes()
            digest.update(f"{package}/{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


@functools.cache
def _version(package: str) -> str | None:
    """Asked once: it is the state at the start, and each answer parses a package's whole metadata."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


@functools.cache
def _git_state(folder: Path) -> dict[str, str | bool] | None:
    """Commit of the checkout that evalkit runs from; None for an installed package.

    Asked once: what is imported is the state at the start. The deadline is for a git that would never answer,
    and not for a busy machine: a cell without its provenance is worth less. What nobody could compare counts
    as changed.
    """
    if not (folder.parent / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):  # no git, or a folder that it does not trust
        return None
    except subprocess.TimeoutExpired:
        return {"commit": f"unknown: git gave no answer in {_GIT_S} s", "dirty": True}
    return {"commit": commit, "dirty": dirty}


def _git(folder: Path, *arguments: str) -> str:
    # Without locks a run that is killed meanwhile leaves no index.lock, which would stop every later commit.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_GIT_S).stdout.strip()
