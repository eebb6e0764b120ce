"""The options of ``evalkit run`` as a run takes them."""

import os
from typing import TYPE_CHECKING, NamedTuple

import typer

from evalkit.cli.parsing import CommaLists, comma_list, joined, may_fork
from evalkit.errors import UsageError
from evalkit.files import whole_number

if TYPE_CHECKING:
    from evalkit.runner.options import RunOptions
    from evalkit.runner.reporter import Reporter


class Loading(NamedTuple):
    """How models are loaded, as it was said."""

    device: str
    dtype: str
    device_map: str | None
    max_context: int | None
    prefix: CommaLists
    trust_remote_code: bool
    ignore_tensors: CommaLists


class Course(NamedTuple):
    """Where a run goes on, as it was said."""

    output: str
    engine: str
    address: str | None
    processes: int | None
    workers: str
    shard: str | None


class Manner(NamedTuple):
    """What is let through, and whether it is a run at all, as it was said."""

    accept_versions: bool
    audit: bool
    unaudited: bool
    dry_run: bool
    debug: bool


def run_options(loading: Loading, course: Course, manner: Manner, reporter: "Reporter") -> "RunOptions":
    """The options of a run.

    Raises:
        UsageError: the shard is none, or the number of workers.
    """
    from evalkit.runner.options import RunOptions
    from evalkit.runner.shards import parse_shard

    return RunOptions(
        output=course.output,
        device=loading.device,
        dtype=loading.dtype,
        device_map=loading.device_map,
        max_context=loading.max_context,
        prefix=joined(loading.prefix),
        trust_remote_code=loading.trust_remote_code,
        ignore_tensors=tuple(comma_list(joined(loading.ignore_tensors))),
        engine=course.engine,
        address=course.address,
        processes=course.processes,
        workers=_workers(course.workers),
        shard=None if course.shard is None else parse_shard(course.shard),
        accept_versions=manner.accept_versions,
        audit=manner.audit,
        unaudited=manner.unaudited,
        dry_run=manner.dry_run,
        debug=manner.debug,
        reporter=reporter,
    )


def _workers(text: str) -> int | None:
    if text == "auto":
        return None
    number = whole_number(text)
    if number is None:
        raise UsageError(f"--workers {text} is neither auto nor a number")
    return number


def processes_of(context: typer.Context, processes: int | None, engine: str) -> int | None:
    """How many models are scored at a time, or 0 where all happens in this process.

    Raises:
        UsageError: all were to happen in this process and elsewhere.
    """
    if engine != "local":
        if processes == 0:
            raise UsageError("--processes 0 scores in this process; leave it out with --engine ray")
        return processes
    if not may_fork(context):
        return 0
    # A process that has begun with CUDA, or has threads of tokenizers, could not be forked.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return processes
