"""Train one network on one task and test it on strings of other lengths: a cell of the trained probes.

Everything is a function of the `TrainSpec`: the weights of the seed, the strings of the seed and the step,
the test strings of the task and the length. A run that was cut off goes on from its last checkpoint and ends
with the same bits as one that was not.
"""

import contextlib
import hashlib
import io
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evalkit.errors import ScoringError, UsageError
from evalkit.files import atomic_write
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.networks.architectures import build_network
from evalkit_tasks.training.spec import TrainSpec, check_spec, held_out_batch, network_options
from evalkit_tasks.training.tasks.strings import make_batch, training_strings, usable_length
from evalkit_tasks.training.tasks.task import ProbeTask

if TYPE_CHECKING:
    from evalkit_tasks.training.networks.parts import SequenceNetwork
    from evalkit_tasks.training.testing import StringScores

SOLVED_LOSS = 0.02
HISTORY_STEPS = 25
"""Steps over which the loss in the history is averaged."""

_TRAINING = 1
"""Stream of random numbers; that of the test strings is another."""

_BETAS = (0.9, 0.99)
_CLIP = 1.0
_LAST_LEARNING_RATE = 0.1
"""As a share of its peak."""


class TrainResult(NamedTuple):
    """What a trained network did with the test strings, and how the training went."""

    tests: "dict[str, StringScores]"
    """By the test's name."""
    history: list[tuple[int, float]]
    """Steps done, and the mean loss of the last `HISTORY_STEPS`, in nats per label."""
    num_parameters: int
    stopped_by: str
    """``steps``, or ``budget`` where the CPU seconds ran out before."""
    training_cpu_s: float
    testing_cpu_s: float


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
        spec: what to train, and how.
        checkpoint: a file from which training goes on where it exists, and that is written on the way;
            the caller deletes it when the result is safe.
        device: that it runs on; results are reproducible to the bit on one kind of CPU.
        checkpoint_every_s: seconds between checkpoints.
        on_step: called after each step with how many there were, and with the mean loss where one was taken.

    Raises:
        UsageError: see `check_spec`.
        ScoringError: training diverged.
    """
    from evalkit_tasks.training.testing import score_strings

    spec = spec.resolved()
    task = check_spec(spec)
    test_lengths = spec.test_lengths()
    longest = max(spec.train_length, *(last for _, last in test_lengths.values()))
    with _one_thread():
        # Beside the letters, the start token and the one that asks for an answer.
        network = build_network(spec.model, network_options(spec, task, max_tokens=longest + 2)).to(device)
        training = _Training(spec, task, network, device)
        if checkpoint is not None and checkpoint.is_file():
            training.load(checkpoint)
        stopped_by = training.run(checkpoint, checkpoint_every_s, on_step)
        testing_since_s = time.process_time()
        network.eval()
        scores = {
            name: score_strings(network, task, held_out_batch(task, spec, first, last), device)
            for name, (first, last) in test_lengths.items()
        }
        testing_cpu_s = time.process_time() - testing_since_s
    return TrainResult(
        scores,
        training.history,
        sum(parameter.numel() for parameter in network.parameters()),
        stopped_by,
        training.cpu_s,
        testing_cpu_s,
    )


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
        generator = np.random.default_rng([_TRAINING, spec.seed, self.step])
        length = int(generator.integers(spec.min_train_length or 1, spec.train_length + 1))
        length = usable_length(self.task, length, 1, spec.train_length, "training")
        strings = training_strings(self.task, length, spec.batch_size, generator)
        batch = make_batch(self.task, [strings], last_only=spec.labels == "last")
        tokens = torch.from_numpy(batch.tokens).to(self.device)
        labels = torch.from_numpy(batch.labels).to(self.device)

        factor = _learning_rate_factor(self.step, spec.warmup_steps, spec.num_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        logits, _ = self.network(tokens)
        is_scored = labels != NOT_SCORED
        loss = F.cross_entropy(logits[is_scored], labels[is_scored])
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
        """Write a checkpoint, whole or not at all."""
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
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
        with atomic_write(path) as temporary:
            temporary.write_bytes(f"{hashlib.sha256(data).hexdigest()}\n".encode() + data)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same spec.

        Raises:
            UsageError: the file is another spec's, or not what was written.
        """
        import torch

        digest, _, data = path.read_bytes().partition(b"\n")
        # torch takes damaged numbers for numbers.
        if hashlib.sha256(data).hexdigest().encode() != digest:
            raise UsageError(f"{path} is no checkpoint, or not what was written; delete it")
        try:
            state = torch.load(io.BytesIO(data), weights_only=True, map_location=self.device)
            if state["key"] == self.spec.key():
                self.network.load_state_dict(state["network"])
                self.optimizer.load_state_dict(state["optimizer"])
                self.step, self.cpu_s = int(state["step"]), float(state["cpu_s"])
                self.history = [(int(step), float(loss)) for step, loss in state["history"]]
                self.losses = [float(loss) for loss in state["losses"]]
                return
        except Exception as error:  # whatever torch finds in what somebody else has written
            raise UsageError(f"{path} is no checkpoint ({type(error).__name__}); delete it") from error
        raise UsageError(f"{path} is the checkpoint of another cell; delete it")


def _learning_rate_factor(step: int, warmup_steps: int, num_steps: int) -> float:
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * step / num_steps))
    return warmup * (_LAST_LEARNING_RATE + (1 - _LAST_LEARNING_RATE) * cosine)


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
