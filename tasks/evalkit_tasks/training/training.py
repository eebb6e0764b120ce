"""Train one network on one task and test it on strings of other lengths: a cell of the trained probes.

Everything is a function of the `TrainSpec`: the weights of the seed, the strings of the seed and the step,
the test strings of the task and the length. A run that was cut off goes on from its last checkpoint and ends
with the same bits as one that was not.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ScoringError, UsageError
from evalkit.files import atomic_write
from evalkit_tasks.metrics import NOT_SCORED, ItemScores, parity_accuracy, score_items
from evalkit_tasks.training.networks import (
    NetworkOptions,
    build_network,
    check_sizes,
    display_name,
    find_architecture,
)
from evalkit_tasks.training.probe_data import (
    Batch,
    ProbeTask,
    get_task,
    make_batch,
    test_strings,
    training_strings,
)

if TYPE_CHECKING:
    from evalkit_tasks.training.networks_parts import SequenceNetwork

TRAINER_VERSION = 2
"""Changes whenever the same `TrainSpec` would give other numbers."""

LABELS = ("every", "last")
SOLVED_LOSS = 0.02
HISTORY_STEPS = 25
"""Steps over which the loss in the history is averaged."""

_TRAINING, _TESTING = 1, 2
"""Streams of random numbers."""

_FEW_STRINGS = 1 << 12
"""Of a length with more strings than this, some are for training and some for testing."""

_TEST_TOKENS = 1 << 15
_BETAS = (0.9, 0.99)
_CLIP = 1.0
_LAST_LEARNING_RATE = 0.1


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
    """A batch's length is uniform from this to ``train_length``; None is a quarter of that."""
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

    def key(self) -> str:
        """Digest of what determines the numbers: 24 hexadecimal digits."""
        parts = {"trainer": TRAINER_VERSION, **dataclasses.asdict(self.resolved())}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]

    def resolved(self) -> "TrainSpec":
        """The same with every default filled in."""
        learning_rate = self.learning_rate
        if learning_rate is None:
            learning_rate = find_architecture(self.model, self.negative_eigenvalues).learning_rate
        shortest = self.min_train_length
        if shortest is None:
            shortest = max(1, self.train_length // 4)
        return dataclasses.replace(self, learning_rate=learning_rate, min_train_length=shortest)

    @property
    def name(self) -> str:
        """What the cell is called in messages."""
        model = display_name(self.model, self.negative_eigenvalues)
        return f"{self.task}, {model}, {self.num_layers} layers, seed {self.seed}"

    def test_lengths(self) -> dict[str, tuple[int, int]]:
        """The tests: name, shortest and longest string."""
        lengths = {
            str(self.train_length * multiple): (self.train_length * multiple, self.train_length * multiple)
            for multiple in self.test_multiples
        }
        if self.test_range is not None:
            lengths[f"{self.test_range[0]}-{self.test_range[1]}"] = self.test_range
        return lengths


class TrainResult(NamedTuple):
    """What came of a cell."""

    tests: dict[str, ItemScores]
    """By the test's name."""
    majority_accuracy: dict[str, float]
    """For each test, the token accuracy of always giving its commonest label."""
    parity_accuracy: dict[str, float | None]
    """For each test, see `evalkit_tasks.metrics.parity_accuracy`; None where the task has no parities."""
    history: list[tuple[int, float]]
    """Steps done, and the mean loss of the last `HISTORY_STEPS`, in nats per label."""
    num_parameters: int
    stopped_by: str
    """``steps``, or ``budget`` where the CPU seconds ran out before."""
    training_cpu_s: float
    testing_cpu_s: float


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
    shortest = spec.resolved().min_train_length or 1
    if not 1 <= shortest <= spec.train_length:
        raise UsageError(f"--min-train-length {shortest} must lie between 1 and {spec.train_length}")
    if spec.test_range is not None and not 1 <= spec.test_range[0] <= spec.test_range[1]:
        raise UsageError(f"--test-range {spec.test_range[0]}-{spec.test_range[1]} must rise, from at least 1")
    _check_strings(task, spec, shortest)
    return task


def _check_strings(task: ProbeTask, spec: TrainSpec, shortest: int) -> None:
    """Refuse lengths of which there is no string to train on or to test with, or nothing to ask."""
    chance = np.random.default_rng(0)
    for length in range(shortest, spec.train_length + 1):
        if length > shortest and task.num_letters**length > _FEW_STRINGS:
            break
        strings = training_strings(task, length, 1, chance)
        if (task.label(strings) == NOT_SCORED).all():
            raise UsageError(
                f"{task.name}: nothing can be asked of a string of {length} letters; "
                "give a greater --min-train-length"
            )
    for first, last in spec.test_lengths().values():
        if first < shortest or task.num_letters**first <= _FEW_STRINGS:
            test_batch(task, spec, first, last)


def run_spec(
    spec: TrainSpec,
    checkpoint: Path | None = None,
    *,
    device: str = "cpu",
    checkpoint_every_s: float = 20.0,
    on_step: Callable[[int, float | None], None] | None = None,
) -> TrainResult:
    """Train and test.

    Args:
        spec: what.
        checkpoint: a file from which training goes on where it exists, and that is written on the way;
            the caller deletes it when the result is safe.
        device: where; results are reproducible to the bit on one kind of CPU.
        checkpoint_every_s: seconds between checkpoints.
        on_step: told after each step, with the mean loss where one was taken.

    Raises:
        UsageError: see `check_spec`.
        ScoringError: training diverged.
    """
    import torch

    spec = spec.resolved()
    task = check_spec(spec)
    longest = max(last for _, last in spec.test_lengths().values())
    options = NetworkOptions(
        task.vocab_size,
        task.num_labels,
        spec.num_layers,
        spec.width,
        spec.head_size,
        spec.negative_eigenvalues,
        max(longest, spec.train_length) + 2,
        spec.seed,
    )
    with _one_thread():
        network = build_network(spec.model, options).to(device)
        training = _Training(spec, task, network, device)
        if checkpoint is not None and checkpoint.is_file():
            training.load(checkpoint)
        stopped_by = training.run(checkpoint, checkpoint_every_s, on_step)
        before = time.process_time()
        network.eval()
        tests, majority = {}, {}
        parity: dict[str, float | None] = {}
        with torch.inference_mode():
            for name, (first, last) in spec.test_lengths().items():
                batch = test_batch(task, spec, first, last)
                # Column 0 is the start token, of which nothing is asked.
                predictions, labels = _predictions(network, batch, device)[:, 1:], batch.labels[:, 1:]
                tests[name] = score_items(predictions, labels, batch.num_letters)
                known = task.parities
                parity[name] = None if known is None else parity_accuracy(predictions, labels, known)
                asked = batch.labels[batch.labels != NOT_SCORED]
                majority[name] = float(np.bincount(asked).max() / len(asked))
    return TrainResult(
        tests,
        majority,
        parity,
        training.history,
        sum(parameter.numel() for parameter in network.parameters()),
        stopped_by,
        training.cpu_s,
        time.process_time() - before,
    )


def test_batch(task: ProbeTask, spec: TrainSpec, first: int, last: int) -> Batch:
    """The test strings of lengths ``first`` to ``last``: the same for every model and seed.

    Raises:
        UsageError: there is none, or one too short to ask anything of.
    """
    chance = np.random.default_rng([_TESTING, first, last])
    lengths, numbers = np.unique(chance.integers(first, last + 1, size=spec.num_items), return_counts=True)
    groups = [
        test_strings(task, int(length), int(number), chance)
        for length, number in zip(lengths, numbers, strict=True)
    ]
    groups = [group for group in groups if len(group)]
    if not groups:
        raise UsageError(f"{task.name}: no test string of {first} to {last} letters exists; test longer ones")
    batch = make_batch(task, groups, last_only=spec.labels == "last")
    if not (batch.labels != NOT_SCORED).any(1).all():
        raise UsageError(
            f"{task.name}: nothing can be asked of a string of {first} letters; test longer ones"
        )
    return batch


class _Training:
    """The state of a training, which a checkpoint holds."""

    def __init__(self, spec: TrainSpec, task: ProbeTask, network: "SequenceNetwork", device: str) -> None:
        import torch

        assert spec.learning_rate is not None and spec.min_train_length is not None
        self.spec, self.task, self.network, self.device = spec, task, network, device
        groups = network.parameter_groups(spec.learning_rate, spec.weight_decay)
        for group in groups:
            group["peak"] = group.setdefault("lr", spec.learning_rate)
        self.optimizer = torch.optim.AdamW(groups, betas=_BETAS)
        self.step = 0
        self.cpu_s = 0.0
        self.history: list[tuple[int, float]] = []
        self.losses: list[float] = []
        """Of the steps since the last entry of the history."""

    def run(
        self,
        checkpoint: Path | None,
        checkpoint_every_s: float,
        on_step: Callable[[int, float | None], None] | None,
    ) -> str:
        """Train to the end; returns what ended it."""
        saved_s = self.cpu_s
        self.network.train()
        while self.step < self.spec.num_steps:
            if self.spec.budget_s is not None and self.cpu_s >= self.spec.budget_s:
                return "budget"
            before = time.process_time()
            self._advance()
            self.cpu_s += time.process_time() - before
            mean = None
            if self.step % HISTORY_STEPS == 0 or self.step == self.spec.num_steps:
                mean = math.fsum(self.losses) / len(self.losses)
                self.history.append((self.step, mean))
                self.losses = []
            if checkpoint is not None and self.cpu_s - saved_s >= checkpoint_every_s:
                self.save(checkpoint)
                saved_s = self.cpu_s
            if on_step is not None:
                on_step(self.step, mean)
        return "steps"

    def _advance(self) -> None:
        import torch
        import torch.nn.functional as F

        spec = self.spec
        chance = np.random.default_rng([_TRAINING, spec.seed, self.step])
        length = int(chance.integers(spec.min_train_length or 1, spec.train_length + 1))
        strings = training_strings(self.task, length, spec.batch_size, chance)
        batch = make_batch(self.task, [strings], last_only=spec.labels == "last")
        tokens = torch.from_numpy(batch.tokens).to(self.device)
        labels = torch.from_numpy(batch.labels).to(self.device)

        factor = _learning_rate_factor(self.step, spec.warmup_steps, spec.num_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        logits, _ = self.network(tokens)
        asked = labels != NOT_SCORED
        loss = F.cross_entropy(logits[asked], labels[asked])
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        if not norm.isfinite():
            raise ScoringError(
                f"training diverged at step {self.step + 1}, where the gradient is not finite; "
                "give a lower --learning-rate"
            )
        self.optimizer.step()
        self.losses.append(loss.item())
        self.step += 1

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        import torch

        state = {
            "key": self.spec.key(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "cpu_s": self.cpu_s,
            "history": self.history,
            "losses": self.losses,
        }
        with atomic_write(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same spec.

        Raises:
            UsageError: the file is another spec's, or no checkpoint.
        """
        import pickle

        import torch

        try:
            state = torch.load(path, weights_only=True, map_location=self.device)
            known = state["key"]
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is no checkpoint ({type(error).__name__}); delete it") from error
        if known != self.spec.key():
            raise UsageError(f"{path} is the checkpoint of another cell; delete it")
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.cpu_s = state["step"], state["cpu_s"]
        self.history, self.losses = [(step, loss) for step, loss in state["history"]], state["losses"]


def _learning_rate_factor(step: int, warmup_steps: int, num_steps: int) -> float:
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * step / num_steps))
    return warmup * (_LAST_LEARNING_RATE + (1 - _LAST_LEARNING_RATE) * cosine)


def _predictions(network: "SequenceNetwork", batch: Batch, device: str) -> NDArray[np.int64]:
    """The likeliest label after each token, ``[num_strings, 1 + T]``."""
    import torch

    num_rows = max(1, _TEST_TOKENS // batch.tokens.shape[1])
    predictions = [
        network(torch.from_numpy(batch.tokens[first : first + num_rows]).to(device))[0]
        .argmax(-1)
        .cpu()
        .numpy()
        for first in range(0, len(batch.tokens), num_rows)
    ]
    return np.concatenate(predictions)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread, and denormal numbers as 0: they are slow, and saturated gates make many."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)


def steps_to_loss(history: list[tuple[int, float]], loss: float = SOLVED_LOSS) -> int | None:
    """Steps after which the mean loss was first below a bound; None if it never was."""
    return next((step for step, mean in history if mean < loss), None)


def spec_json(spec: TrainSpec) -> dict[str, Any]:
    """A spec as JSON holds it."""
    return json.loads(json.dumps(dataclasses.asdict(spec.resolved())))  # type: ignore[no-any-return]
