"""Runs commands of evalkit that something happens to: imports everything once, then forks one per order.

On standard input a line of JSON per request, see `Victims`, which starts this. Not a test.
"""

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from tests.faults.injection import Fault, inject

_IMPORTED = ("evalkit.cli.main", "evalkit_tasks.training.runner", "torch._dynamo")


def _main() -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    # Cells are begun again where they were left: what is finished of them is written at once.
    importlib.import_module("evalkit.runner.options").RunOptions.__init__.__kwdefaults__["checkpoint_s"] = 0.0
    for line in sys.stdin:
        request = json.loads(line)
        answer = _wait(**request["wait"]) if "wait" in request else _start(**request["start"])
        print(json.dumps(answer), flush=True)
        for name in _modules_of(request):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def _modules_of(request: dict[str, dict[str, Any]]) -> list[str]:
    """What an undisturbed command has imported: here once, so that the next ones need not."""
    with contextlib.suppress(KeyError, FileNotFoundError):
        modules: list[str] = json.loads(Path(request["wait"]["log"]).read_text())["modules"]
        return [name for name in modules if name not in sys.modules]
    return []


class _Waited(NamedTuple):
    """How a process ended; see `tests.faults.victims.Ending`."""

    code: int | None
    said: str


def _wait(pid: int, log: str, patience_s: float) -> _Waited:
    """Reads what a process and its children say to the end; what does not end in time is killed."""
    deadline_s = time.monotonic() + patience_s
    said = bytearray()
    pipe = _PIPES.pop(pid)
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    while (left_s := deadline_s - time.monotonic()) > 0 and poll.poll(1000 * left_s):
        data = os.read(pipe, 1 << 16)
        if not data:
            break
        said += data
    os.close(pipe)
    hangs = left_s <= 0 or not _has_ended(pid, left_s)
    if hangs:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return _Waited(None if hangs else code, said.decode(errors="replace"))


def _has_ended(pid: int, patience_s: float) -> bool:
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    has_ended = bool(poll.poll(1000 * patience_s))
    os.close(handle)
    return has_ended


_PIPES: dict[int, int] = {}
"""By process, the end from which what it says is read; no file, since files are what runs out of room."""


def _start(words: Sequence[str], folder: str, log: str, kind: str, at: int) -> int:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        _PIPES[pid] = reading
        return pid
    code = 99
    try:
        code = _run(words, folder, log, writing, Fault(kind, at))
    finally:
        os._exit(code)


def _run(words: Sequence[str], folder: str, log: str, output: int, fault: Fault) -> int:
    """One command in this process, which prints to ``output``; the exit code. ``log`` says what it did."""
    from evalkit.cli.main import main
    from evalkit_tasks.training import runner

    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDONLY)
    for stream, source in ((0, null), (1, output), (2, output)):
        os.dup2(source, stream)
    # Not the streams that there are, which remember what they were opened on.
    sys.stdout, sys.stderr = (open(stream, "w", closefd=False) for stream in (1, 2))  # noqa: SIM115
    os.environ["EVALKIT_CORPORA"] = "corpora"
    real_run_specs = runner.run_specs
    with (
        mock.patch.object(sys, "argv", ["evalkit", *words]),
        mock.patch.object(subprocess, "run", _run_or_fork(subprocess.run)),
        mock.patch.object(time, "sleep", lambda _: None),  # retries come at once
        mock.patch.object(  # a checkpoint at each chance
            runner,
            "run_specs",
            lambda *words, **options: real_run_specs(*words, **options | {"checkpoint_every_s": 0}),
        ),
    ):
        operations = inject(fault)
        code = _exit_code(main)
        notes = {
            "num_operations": operations.num_operations,
            "num_changes": operations.num_changes,
            "modules": sorted(sys.modules),
        }
    if fault.kind == "none":
        Path(log).write_text(json.dumps(notes))
    return code


def _exit_code(main: Any) -> int:
    try:
        main(forks=False)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return code


def _run_or_fork(real_run: Any) -> Any:
    """`subprocess.run` that forks where ``python -m evalkit`` is to be run, which would import everything."""
    from evalkit.cli.main import main

    def run(arguments: Sequence[str], **options: Any) -> Any:
        if list(arguments[:3]) != [sys.executable, "-m", "evalkit"]:
            return real_run(arguments, **options)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            sys.argv = ["evalkit", *arguments[3:]]
            os._exit(_exit_code(main))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return subprocess.CompletedProcess(arguments, code)

    return run


if __name__ == "__main__":
    _main()
