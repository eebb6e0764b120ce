"""A refresh that nobody watches: alone, to its end whatever fails, and with somebody told of what did."""

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from evalkit.errors import EvalkitError, one_line, system_line
from evalkit.extras import missing_package
from evalkit.locks import path_lock
from evalkit.refresh.config import LeaderboardConfig, PublicationWindow

_MAX_NOTIFY_S = 300.0


class StepFailure(NamedTuple):
    """A step that failed, as a whole or in part; what it finished is kept."""

    step: str
    message: str


@contextlib.contextmanager
def only_refresh(config: LeaderboardConfig) -> Iterator[None]:
    """The only refresh of these results; the lock goes with the process, whatever ends it.

    Raises:
        EvalkitError: there is another, or the folder cannot be locked.
    """
    with contextlib.ExitStack() as stack:
        try:
            config.corpora_folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(path_lock(config.corpora_folder, wait=False))
        except BlockingIOError as error:
            raise EvalkitError(
                f"another refresh of {config.results} is running, and this one did nothing; "
                "start it again when that has ended"
            ) from error
        except OSError as error:  # no place to write to, or a file system without locks
            raise EvalkitError(
                f"{error.filename or config.corpora_folder}: {error.strerror}, so that nothing keeps "
                "refreshes apart; give results a folder of your own in leaderboard.toml"
            ) from error
        yield


def run_steps(
    steps: Mapping[str, Callable[[], None]], *, complain: Callable[[str], None]
) -> list[StepFailure]:
    """Run every step in order, whatever became of those before; returns those that failed.

    Args:
        steps: by name.
        complain: told of each failure when it happens.
    """
    failures = []
    for name, step in steps.items():
        try:
            step()
        except Exception as error:  # an unforeseen one is told too, and does not cost the site
            complain(_message(error))
            failures.append(StepFailure(name, _message(error)))
    return failures


def _message(error: Exception) -> str:
    if isinstance(error, EvalkitError):
        return str(error)
    foreseen = missing_package(error) or system_line(error)
    return foreseen or one_line(f"unexpected {type(error).__name__}: {error}")


def notify(
    config: LeaderboardConfig,
    window: PublicationWindow,
    failures: Sequence[StepFailure],
    *,
    complain: Callable[[str], None],
) -> None:
    """Run the operator's program, without a shell, with what failed as JSON on its standard input.

    Args:
        config: says which program; nothing is run where it says none.
        window: of the refresh.
        failures: what failed.
        complain: told where the program cannot be run, fails itself or does not end within 5 minutes.
    """
    if not config.notify:
        return
    content = {
        "title": config.title,
        "since": window.since.isoformat(),
        "until": window.until.isoformat(),
        "failures": [failure._asdict() for failure in failures],
    }
    program = config.notify[0]
    try:
        process = subprocess.run(
            config.notify, input=json.dumps(content).encode("ascii"), timeout=_MAX_NOTIFY_S, check=False
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        complain(f"nobody was notified: {program} cannot be run: {reason}; mend notify in leaderboard.toml")
    except subprocess.TimeoutExpired:
        complain(
            f"nobody may have been notified: {program} took more than {_MAX_NOTIFY_S:.0f} s and was ended"
        )
    else:
        if process.returncode:
            complain(f"nobody may have been notified: {program} ended with exit code {process.returncode}")
