"""Tasks: what a model is asked beside the cost of a corpus, and how other packages bring them.

A suite is an object registered under the entry-point group ``evalkit.tasks``:

    [project.entry-points."evalkit.tasks"]
    my-suite = "my_package:suite"        # evalkit run --tasks my-suite --models …

It lists its tasks (`TaskSuite.members`), each of which may be asked for by its own name, and makes them
for given options. A task (`EvalTask`) knows, before any model is loaded, a digest of everything that
determines its numbers; evalkit files them under it (`evalkit.cells.task_cell`), loads models, goes on where a
run was interrupted, and prints the summaries side by side. What is asked, and how answers are scored,
is the task's own business.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from evalkit.dates import parse_day
from evalkit.errors import UsageError, unknown_name
from evalkit.extras import import_problem
from evalkit.models.catalog import DUEL_MODELS
from evalkit.models.protocol import TokenModel
from evalkit.patterns import matching_names
from evalkit.plugins import entry_points, plugin

TASK_GROUP = "evalkit.tasks"
"""Entry-point group of the suites."""

DEFAULT_TASK_MODELS = DUEL_MODELS
"""The language models among `evalkit.runner.corpora.DEFAULT_MODELS`."""

DEFAULT_LENGTHS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
DEFAULT_SHOTS = (0, 4)
DEFAULT_NUM_ITEMS = 32


@dataclasses.dataclass(frozen=True)
class TaskOptions:
    """What the user asked for; a suite uses what means something to it."""

    date: str
    """``YYYY-MM-DD``: part of the seed of all items, so that they are younger than a model."""
    seed: int = 0
    lengths: tuple[int, ...] = DEFAULT_LENGTHS
    """Operations per item; with 0 the first state is asked for, which takes no more than copying."""
    shots: tuple[int, ...] = DEFAULT_SHOTS
    """Numbers of solved examples shown first; each is a cell of its own."""
    num_items: int = DEFAULT_NUM_ITEMS
    """Items of each length."""
    hidden_state_probe: bool = False
    """Whether to read the state off the hidden states as well."""

    def __post_init__(self) -> None:
        """Refuse what no suite could make sense of.

        Raises:
            UsageError: the date is no day, the seed is negative, or there is no item.
        """
        try:
            parse_day(self.date)
        except ValueError:
            raise UsageError(f"--date {self.date!r} is no day; write it as YYYY-MM-DD") from None
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed} must be 0 or more")
        if self.num_items < 1:
            raise UsageError(f"--limit {self.num_items} leaves no item; give 1 or more")


@dataclasses.dataclass(frozen=True)
class SummaryRow:
    """A line of the table: the accuracy on some of a task's items, and what to compare it with."""

    bucket: str
    """Which items, e.g. ``3–4`` operations."""
    num_items: int
    accuracy: float
    low: float
    """Lower end of the accuracy's 95 % interval."""
    high: float
    chance: float
    """Accuracy of guessing."""
    baseline: str | None = None
    """The best heuristic."""
    baseline_accuracy: float | None = None
    further: Mapping[str, float | int | None] = dataclasses.field(default_factory=dict)
    """Other columns by a short name: shares, printed in percent, or whole numbers."""


class TaskOutcome(NamedTuple):
    """What asking a model brought."""

    rows: Sequence[Mapping[str, object]]
    """A row per item, with the same columns: strings, numbers, None, or lists of them. Those that
    `evalkit.analysis.task_pairs` names let models be compared item by item."""
    summary: Sequence[SummaryRow]
    details: Mapping[str, Any]
    """Whatever else a result should say, as strict JSON can hold it; ``date`` (of the items), ``note`` (a
    line below the table), ``num_tokens_read`` and ``num_tokens_unshared`` are printed."""


@runtime_checkable
class EvalTask(Protocol):
    """One task under one protocol: one cell per model."""

    @property
    def name(self) -> str:
        """Its folder and its line in the table."""
        ...

    @property
    def method(self) -> str:
        """How it is asked, e.g. ``likelihood, 4 shots``."""
        ...

    @property
    def sha256(self) -> str:
        """Digest of everything but the model that determines the numbers."""
        ...

    @property
    def num_items(self) -> int:
        """How many items the cell has, for plans and progress."""
        ...

    def score(self, model: TokenModel, advance: Callable[[int], None]) -> TaskOutcome:
        """Ask a model; ``advance`` is told now and then how many items are done.

        Raises:
            ScoringError: the model cannot be asked this.
        """
        ...


@runtime_checkable
class TaskSuite(Protocol):
    """Tasks that are asked for under one name."""

    @property
    def members(self) -> Mapping[str, str]:
        """A description for each task's name."""
        ...

    def make(self, names: Sequence[str], options: TaskOptions) -> list[EvalTask]:
        """The tasks of these names, all of them `members`.

        Raises:
            UsageError: the options make no sense to this suite.
        """
        ...


def default_date() -> str:
    """The first day of this month: items are fresh every month, and a run can be gone on with until then."""
    return dt.datetime.now(dt.UTC).date().replace(day=1).isoformat()


def make_tasks(names: Iterable[str | EvalTask], options: TaskOptions) -> list[EvalTask]:
    """The tasks of some names, each a suite's or a member's or a pattern of these, or the objects given.

    Raises:
        UsageError: an unknown name, nothing asked for, or options that make no sense to a suite.
    """
    names = list(names)
    suites = find_suites() if any(isinstance(name, str) for name in names) else {}
    all_names = [*suites, *(member for suite in suites.values() for member in suite.members)]
    wishes = matching_names([name for name in names if isinstance(name, str)], all_names)
    for name in wishes:
        if name not in all_names:
            hint = f"Known: {', '.join(all_names)}." if all_names else "No installed package brings any."
            raise unknown_name("task", name, all_names, hint)
    tasks: list[EvalTask] = [name for name in names if isinstance(name, EvalTask)]
    for suite_name, suite in suites.items():
        whole = suite_name in wishes
        members = [member for member in suite.members if whole or member in wishes]
        if members:
            tasks += suite.make(members, options)
    if not tasks:
        raise UsageError("nothing to do: name at least one task")
    return tasks


def find_suites() -> dict[str, TaskSuite]:
    """The installed suites by name.

    Raises:
        UsageError: one cannot be used.
    """
    names = sorted({point.name for point in entry_points(TASK_GROUP)})
    points = [plugin(TASK_GROUP, name) for name in names]
    suites: dict[str, TaskSuite] = {}
    for point in filter(None, points):
        try:
            suite = point.load()
        except Exception as error:  # another package's code: whatever it raises, say whose it is
            raise UsageError(
                f"tasks {point.name!r} ({point.value}) cannot be used: {import_problem(error)}"
            ) from error
        if not isinstance(suite, TaskSuite):
            raise UsageError(
                f"tasks {point.name!r} ({point.value}) cannot be used: {type(suite).__name__} has not the "
                "members of evalkit.tasks.TaskSuite"
            )
        suites[point.name] = suite
    return suites
