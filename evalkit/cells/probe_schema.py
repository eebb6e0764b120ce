"""What the cell of a trained probe says, typed, as `evalkit.cells.schema` has it for the other kinds."""

import dataclasses
import re
from collections.abc import Hashable, Mapping
from typing import Annotated, ClassVar, NamedTuple

from evalkit.cells.schema import Cell
from evalkit.fields import Called, Mark, to_json


def is_length(test: str) -> bool:
    """Whether a test, by its name, is one of strings as in training, of one length: a point on a curve.

    The others are of a range of lengths (``40-256``) or strings that are drawn otherwise (``512 sparse``).
    """
    return test.isdecimal()


def is_range(test: str) -> bool:
    """Whether a test is one of strings of many lengths, by its name."""
    return re.fullmatch(r"\d+-\d+", test) is not None


def label_of_test(test: str) -> str:
    """What a test is called where its headline stands."""
    if is_length(test):
        return test
    return f"{test}, last label" if is_range(test) else f"{test}, labels"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeSpec:
    """How a network was trained and tested: `evalkit_tasks.training.TrainSpec`, every default filled in."""

    task: str
    model: str
    num_layers: int
    seed: int
    negative_eigenvalues: str
    labels: str
    train_length: int
    min_train_length: int
    num_steps: int
    budget_s: float | None
    batch_size: int
    learning_rate: float | None
    """None where several were tried: `learning_rates`."""
    warmup_steps: int
    weight_decay: float
    width: int
    head_size: int
    test_multiples: tuple[int, ...]
    test_range: tuple[int, int] | None
    num_items: int
    stop_accuracy: Annotated[float | None, Mark.MAY_BE_ABSENT] = None
    """At which share of right validation strings it ended; None where it had a number of steps alone."""
    patience: Annotated[int | None, Mark.MAY_BE_ABSENT] = None
    learning_rates: Annotated[tuple[float, ...] | None, Mark.MAY_BE_ABSENT] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeModel:
    """The network of a cell."""

    name: str
    num_parameters: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeTheory:
    """What theory says of a task, and of the network that was trained on it."""

    language_class: str
    """``aperiodic``, ``solvable``, ``non-solvable`` or ``unknown``."""
    sufficient_layers: str | None
    """For every length: a number, ``constant``, ``growing`` (with the length), ``none`` or ``unknown``.

    None where theory says nothing of the network.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeTaskFacts:
    """What a network was trained on."""

    name: str
    num_letters: int
    num_labels: int
    is_negative_control: bool
    """Whether it is no regular language, so that being right at every length would be a leak."""
    version: Annotated[int | None, Mark.MAY_BE_ABSENT] = None
    """Of its strings and labels; None for the first."""
    theory: Annotated[ProbeTheory | None, Mark.MAY_BE_ABSENT] = None
    """None in cells that are older than it, and of tasks that are no regular languages."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeParity:
    """Accuracy of the parity of the answers; all None where the task has no parities."""

    parity_accuracy: float | None
    parity_accuracy_low: float | None
    parity_accuracy_high: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeMajority:
    """What the best constant answer would have got, and how many of the strings differ."""

    majority_sequence_accuracy: float
    majority_last_position_accuracy: float
    num_distinct: int
    """A language with few strings of a length is asked about each several times; intervals are of these."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeTest:
    """The metrics of the strings of one length, or range of lengths; see `evalkit_tasks.metrics`."""

    shortest: int
    longest: int
    majority_label_accuracy: float
    num_items: int
    token_accuracy: float
    token_accuracy_low: float
    token_accuracy_high: float
    sequence_accuracy: float
    sequence_accuracy_low: float
    sequence_accuracy_high: float
    last_position_accuracy: float
    last_position_accuracy_low: float
    last_position_accuracy_high: float
    scaled_token_accuracy: float
    scaled_last_position_accuracy: float
    first_error_median: int | None
    """None beyond the end of the strings, and where the last label alone is asked for."""
    first_error_5_percent: int | None
    parity: Annotated[ProbeParity | None, Mark.FLAT]
    """None in cells that are older than it."""
    majority: Annotated[ProbeMajority | None, Mark.FLAT]
    """None in cells that are older than it."""

    def metric(self, name: str) -> float | None:
        """A metric by its name in the file; None where there is none."""
        value = to_json(self).get(name)
        return value if isinstance(value, int | float) else None


class Headline(NamedTuple):
    """The accuracy that stands for a test in tables, in figures and on the site."""

    accuracy: float
    low: float
    high: float
    majority: float | None
    """What the best constant answer would have got; None in cells that are older than it."""

    @property
    def is_at_majority(self) -> bool:
        """Whether the interval does not tell it from a constant answer, or it is worse."""
        return self.majority is not None and self.low <= self.majority


@dataclasses.dataclass(frozen=True, kw_only=True)
class LengthAtShare:
    """The length by which fewer than 90 % of a test's strings are without an error; None if never."""

    test: str
    length: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeTraining:
    """How the training went."""

    num_steps: int
    stopped_by: str
    """``steps``, ``budget`` where the CPU seconds ran out before, ``accuracy`` where the validation strings
    were answered as well as the spec says, or ``patience`` where their loss no longer fell."""
    last_loss_nats: float | None
    steps_to_solved_loss: Annotated[int | None, Called("steps_to_loss_0.02")]
    """Steps after which the mean loss was first below 0.02 nats; None if it never was."""
    history: tuple[tuple[int, float], ...]
    """Steps done, and the mean loss of the last ones, in nats per label."""
    training_cpu_s: float
    """Of several networks trained side by side, its share; all its learning rates together."""
    testing_cpu_s: float
    learning_rate: Annotated[float | None, Mark.MAY_BE_ABSENT] = None
    """At its peak, of several the one that the validation strings chose; None where the spec says it."""
    validation: Annotated[tuple[tuple[int, float, float], ...] | None, Mark.MAY_BE_ABSENT] = None
    """Steps done, the share of validation strings with every label right, and their loss in nats."""
    tried: Annotated[tuple[tuple[float, str, int, float | None], ...] | None, Mark.MAY_BE_ABSENT] = None
    """Of several learning rates each: what ended it, after how many steps, and the last share of those."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeRows:
    """The rows, which are in a file of their own."""

    parquet_sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeCell(Cell):
    """How far one network, trained on one task, generalizes."""

    kind: ClassVar[str] = "trained-probe"
    spec: ProbeSpec
    model: ProbeModel
    task: ProbeTaskFacts
    tests: Mapping[str, ProbeTest]
    """By the test's name: a length, or a range of lengths."""
    l90: LengthAtShare | None
    """None where the last label alone is asked for: then no letter is the first that goes wrong."""
    training: ProbeTraining
    items: ProbeRows
    trainer_version: int

    @property
    def experiment(self) -> Hashable:
        """What the seeds of one experiment have in common, and no cell of another one.

        What another version of the trainer made, or of the task, is another experiment.
        """
        return dataclasses.replace(self.spec, seed=0), self.trainer_version, self.task.version

    @property
    def l90_text(self) -> str:
        """Its L90 as tables have it; ``>640`` where more than 90 % of the strings have no error to their end.

        – where all is asked at the end: then there is no first error, whatever cells of older versions say.
        """
        if self.l90 is None or self.spec.labels == "last":
            return "–"
        return f">{self.l90.test.rpartition('-')[2]}" if self.l90.length is None else str(self.l90.length)

    def headline(self, test: str) -> Headline:
        """Of strings of one length the share with every label right; of a range that of right last labels.

        A range is tested to compare with publications, and these count the last label alone. Of a test that
        is the task's own (``512 sparse``) it is the share of right labels, as the tasks' authors count.
        """
        metrics, majority = self.tests[test], self.tests[test].majority
        if not is_length(test) and not is_range(test):
            return Headline(
                metrics.token_accuracy,
                metrics.token_accuracy_low,
                metrics.token_accuracy_high,
                None if majority is None else metrics.majority_label_accuracy,
            )
        if is_range(test):
            return Headline(
                metrics.last_position_accuracy,
                metrics.last_position_accuracy_low,
                metrics.last_position_accuracy_high,
                None if majority is None else majority.majority_last_position_accuracy,
            )
        return Headline(
            metrics.sequence_accuracy,
            metrics.sequence_accuracy_low,
            metrics.sequence_accuracy_high,
            None if majority is None else majority.majority_sequence_accuracy,
        )

    def tests_by_length(self) -> dict[str, ProbeTest]:
        """The tests from short to long."""
        tests = sorted(self.tests.items(), key=lambda test: (test[1].shortest, test[1].longest))
        return dict(tests)
