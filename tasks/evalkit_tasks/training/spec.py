"""What determines a trained probe's numbers: the `TrainSpec`, and what of it is refused in advance."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from evalkit.errors import UsageError
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.networks.architectures import (
    NetworkOptions,
    build_network,
    check_sizes,
    display_name,
    find_architecture,
    is_users,
)
from evalkit_tasks.training.tasks.catalog import get_task
from evalkit_tasks.training.tasks.mixtures import mixture_parts
from evalkit_tasks.training.tasks.strings import (
    Batch,
    Split,
    held_out_strings,
    make_batch,
    training_strings,
    usable_length,
)
from evalkit_tasks.training.tasks.task import ProbeTask, TaskTest

TRAINER_VERSION = 2
"""Changes whenever the same `TrainSpec` would give other numbers."""

RECOGNITION_VERSION = 2
"""Changes whenever the strings of recognition tasks do: 2 draws members and others half and half."""

STOPPING_VERSION = 1
"""Changes whenever the same `TrainSpec` with an accuracy to reach would give other numbers."""

LEARNING_RATES = (1e-3, 3e-3, 1e-2)
"""The sweep of the suites, the same for every network."""

NUM_VALIDATION_ITEMS = 128

LABELS = ("every", "last")

_STOPPING = ("stop_accuracy", "patience", "learning_rates")

_TESTING, _VALIDATING = 2, 4
"""Streams of random numbers; see `evalkit_tasks.training.training`."""

_FEW_STRINGS = 1 << 12
"""Of a length with more strings than this, some are for training and some for testing."""


@dataclasses.dataclass(frozen=True)
class TrainSpec:
    """Everything that determines a cell's numbers."""

    task: str
    model: str
    num_layers: int = 1
    seed: int = 0
    negative_eigenvalues: str = "off"
    labels: str = "every"
    """``every``: the label after each letter; ``last``: after the last alone, at an answer token."""
    train_length: int = 32
    min_train_length: int | None = None
    """A batch's length is uniform from this to ``train_length``, or what the task's protocol mixes of such;
    None is what the protocol says, else a quarter of that."""
    num_steps: int = 1000
    budget_s: float | None = None
    """CPU seconds after which training ends, annealed or not; None for no limit."""
    batch_size: int = 64
    learning_rate: float | None = None
    """At its peak; None is the architecture's own. Linear warm-up, then a cosine down to a tenth."""
    warmup_steps: int = 50
    weight_decay: float = 0.01
    width: int = 64
    head_size: int = 16
    test_multiples: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Test lengths, as multiples of the training length."""
    test_range: tuple[int, int] | None = None
    """One more test, on lengths drawn uniformly from first to last."""
    num_items: int = 256
    """Test strings of each length."""
    stop_accuracy: float | None = None
    """Share of the validation strings, all of the training length, with every label right at which a training
    ends; None trains for the number of steps and has no validation strings."""
    patience: int | None = None
    """Steps without a lower validation loss after which a training ends; None for no such end."""
    learning_rates: tuple[float, ...] | None = None
    """In place of ``learning_rate``: all of them are tried, and the validation strings say which it is."""

    def key(self) -> str:
        """Digest of what determines the numbers: 24 hexadecimal digits."""
        parts = {"trainer": TRAINER_VERSION, **dataclasses.asdict(self.resolved())}
        if self.stop_accuracy is None:  # the keys of cells that are older than it
            for name in _STOPPING:
                del parts[name]
        else:
            parts["stopping"] = STOPPING_VERSION
        if is_users(self.model):
            from evalkit_tasks.training.networks.user import source_digest

            parts["source"] = source_digest(self.model)
        version = find_architecture(self.model, self.negative_eigenvalues).version
        if version > 1:
            parts["network"] = version
        task = get_task(self.task)
        if task.draw_kind is not None:
            parts["recognition"] = RECOGNITION_VERSION
        if task.version > 1:
            parts["task_version"] = task.version
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]

    def resolved(self) -> "TrainSpec":
        """The spec with every default filled in; it has the same key."""
        learning_rate = self.learning_rate
        if learning_rate is None and self.learning_rates is None:
            learning_rate = find_architecture(self.model, self.negative_eigenvalues).learning_rate
        shortest = self.min_train_length
        if shortest is None:
            shortest = get_task(self.task).shortest or max(1, self.train_length // 4)
            shortest = min(shortest, self.train_length)
        return dataclasses.replace(self, learning_rate=learning_rate, min_train_length=shortest)

    @property
    def training_split(self) -> Split:
        """The side of the split whose strings are trained on."""
        return "training" if self.stop_accuracy is None else "fitting"

    @property
    def name(self) -> str:
        """What the cell is called in messages."""
        model = display_name(self.model, self.negative_eigenvalues)
        return f"{self.task}, {model}, {self.num_layers} layers, seed {self.seed}"

    def test_lengths(self) -> dict[str, tuple[int, int]]:
        """The tests of strings as in training: name, shortest and longest string."""
        lengths = {
            str(self.train_length * multiple): (self.train_length * multiple, self.train_length * multiple)
            for multiple in self.test_multiples
        }
        if self.test_range is not None:
            lengths[f"{self.test_range[0]}-{self.test_range[1]}"] = self.test_range
        return lengths


class StringTest(NamedTuple):
    """A test of a cell."""

    longest: int
    """Letters, at most."""
    batch: Callable[[], Batch]
    """Draws the strings."""


def string_tests(task: ProbeTask, spec: TrainSpec) -> dict[str, StringTest]:
    """The tests of a cell by name: of lengths, of a range of lengths, and the task's own (``512 sparse``)."""
    tests = {
        name: StringTest(last, functools.partial(held_out_batch, task, spec, first, last))
        for name, (first, last) in spec.test_lengths().items()
    }
    for number, test in enumerate(task.tests, start=1):
        length = test.length or spec.train_length
        draw = functools.partial(_task_test_batch, task, spec, test, number)
        tests[f"{length} {test.name}"] = StringTest(length, draw)
    return tests


def most_tokens(task: ProbeTask, spec: TrainSpec) -> int:
    """The longest sequence that a cell's network reads, in training or in a test."""
    longest = max(spec.train_length, *(test.longest for test in string_tests(task, spec).values()))
    return longest + 2  # beside the letters, the start token and the one that asks for an answer


def network_options(spec: TrainSpec, task: ProbeTask, *, max_tokens: int) -> NetworkOptions:
    """What the spec's network is made from.

    Args:
        spec: of the cell.
        task: the spec's.
        max_tokens: the longest sequence that the network will read.
    """
    return NetworkOptions(
        task.vocab_size,
        task.num_labels,
        spec.num_layers,
        spec.width,
        spec.head_size,
        spec.negative_eigenvalues,
        max_tokens,
        spec.seed,
    )


def check_spec(spec: TrainSpec) -> ProbeTask:
    """The spec's task, after refusing what cannot be trained.

    Raises:
        UsageError: an unknown name or an impossible size.
    """
    task = get_task(spec.task)
    find_architecture(spec.model, spec.negative_eigenvalues)
    check_sizes(spec.model, spec.num_layers, spec.width, spec.head_size)
    if spec.labels not in LABELS:
        raise UsageError(f"--labels {spec.labels} is unknown; it is {' or '.join(LABELS)}")
    if spec.labels == "last" and task.shows_answers:
        raise UsageError(f"{task.name}: its answers stand in its strings; leave out --labels last")
    numbers = {
        "--steps": spec.num_steps,
        "--batch-size": spec.batch_size,
        "--items": spec.num_items,
        "--train-length": spec.train_length,
        **({} if spec.budget_s is None else {"--budget-s": spec.budget_s}),
        **({} if spec.learning_rate is None else {"--learning-rate": spec.learning_rate}),
    }
    for option, number in numbers.items():
        if not 0 < number < math.inf:
            raise UsageError(f"{option} must be more than 0 and finite, not {number}")
    if not 0 <= spec.weight_decay < math.inf:
        raise UsageError(f"--weight-decay must be 0 or more and finite, not {spec.weight_decay}")
    _check_stopping(spec)
    shortest = spec.resolved().min_train_length
    assert shortest is not None
    if not 1 <= shortest <= spec.train_length:
        raise UsageError(f"--min-train-length {shortest} must lie between 1 and {spec.train_length}")
    if spec.test_range is not None and not 1 <= spec.test_range[0] <= spec.test_range[1]:
        raise UsageError(f"--test-range {spec.test_range[0]}-{spec.test_range[1]} must rise, from at least 1")
    blank = dataclasses.replace(
        spec, model="", num_layers=1, seed=0, negative_eigenvalues="", min_train_length=shortest
    )
    _check_strings(blank)
    if is_users(spec.model):  # made and tried before anything is trained
        build_network(spec.model, network_options(spec, task, max_tokens=most_tokens(task, spec)))
    return task


def _check_stopping(spec: TrainSpec) -> None:
    """Refuse an end that cannot come, and a choice between learning rates without strings to choose by."""
    rates = spec.learning_rates
    if spec.stop_accuracy is None:
        if spec.patience is not None or rates is not None:
            extra = "--patience" if rates is None else "several values of --learning-rate"
            raise UsageError(f"{extra} asks for validation strings; give --stop-accuracy too, such as 0.99")
        return
    if not 0 < spec.stop_accuracy <= 1:
        raise UsageError(f"--stop-accuracy must be more than 0 and at most 1, not {spec.stop_accuracy}")
    if spec.patience is not None and spec.patience < 1:
        raise UsageError(f"--patience must be at least 1 step, not {spec.patience}")
    if spec.budget_s is not None:
        raise UsageError("--budget-s and --stop-accuracy both say when a training ends; give one of them")
    for rate in rates or ():
        if not 0 < rate < math.inf:
            raise UsageError(f"--learning-rate must be more than 0 and finite, not {rate}")


@functools.lru_cache(maxsize=64)
def _check_strings(spec: TrainSpec) -> None:
    """Refuse lengths of which there is no string to train on or to test with, or nothing to ask.

    Args:
        spec: without its network, of which strings know nothing, so that a suite's are drawn once a task.
    """
    task, shortest = get_task(spec.task), spec.min_train_length
    assert shortest is not None
    generator = np.random.default_rng(0)
    if task.mixture is not None:
        _check_mixture(task, spec, shortest)
    for length in [] if task.mixture is not None else range(shortest, spec.train_length + 1):
        if length > shortest and task.num_letters**length > _FEW_STRINGS:
            break
        usable = usable_length(task, length, 1, spec.train_length, spec.training_split)
        strings = training_strings(task, usable, 2, generator, spec.training_split)
        if (task.label(strings) == NOT_SCORED).all():
            raise UsageError(
                f"{task.name}: nothing can be asked of a string of {length} letters; "
                "give a greater --min-train-length"
            )
    if spec.stop_accuracy is not None:
        validation_batch(task, spec)
    for first, last in spec.test_lengths().values():
        if task.fit_length is not None:
            task.fit_length(first)
        if task.draw_kind is not None or first < shortest or task.num_letters**first <= _FEW_STRINGS:
            held_out_batch(task, spec, first, last)


def _check_mixture(task: ProbeTask, spec: TrainSpec, shortest: int) -> None:
    """Refuse tests of strings that are all trained on."""
    for part in mixture_parts(task, shortest, spec.train_length):
        for first, last in spec.test_lengths().values():
            if not part.is_tested and first <= part.length <= last:
                raise UsageError(
                    f"{task.name}: all strings of {part.length} letters are trained on; test longer ones"
                )


def _task_test_batch(task: ProbeTask, spec: TrainSpec, test: TaskTest, number: int) -> Batch:
    """The strings of a task's own test, the same for every model and seed."""
    length = test.length or spec.train_length
    task = task._replace(draw=test.draw)
    generator = np.random.default_rng([_TESTING, length, length, number])
    length = usable_length(task, length, 1, length, "held out")
    strings = held_out_strings(task, length, spec.num_items, generator)
    return make_batch(task, [strings], last_only=spec.labels == "last")


def held_out_batch(task: ProbeTask, spec: TrainSpec, first: int, last: int) -> Batch:
    """The test strings of lengths ``first`` to ``last``: the same for every model and seed.

    Where a language has no member, or nothing else, of a length, the nearest with both is tested.

    Raises:
        UsageError: there is none, or one too short to ask anything of.
    """
    generator = np.random.default_rng([_TESTING, first, last])
    lengths, counts = np.unique(generator.integers(first, last + 1, size=spec.num_items), return_counts=True)
    groups = []
    for length, count in zip(lengths.tolist(), counts.tolist(), strict=True):
        # Strings longer than any in training are not trained on; a sparse language needs all that it has.
        is_longer = task.draw_kind is not None and length > spec.train_length
        split: Split = "any" if is_longer else "held out"
        lowest, highest = (spec.train_length + 1, 2 * length) if is_longer else (1, spec.train_length)
        length = usable_length(task, length, lowest, highest, split)
        groups.append(held_out_strings(task, length, count, generator, split))
    groups = [group for group in groups if len(group)]
    if not groups:
        raise UsageError(f"{task.name}: no test string of {first} to {last} letters exists; test longer ones")
    batch = make_batch(task, groups, last_only=spec.labels == "last")
    if not (batch.labels != NOT_SCORED).any(1).all():
        raise UsageError(
            f"{task.name}: nothing can be asked of a string of {first} letters; test longer ones"
        )
    return batch


def validation_batch(task: ProbeTask, spec: TrainSpec) -> Batch:
    """`NUM_VALIDATION_ITEMS` strings of the training length: the same for every model and seed.

    Where a language has no member, or nothing else, of that length, those of the nearest with both.

    Raises:
        UsageError: there is none.
    """
    length = usable_length(task, spec.train_length, 1, spec.train_length, "validation")
    generator = np.random.default_rng([_VALIDATING, length])
    strings = held_out_strings(task, length, NUM_VALIDATION_ITEMS, generator, "validation")
    if not len(strings) or (task.label(strings) == NOT_SCORED).all(1).any():
        raise UsageError(
            f"{task.name}: there are no strings of {length} letters to validate with; "
            "give a greater --train-length"
        )
    return make_batch(task, [strings], last_only=spec.labels == "last")


def stack_key(specs: Sequence[TrainSpec]) -> str:
    """Digest of what is trained side by side: 24 hexadecimal digits.

    Raises:
        ValueError: the specs differ in more than their seeds, or train for a number of steps alone, each with
            its own lengths.
    """
    shapes = {dataclasses.replace(spec, seed=0) for spec in specs}
    if len(shapes) > 1 or (len(specs) > 1 and specs[0].stop_accuracy is None):
        raise ValueError(
            "only specs that differ in their seeds, with an accuracy to reach, are trained together"
        )
    return hashlib.sha256(json.dumps([spec.key() for spec in specs]).encode()).hexdigest()[:24]
