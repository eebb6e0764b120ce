"""Where evaluations of a live model go: the terminal, a CSV file, TensorBoard, Weights & Biases."""

import csv
import importlib.util
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from evalkit.errors import UsageError, unknown_name
from evalkit.extras import check_extra
from evalkit.live.evaluation import CorpusScore, Evaluation
from evalkit.spreadsheets import spreadsheet_text
from evalkit.terminal import show

Log = Callable[[Evaluation], None]

CSV_COLUMNS = (
    "run",
    "step",
    "corpus",
    "bits_per_byte",
    "low",
    "high",
    "change",
    "change_low",
    "change_high",
    "num_bytes",
    "seconds",
)
"""Of a CSV file of evaluations, which has a row per corpus."""
WANDB_STEP = "training_step"
"""The metric of Weights & Biases against which the others are shown."""


class WandbRun(Protocol):
    """What is needed of a run of Weights & Biases."""

    def define_metric(self, name: str, step_metric: str | None = None) -> object:
        """Show the metrics of a pattern against another one."""
        ...

    def log(self, data: dict[str, float]) -> object:
        """Keep numbers by name."""
        ...


def open_logs(logs: Sequence[str | Log]) -> list[Log]:
    """Loggers by their names, and those that are there already.

    Args:
        logs: ``stdout``, the path of a ``.csv`` file, ``tensorboard:FOLDER``, ``wandb``, or functions.

    Raises:
        UsageError: a name is unknown, what it needs is not installed, or the file is another's.
    """
    return [_open(log) if isinstance(log, str) else log for log in logs]


def _open(name: str) -> Log:
    kind, _, target = name.partition(":")
    if name == "stdout":
        return log_to_terminal
    if name.endswith(".csv"):
        return CsvLog(Path(name))
    if kind == "tensorboard" and target:
        return TensorBoardLog(Path(target))
    if name == "wandb":
        return WandbLog()
    expected = ("stdout", "FILE.csv", "tensorboard:FOLDER", "wandb")
    raise unknown_name("log", name, expected, f"Known: {', '.join(expected)}, or a function.")


def log_to_terminal(evaluation: Evaluation) -> None:
    """A line per corpus."""
    for score in evaluation.scores:
        interval = score.interval
        half_width = "" if interval is None else f" ± {interval.half_width:.4f}"
        step = "" if evaluation.step is None else f" step {evaluation.step}"
        show(
            f"{evaluation.run}{step}: {score.corpus} {score.bits_per_byte:.4f}{half_width} bits/byte"
            f"{_change_words(score)}"
        )


def _change_words(score: CorpusScore) -> str:
    change = score.change
    if change is None:
        return ""
    half_width = "" if change.half_width is None else f" ± {change.half_width:.4f}"
    return f" ({change.value:+.4f}{half_width} since the last, paired)"


class CsvLog:
    """Appends a row per corpus to a CSV file, whose columns are `CSV_COLUMNS`."""

    def __init__(self, path: Path) -> None:
        """Begin the file where it is not there.

        Raises:
            UsageError: it cannot be written, or has other columns.
        """
        self._path = path
        try:
            if path.exists() and path.stat().st_size:
                self._check()
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append([CSV_COLUMNS])
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    def _check(self) -> None:
        try:
            with self._path.open(encoding="utf-8", newline="") as file:
                header = next(csv.reader(file), [])
        except (UnicodeDecodeError, csv.Error):
            raise UsageError(f"{self._path} is no file of evaluations: it is no CSV in UTF-8") from None
        if tuple(header) != CSV_COLUMNS:
            raise UsageError(f"{self._path} is no file of evaluations: its columns are {', '.join(header)}")

    def __call__(self, evaluation: Evaluation) -> None:
        """Append an evaluation."""
        self._append([self._row(evaluation, score) for score in evaluation.scores])

    def _append(self, rows: Sequence[Sequence[object]]) -> None:
        with self._path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)

    def _row(self, evaluation: Evaluation, score: CorpusScore) -> list[object]:
        change, interval = score.change, score.interval
        return [
            spreadsheet_text(evaluation.run),
            evaluation.step,
            spreadsheet_text(score.corpus),
            score.bits_per_byte,
            *((None, None) if interval is None else interval),
            *((None, None, None) if change is None else change),
            score.num_bytes,
            round(evaluation.seconds, 3),
        ]


class TensorBoardLog:
    """Writes scalars for TensorBoard."""

    def __init__(self, folder: Path) -> None:
        """Begin a file in the folder of a run.

        Raises:
            UsageError: tensorboardX, which writes the files, is not installed, or there can be no such
                folder.
        """
        check_extra("tensorboard")
        from tensorboardX.event_file_writer import EventsWriter

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
        # Not its SummaryWriter, whose thread ends without what it has not written yet.
        self._writer = EventsWriter(str(folder / "events"))
        weakref.finalize(self, self._writer.close)

    def __call__(self, evaluation: Evaluation) -> None:
        """Write an evaluation, which is on disk then."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        for name, value in evaluation.metrics().items():
            event = Event(wall_time=time.time(), step=evaluation.step or 0, summary=scalar(name, value))
            self._writer.write_event(event)
        self._writer.flush()


class WandbLog:
    """Logs to Weights & Biases: to the run that the training has begun, else to one of its own.

    Against the step of the training, which is a metric: a run counts steps of its own, one for each thing
    that is logged, and drops what comes with a lower one.
    """

    def __init__(self, run: WandbRun | None = None) -> None:
        """Look whether it can be logged to.

        Args:
            run: of Weights & Biases; None: the current one at the first evaluation, begun if there is none.

        Raises:
            UsageError: wandb is not installed.
        """
        self._run, self._is_begun = run, False
        spec = importlib.util.find_spec("wandb")
        if run is None and (spec is None or spec.origin is None):  # none: a folder in which it has logged
            raise UsageError("wandb is not installed; pip install wandb")

    def __call__(self, evaluation: Evaluation) -> None:
        """Log an evaluation."""
        if self._run is None:  # not before: a trainer begins its run when it begins to train
            import wandb

            self._run = wandb.run or wandb.init(project="evalkit")
        assert self._run is not None
        if not self._is_begun:
            self._run.define_metric("bits_per_byte/*", step_metric=WANDB_STEP)
            self._is_begun = True
        step = {} if evaluation.step is None else {WANDB_STEP: float(evaluation.step)}
        self._run.log({**evaluation.metrics(), **step})
