"""What a cell says of the machine and the programs that it was computed on; see `evalkit.cells.schema`."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from evalkit.fields import Mark


@dataclasses.dataclass(frozen=True, kw_only=True)
class GitState:
    """The checkout that evalkit ran from."""

    commit: str
    dirty: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class TorchEnvironment:
    """What torch computed on."""

    device: str
    gpu: str | None
    cuda: str | None
    num_threads: int
    cpu_capability: str
    cpu_float32_gemm: str
    wkv7_cpu: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """What a cell was computed on; see `evalkit.environment`."""

    evalkit: str
    git: GitState | None
    """None for an installed package."""
    python: str
    platform: str
    cpu: str
    num_cpus: int | None
    packages: Mapping[str, str]
    """Versions by name."""
    torch: Annotated[TorchEnvironment | None, Mark.FLAT]
    """None where torch took no part: a compressor's."""
