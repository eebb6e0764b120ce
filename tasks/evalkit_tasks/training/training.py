"""Train networks on one task and test them on strings of other lengths: cells of the trained probes.

Everything is a function of the `TrainSpec`: the weights of the seed, the strings of the seed and the step,
the test strings of the task and the length. A run that was cut off goes on from its last checkpoint and ends
with the same bits as one that was not.

Specs that differ in their seeds alone are trained side by side, and so are the learning rates of each
(`evalkit_tasks.training.networks.stack`); a network gets the numbers that it gets alone, but for rounding.
`evalkit_tasks.training.members` says when a training ends.
"""

import contextlib
import dataclasses
import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from evalkit.errors import ScoringError, UsageError
from evalkit.files import atomic_write
from evalkit_tasks.metrics import NOT_SCORED
from evalkit_tasks.training.members import LOOK_STEPS, Look, Member, Try, choose, drop_beaten
from evalkit_tasks.training.networks.architectures import build_network, find_architecture
from evalkit_tasks.training.spec import (
    TrainSpec,
    check_spec,
    most_tokens,
    network_options,
    stack_key,
    string_tests,
    validation_batch,
)
from evalkit_tasks.training.tasks.mixtures import training_groups
from evalkit_tasks.training.tasks.strings import Batch, make_batch
from evalkit_tasks.training.tasks.task import ProbeTask

if TYPE_CHECKING:
    from torch import Tensor

    from evalkit_tasks.training.networks.parts import SequenceNetwork
    from evalkit_tasks.training.testing import StringScores

SOLVED_LOSS = 0.02

_TRAINING, _LENGTHS = 1, 5
"""Streams of random numbers; those of the test and validation strings are others."""


class TrainResult(NamedTuple):
    """What a trained network did with the test strings, and how the training went."""

    tests: "dict[str, StringScores]"
    """By the test's name."""
    history: list[tuple[int, float]]
    """Steps done, and the mean loss of the last `HISTORY_STEPS`, in nats per label."""
    num_parameters: int
    stopped_by: str
    """``steps``, or ``budget`` where the CPU seconds ran out before; ``accuracy`` or ``patience``."""
    training_cpu_s: float
    """Its share of what was trained side by side, all its learning rates together."""
    testing_cpu_s: float
    learning_rate: float
    """At its peak; of several the one that did best with the validation strings."""
    looks: list[Look]
    tried: list[Try]
    """The learning rates, where there were several."""


OnStep = Callable[[int, float | None], None]
"""Called after each step with how many there were, and with the mean loss where one was taken."""


def run_spec(
    spec: TrainSpec,
    checkpoint: Path | None = None,
    *,
    device: str = "cpu",
    checkpoint_every_s: float = 20.0,
    on_step: OnStep | None = None,
) -> TrainResult:
    """Train and test one spec; see `run_specs`.

    Raises:
        UsageError: see `check_spec`.
        ScoringError: training diverged.
    """
    outcomes = run_specs(
        [spec], checkpoint, device=device, checkpoint_every_s=checkpoint_every_s, on_step=on_step
    )
    if isinstance(outcomes[0], ScoringError):
        raise outcomes[0]
    return outcomes[0]


def run_specs(
    specs: Sequence[TrainSpec],
    checkpoint: Path | None = None,
    *,
    device: str = "cpu",
    checkpoint_every_s: float = 20.0,
    on_step: OnStep | None = None,
) -> list[TrainResult | ScoringError]:
    """Train and test specs side by side.

    Args:
        specs: what to train, and how: at least one, all of one `stack_key`.
        checkpoint: a file from which training goes on where it exists, and that is written on the way;
            the caller deletes it when the result is safe.
        device: that it runs on; results are reproducible to the bit on one kind of CPU.
        checkpoint_every_s: seconds between checkpoints.
        on_step: called after each step.

    Returns:
        For each spec what came of it, or that its training diverged.

    Raises:
        UsageError: see `check_spec`.
    """
    specs = [spec.resolved() for spec in specs]
    task = check_spec(specs[0])
    with _one_thread():
        training = _Training(specs, task, device)
        if checkpoint is not None and checkpoint.is_file():
            training.load(checkpoint)
        training.run(checkpoint, checkpoint_every_s, on_step)
        return [training.result(cell) for cell in range(len(specs))]


class _Training:
    """The state of a training, which a checkpoint holds."""

    def __init__(self, specs: Sequence[TrainSpec], task: ProbeTask, device: str) -> None:
        from evalkit_tasks.training.networks.stack import NetworkStack

        self.specs, self.task, self.device = specs, task, device
        spec = self.spec = specs[0]
        self.is_until = spec.stop_accuracy is not None
        self.members = [
            Member(cell, rate)
            for cell, spec_of_cell in enumerate(specs)
            for rate in spec_of_cell.learning_rates or (spec_of_cell.learning_rate or 0.0,)
        ]
        self.rows = list(range(len(self.members)))
        """The members that are still trained, in the order of the stack."""
        self.final: dict[int, dict[str, Tensor]] = {}
        """The parameters of those that are not."""
        self.cpu_s = [0.0] * len(specs)
        networks = [self._network(specs[member.cell]) for member in self.members]
        self.scales, self.decays = _parameter_rules(networks[0], spec.weight_decay)
        self.stack = NetworkStack(networks, batched=find_architecture(spec.model).is_batched)
        self.validation = validation_batch(task, spec) if self.is_until else None

    def _network(self, spec: TrainSpec) -> "SequenceNetwork":
        options = network_options(spec, self.task, max_tokens=most_tokens(self.task, spec))
        return build_network(spec.model, options).to(self.device)

    @property
    def num_steps(self) -> int:
        """Steps done."""
        return self.stack.num_steps

    def run(self, checkpoint: Path | None, checkpoint_every_s: float, on_step: OnStep | None) -> None:
        """Train to the end."""
        saved_s = sum(self.cpu_s)
        while self.rows and not self._is_out_of_budget():
            before_s = time.process_time()
            mean = self._advance()
            if self.is_until and (self.num_steps % LOOK_STEPS == 0 or self.num_steps == self.spec.num_steps):
                self._look()
            cells = [self.members[row].cell for row in self.rows]
            share_s = (time.process_time() - before_s) / len(cells)
            for cell in cells:
                self.cpu_s[cell] += share_s
            self._retire()
            if checkpoint is not None and (sum(self.cpu_s) - saved_s >= checkpoint_every_s or not self.rows):
                self.save(checkpoint)
                saved_s = sum(self.cpu_s)
            if on_step is not None:
                on_step(self.num_steps, mean)

    def _is_out_of_budget(self) -> bool:
        """Whether the CPU seconds have run out; then every member is over."""
        if self.spec.budget_s is None or sum(self.cpu_s) < self.spec.budget_s:
            return False
        for row in self.rows:
            self.members[row].ending, self.members[row].is_over = "budget", True
        self._retire()
        return True

    def _advance(self) -> float | None:
        """One step of every member; their mean loss where the history took it."""
        import torch
        import torch.nn.functional as F

        active = [self.members[row] for row in self.rows]
        batches = {cell: self._batch(self.specs[cell]) for cell in dict.fromkeys(m.cell for m in active)}
        tokens, labels = (
            torch.from_numpy(np.stack([getattr(batches[member.cell], part) for member in active])).to(
                self.device
            )
            for part in ("tokens", "labels")
        )
        rates = [
            member.learning_rate
            * member.factor(self.spec.num_steps, self.spec.warmup_steps, until=self.is_until)
            for member in active
        ]
        self.stack.network.train()
        logits = self.stack.forward(tokens)
        is_scored = labels != NOT_SCORED
        losses = torch.stack(
            [F.cross_entropy(logits[row][mask], labels[row][mask]) for row, mask in enumerate(is_scored)]
        )
        norms = self.stack.learn(losses, rates, self.scales, self.decays).tolist()
        is_last = self.num_steps == self.spec.num_steps
        for member, loss, norm in zip(active, losses.tolist(), norms, strict=True):
            if np.isfinite(norm):
                member.count(loss, is_last=is_last)
            else:
                member.ending, member.is_over = "diverged", True
        means = [m.history[-1][1] for m in active if m.history and m.history[-1][0] == self.num_steps]
        return sum(means) / len(means) if means else None

    def _batch(self, spec: TrainSpec) -> Batch:
        generator = np.random.default_rng([_TRAINING, spec.seed, self.num_steps])
        # Side by side all batches are of one length, so it is the step's and not the seed's.
        lengths = np.random.default_rng([_LENGTHS, self.num_steps]) if self.is_until else generator
        bounds = spec.min_train_length or 1, spec.train_length
        groups = training_groups(self.task, bounds, spec.batch_size, generator, lengths, spec.training_split)
        return make_batch(self.task, groups, last_only=spec.labels == "last", is_training=True)

    def _look(self) -> None:
        from evalkit_tasks.training.testing import look_at

        assert self.validation is not None and self.spec.stop_accuracy is not None
        self.stack.network.eval()
        looks = look_at(self.stack, self.validation, self.device)
        for row, (accuracy, loss) in zip(self.rows, looks, strict=True):
            look = Look(self.num_steps, accuracy, loss)
            self.members[row].note(look, self.spec.stop_accuracy, self.spec.patience)
        for cell in range(len(self.specs)):
            members = [member for member in self.members if member.cell == cell]
            drop_beaten(members, self.spec.num_steps)

    def _retire(self) -> None:
        """Take the members whose training is over out of the stack."""
        for row in self.rows:
            member = self.members[row]
            if self.is_until:
                member.proceed(self.spec.num_steps)
            elif member.num_steps == self.spec.num_steps and not member.is_over:
                member.ending, member.is_over = "steps", True
        staying = [place for place, row in enumerate(self.rows) if not self.members[row].is_over]
        if len(staying) == len(self.rows):
            return
        for place, row in enumerate(self.rows):
            if self.members[row].is_over:
                self.final[row] = self.stack.values_of(place)
        self.rows = [self.rows[place] for place in staying]
        self.stack.keep(staying)

    def result(self, cell: int) -> TrainResult | ScoringError:
        """Test the network of one of the specs."""
        from evalkit_tasks.training.testing import score_strings

        members = [member for member in self.members if member.cell == cell]
        best = choose(members)
        if best is None:
            last = max(member.num_steps for member in members)
            return ScoringError(
                f"training diverged at step {last + 1}, where the gradient is not finite; "
                "give a lower --learning-rate"
            )
        spec = self.specs[cell]
        since_s = time.process_time()
        network = self.stack.network
        network.load_state_dict(self.final[self.members.index(best)], strict=False)
        network.eval()
        scores = {
            name: score_strings(network, self.task, test.batch(), self.device)
            for name, test in string_tests(self.task, spec).items()
        }
        tried = [
            Try(m.learning_rate, m.ending or "", m.num_steps, m.looks[-1].accuracy if m.looks else None)
            for m in members
        ]
        return TrainResult(
            scores,
            best.history,
            sum(parameter.numel() for parameter in network.parameters()),
            best.ending or "",
            self.cpu_s[cell],
            time.process_time() - since_s,
            best.learning_rate,
            best.looks,
            tried if spec.learning_rates is not None else [],
        )

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        import torch

        state = {
            "key": stack_key(self.specs),
            "stack": self.stack.state(),
            # Of plain tuples: a checkpoint is loaded without code.
            "members": [
                dataclasses.asdict(member) | {"looks": [tuple(look) for look in member.looks]}
                for member in self.members
            ],
            "rows": self.rows,
            "final": self.final,
            "cpu_s": self.cpu_s,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
        with atomic_write(path) as temporary:
            temporary.write_bytes(f"{hashlib.sha256(data).hexdigest()}\n".encode() + data)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same specs.

        Raises:
            UsageError: the file is of other specs, or not what was written.
        """
        import torch

        digest, _, data = path.read_bytes().partition(b"\n")
        # torch takes damaged numbers for numbers.
        if hashlib.sha256(data).hexdigest().encode() != digest:
            raise UsageError(f"{path} is no checkpoint, or not what was written; delete it")
        try:
            state = torch.load(io.BytesIO(data), weights_only=True, map_location=self.device)
            if state["key"] == stack_key(self.specs):
                self._restore(state)
                return
        except Exception as error:  # whatever torch finds in what somebody else has written
            raise UsageError(f"{path} is no checkpoint ({type(error).__name__}); delete it") from error
        raise UsageError(f"{path} is the checkpoint of another cell; delete it")

    def _restore(self, state: Mapping[str, Any]) -> None:
        members = [
            Member(**{**entry, "looks": [Look(*look) for look in entry["looks"]]})
            for entry in state["members"]
        ]
        rows, final = [int(row) for row in state["rows"]], dict(state["final"])
        self.stack.restore(state["stack"])
        shapes = {name: value.shape[1:] for name, value in self.stack.parameters.items()}
        is_whole = (
            [(m.cell, m.learning_rate) for m in members] == [(m.cell, m.learning_rate) for m in self.members]
            and sorted([*rows, *final]) == list(range(len(members)))
            and len(rows) == len(self.stack)
            and all({name: value.shape for name, value in of.items()} == shapes for of in final.values())
        )
        if not is_whole:
            raise ValueError("it does not fit together")
        self.members, self.rows, self.final = members, rows, final
        self.cpu_s = [float(state["cpu_s"][cell]) for cell in range(len(self.specs))]


def _parameter_rules(
    network: "SequenceNetwork", weight_decay: float
) -> tuple[dict[str, float], dict[str, float]]:
    """By parameter: of what multiple of the learning rate it learns, and its weight decay."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    scales, decays = {}, {}
    for group in network.parameter_groups(1.0, weight_decay):
        for parameter in group["params"]:
            scales[names[id(parameter)]] = float(group["lr"])
            decays[names[id(parameter)]] = float(group["weight_decay"])
    return scales, decays


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
