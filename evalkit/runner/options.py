"""How cells are computed and where they go; which cells they are is said beside it."""

import dataclasses
import functools
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from evalkit.cells.object_store import check_is_local, is_url
from evalkit.cells.partial import PARTIAL_INTERVAL_S
from evalkit.errors import UsageError
from evalkit.models.catalog import MIN_CONTEXT_LIMIT
from evalkit.models.device_lists import device_list
from evalkit.models.device_maps import check_device_map
from evalkit.models.prefixes import parse_rule
from evalkit.models.protocol import LoadOptions
from evalkit.runner.journal import Journal
from evalkit.runner.remote import RemoteFolder, remote_folder
from evalkit.runner.reporter import Reporter, Silent
from evalkit.runner.shards import Shard

DEFAULT_OUTPUT = Path("runs")
ENGINES = ("local", "ray")


_T = TypeVar("_T")
_NOTEBOOK_INTERVAL_S = 2.0


def listed(values: str | _T | Sequence[str | _T]) -> list[str | _T]:
    """What an argument names that takes one thing or several.

    Returns:
        The names in a text by commas, as on the command line; a sequence's members; else the thing itself.
    """
    if isinstance(values, str):
        return [name.strip() for name in values.split(",") if name.strip()]
    return list(values) if isinstance(values, Sequence) else [values]


def default_reporter() -> Reporter:
    """Lines on standard output in a notebook; else nobody is told."""
    kernel = sys.modules.get("ipykernel.zmqshell")
    if kernel is None or not kernel.ZMQInteractiveShell.initialized():
        return Silent()
    from evalkit.runner.progress import LineReporter

    return LineReporter(sys.stdout, interval_s=_NOTEBOOK_INTERVAL_S)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run goes about its cells, the same for cells of corpora and of tasks."""

    output: str | os.PathLike[str] = DEFAULT_OUTPUT
    """Folder of the result cells: of this machine, or of an object store (``s3://…``)."""
    device: str = "auto"
    """``auto`` (a GPU where torch sees one), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; or several by commas
    (``cuda:0,1``), each with a process of its own, see `evalkit.models.device_lists.device_list`."""
    dtype: str = "auto"
    """``auto`` (float32 on CPU, bfloat16 on GPU), ``float32``, ``bfloat16`` or ``float16``."""
    device_map: str | None = None
    """``auto``: ``hf`` models larger than one GPU are spread over all; None: each is on one device."""
    max_context: int | None = None
    """A cap on the context of every model that is loaded by name, in token positions."""
    prefix: str | None = None
    """What every model that is loaded by name reads before a document: ``bos``, ``eos``, ``none`` or
    ``token:ID,ID``; None: what the catalog or its tokenizer says."""
    trust_remote_code: bool = False
    """Whether hub repositories may run their own Python."""
    accept_versions: bool = False
    """Take finished cells that another generation of transformers or of the kernels computed."""
    ignore_tensors: tuple[str, ...] = ()
    """Patterns of names of tensors that a checkpoint may hold beyond what its model has."""
    workers: int | None = None
    """At most so many processes compute a model's batches on a CPU; None: one for each core, or this process
    with all threads, whichever a short trial on the model shows to be faster."""
    audit: bool = False
    """Audit every model that has no kept audit, shortly, before its first cell; see `evalkit.audit`."""
    unaudited: bool = False
    """Score models whose kept audit failed; their cells say so."""
    dry_run: bool = False
    """Plan only: nothing is loaded or written."""
    checkpoint_s: float = PARTIAL_INTERVAL_S
    """A killed run loses at most so much of a cell: how often its finished documents are written."""
    processes: int | None = 0
    """How many models are scored at a time, each in a process of its own and on a GPU of its own; None: as
    many as there are GPUs, or one; 0: all in this process. The processes are forks of this one, which must
    not have computed anything with torch or have threads."""
    engine: str = "local"
    """Where models are scored: ``local``, or ``ray``: on the machines of a Ray cluster."""
    address: str | None = None
    """Where a Ray cluster is: ``HOST:PORT``, or ``auto`` for this machine's; None: one is started."""
    is_elsewhere: bool = False
    """This is a process of Ray's, and the cells go to an object store: what is finished of a cell goes there
    as well, where processes of other machines take it up."""
    shard: Shard | None = None
    """Which part of the plan is this run's; None: all of it."""
    debug: bool = False
    """Let an error end the run where it happens, in place of naming the cell as failed."""
    reporter: Reporter = dataclasses.field(default_factory=default_reporter)
    """Who is told: by default nobody, in a notebook its reader."""
    journal: Journal | None = None
    """Keeps how far the run is, for `evalkit status`; None: nobody does."""

    @property
    def folder(self) -> Path:
        """The folder of the result cells; processes elsewhere have another working directory."""
        if self.remote is not None:
            return self.remote.folder
        return _folder(os.fspath(self.output), is_absolute=self.engine == "ray")

    @property
    def remote(self) -> RemoteFolder | None:
        """The folder of an object store that the cells go to; None where that is one of this machine."""
        return remote_folder(os.fspath(self.output)) if is_url(self.output) else None

    @property
    def devices(self) -> tuple[str, ...]:
        """Those that `device` names, all of one kind."""
        return device_list(self.device)

    @property
    def load_options(self) -> LoadOptions:
        """The part that a model's loader needs; of several devices with the first."""
        return LoadOptions(
            self.devices[0],
            self.dtype,
            self.trust_remote_code,
            self.max_context,
            self.ignore_tensors,
            None if self.prefix is None else parse_rule(self.prefix, "--prefix"),
            self.device_map,
        )

    def check(self) -> None:
        """Refuse what no model could be run with, also where no model of this run would ask for it.

        Raises:
            UsageError: the device is not on this machine, the precision is unknown, the context too small, or
                the prefix none; or the engine and what goes with it do not fit.
        """
        if self.processes is not None and self.processes < 0:
            raise UsageError(f"--processes {self.processes} is less than none; give 0 or more")
        self._check_engine()
        check_device_map(self.load_options._replace(device=self.device))
        if self.prefix is not None:
            parse_rule(self.prefix, "--prefix")
        if self.max_context is not None and self.max_context < MIN_CONTEXT_LIMIT:
            raise UsageError(
                f"--max-context {self.max_context} is too small; give {MIN_CONTEXT_LIMIT} or more"
            )
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers} leaves nobody to compute; give 1 or more")
        if (self.device, self.dtype) != ("auto", "auto"):
            from evalkit.models.devices import resolve_device, resolve_dtype

            for device in self.devices:
                resolve_device(device)
            resolve_dtype(self.load_options)
            self._check_devices()

    def _check_devices(self) -> None:
        if len(self.devices) == 1:
            return
        if sys.platform != "linux":
            raise UsageError(f"--device {self.device} takes forked processes, as on Linux; name one device")
        if self.processes is not None or self.debug:
            reason = "--debug works in this one" if self.debug else "leave --processes out (None, not 0)"
            raise UsageError(f"--device {self.device} takes a process for each device; {reason}")

    def _check_engine(self) -> None:
        if self.engine not in ENGINES:
            raise UsageError(f"--engine {self.engine} is none; give {' or '.join(ENGINES)}")
        if self.engine != "ray":
            if self.address is not None:
                raise UsageError("--address is that of a Ray cluster; give --engine ray too")
        elif self.device_map is not None:
            raise UsageError("--device-map is about the GPUs of one machine; leave --engine ray out")
        elif self.device.startswith("cuda:") or "," in self.device:
            kind = self.device.partition(":")[0].partition(",")[0]
            raise UsageError(f"--device {self.device} is of one machine; give {kind} with --engine ray")


@functools.lru_cache(maxsize=16)
def _folder(output: str, *, is_absolute: bool) -> Path:
    """A path, made once: each of thousands of cells in a plan asks for it."""
    return Path(output).absolute() if is_absolute else Path(output)


def check_writable(output: Path) -> None:
    """Refuse an output folder that cannot be written, before hours of work find out.

    Raises:
        UsageError: a file cannot be made in it, or its name is no UTF-8, which Parquet's writer needs.
    """
    check_is_local(output, "the output folder")
    try:
        str(output.absolute()).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the output folder {output} has a byte in its name that is no UTF-8, so that no Parquet file "
            "can be written there; give another with --output"
        ) from error
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write to the output folder {output}: {error.strerror}; give another with --output"
        ) from error
