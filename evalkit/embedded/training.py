"""The training loop of the embedded models: rows, learning rates, checkpoints, the loss curve.

Every step reads `TOKENS_PER_STEP` tokens. The first `SHORT_SHARE` of the steps reads them in rows of
`SHORT_ROW_TOKENS`, in which a Transformer's attention costs a quarter; the rest in rows of `ROW_TOKENS`.
"""

import dataclasses
import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from evalkit.embedded.networks import ROW_TOKENS, Trained, build
from evalkit.embedded.vocabulary import byte_lengths, document_ids
from evalkit.errors import ModelError, UsageError
from evalkit.files import atomic_write, strict_json
from evalkit.terminal import show

TOKENS_PER_STEP = 4096
SHORT_ROW_TOKENS, SHORT_SHARE = 512, 0.5
WARM_UP_STEPS = 50
FINAL_FACTOR = 0.02
"""The learning rate falls, from the end of the warm-up, in a straight line to this part of its peak."""
CLIP_NORM = 1.0
FRESH_PROBABILITY = 0.25
"""How often a row goes on from nothing and not from the state after the row before it."""
STEPS_PER_POINT = 100
NUM_HELD_OUT = 12
"""Held-out documents per set, read up to `ROW_TOKENS` tokens, in the loss curve."""
_CHECKPOINT_SECONDS = 240


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that determines a training on a machine."""

    model: str
    learning_rate: float
    num_steps: int
    num_passes: int
    """How often each document may be read."""
    seed: int
    vocab_size: int
    products: str
    """The type in which matrices are multiplied: ``float32`` or ``bfloat16``."""
    data_sha256: str
    """Of the tokens, in the order in which they are read."""

    def fingerprint(self) -> str:
        """Digest of all fields."""
        return hashlib.sha256(strict_json(dataclasses.asdict(self)).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class TokenData:
    """What is read."""

    tokenizer: Tokenizer
    stream: NDArray[np.int16]
    """Ids to train on, see `evalkit.embedded.data.token_stream`."""
    held_out: Mapping[str, Sequence[str]]
    """Texts by the name under which the curve shows their bits per byte."""


@dataclasses.dataclass
class Progress:
    """How far a training is, and the loss curve so far."""

    step: int = 0
    num_bytes: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    points: list[dict[str, float]] = dataclasses.field(default_factory=list)


def num_short_steps(num_steps: int) -> int:
    """Steps with short rows, the first ones."""
    return round(SHORT_SHARE * num_steps)


def rows(stream: NDArray[np.int16], step: int, num_steps: int) -> torch.Tensor:
    """The rows of a step, ``[B, T + 1]`` with ``B T = TOKENS_PER_STEP``.

    Row b goes on where it ended a step before, unless the rows have just become longer.
    """
    boundary = num_short_steps(num_steps)
    first, end, row_tokens = (0, boundary, SHORT_ROW_TOKENS)
    if step >= boundary:
        first, end, row_tokens = boundary, num_steps, ROW_TOKENS
    part = stream[first * TOKENS_PER_STEP : end * TOKENS_PER_STEP + 1]
    num_rows = TOKENS_PER_STEP // row_tokens
    starts = [row * (end - first) * row_tokens + (step - first) * row_tokens for row in range(num_rows)]
    return torch.from_numpy(np.stack([part[at : at + row_tokens + 1] for at in starts]).astype(np.int64))


def checked_steps(num_steps: int | None, stream: NDArray[np.int16]) -> int:
    """The steps to train.

    Args:
        num_steps: as the user gives it; None for all tokens.
        stream: of ids.

    Raises:
        UsageError: fewer than one step, or more than the data last for.
    """
    available = (len(stream) - 1) // TOKENS_PER_STEP
    if available < 1:
        raise UsageError(f"the data hold {len(stream):,} tokens, less than one step reads; give more --data")
    if num_steps is not None and not 1 <= num_steps <= available:
        raise UsageError(f"--steps {num_steps}: give 1 to {available:,}, or more --passes over the data")
    return available if num_steps is None else num_steps


def learning_rate_factor(step: int, num_steps: int) -> float:
    """Of the peak: a linear warm-up, then a straight line down to `FINAL_FACTOR`."""
    warm_up = min(WARM_UP_STEPS, num_steps // 4)
    if step < warm_up:
        return (step + 1) / warm_up
    part = (step - warm_up) / max(1, num_steps - warm_up)
    return 1 - (1 - FINAL_FACTOR) * part


def held_out_bits(trained: Trained, texts: Sequence[str], tokenizer: Tokenizer) -> float:
    """Bits per byte over the first `ROW_TOKENS` tokens of the texts."""
    lengths = byte_lengths(tokenizer)
    total_nats, num_bytes = 0.0, 0
    trained.network.eval()
    with torch.no_grad():
        for document in document_ids(tokenizer, texts):
            ids = document[: ROW_TOKENS + 1].astype(np.int64)
            total_nats += float(trained.losses(torch.from_numpy(ids)[None], None).double().sum())
            num_bytes += int(lengths[ids[1:]].sum())
    trained.network.train()
    return total_nats / math.log(2) / num_bytes


def train(
    recipe: Recipe,
    data: TokenData,
    *,
    checkpoint: Path | None = None,
    snapshots: Path | None = None,
    steps_per_snapshot: int = 500,
    quiet: bool = False,
    stop_after: int | None = None,
) -> tuple[Trained, Progress]:
    """Train from the beginning, or from the checkpoint if there is one.

    Args:
        recipe: what to train, and how.
        data: what is read.
        checkpoint: the file to go on from, written every few minutes and at the end.
        snapshots: a folder that gets the model as it is now and then, as ``step-N``.
        steps_per_snapshot: between two of these.
        quiet: print nothing.
        stop_after: stop at this step, as if interrupted.

    Raises:
        ModelError: the loss is no number any more: the learning rate is too high.
        UsageError: the checkpoint is of another recipe.
    """
    trained = build(recipe.model, recipe.seed, recipe.vocab_size)
    optimisers = trained.optimisers(recipe.learning_rate)
    peaks = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    progress = Progress()
    if checkpoint is not None and checkpoint.is_file():
        progress = _resume(checkpoint, recipe, trained, optimisers)
    last_saved = started = time.monotonic() - progress.seconds
    cpu_started = time.process_time() - progress.cpu_seconds
    lengths = byte_lengths(data.tokenizer)
    bits: list[float] = []
    while progress.step < min(recipe.num_steps, stop_after or recipe.num_steps):
        factor = learning_rate_factor(progress.step, recipe.num_steps)
        _set_learning_rates(optimisers, peaks, factor)
        ids = rows(data.stream, progress.step, recipe.num_steps)
        num_bytes = int(lengths[ids[:, 1:]].sum())
        bits.append(train_step(recipe, ids, progress.step, trained, optimisers) / num_bytes)
        progress.step += 1
        progress.num_bytes += num_bytes
        progress.seconds = time.monotonic() - started
        progress.cpu_seconds = time.process_time() - cpu_started
        finished = progress.step == recipe.num_steps
        if snapshots is not None and (progress.step % steps_per_snapshot == 0 or finished):
            trained.save(snapshots / f"step-{progress.step}", data.tokenizer)
        if progress.step % STEPS_PER_POINT == 0 or finished:
            progress.points.append(_point(recipe, progress, factor, bits, trained, data))
            bits = []
            if not quiet:
                _report(recipe, progress)
        # Only right after a point, for the bits since then are not saved.
        due = time.monotonic() - last_saved > _CHECKPOINT_SECONDS and not bits
        if checkpoint is not None and (due or finished or progress.step == stop_after):
            _save_checkpoint(checkpoint, recipe, trained, optimisers, progress)
            last_saved = time.monotonic()
    return trained, progress


def _set_learning_rates(
    optimisers: Sequence[torch.optim.Optimizer], peaks: Sequence[Sequence[float]], factor: float
) -> None:
    for optimiser, group_peaks in zip(optimisers, peaks, strict=True):
        for group, peak in zip(optimiser.param_groups, group_peaks, strict=True):
            group["lr"] = peak * factor


def train_step(
    recipe: Recipe,
    ids: torch.Tensor,
    step: int,
    trained: Trained,
    optimisers: Sequence[torch.optim.Optimizer],
) -> float:
    """One update of the weights.

    Args:
        recipe: what is trained.
        ids: the step's rows, ``[B, T + 1]``.
        step: its number, from 0.
        trained: the network.
        optimisers: of its parameters, at the step's learning rates.

    Returns:
        The bits that the step's tokens cost.

    Raises:
        ModelError: the loss is no number any more.
    """
    if step == num_short_steps(recipe.num_steps):
        trained.carry(None)  # the rows are other ones now
    # Drawn by seed and step alone, so that a training that was interrupted draws the same.
    draws = np.random.default_rng((recipe.seed, step)).random(len(ids))
    fresh = torch.from_numpy(draws < FRESH_PROBABILITY)
    # Matrix products and attention; all else is in float32.
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.products == "bfloat16"):
        losses = trained.losses(ids, fresh)
    total_nats = losses.detach().double().sum().item()
    if not math.isfinite(total_nats):
        raise ModelError(
            f"{recipe.model}: the loss is {total_nats} at step {step + 1}; give a lower --learning-rate than "
            f"{recipe.learning_rate:g}"
        )
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    losses.mean().backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(trained.network.parameters(), CLIP_NORM)
    for optimiser in optimisers:
        optimiser.step()
    return total_nats / math.log(2)


def _point(
    recipe: Recipe,
    progress: Progress,
    factor: float,
    bits: Sequence[float],
    trained: Trained,
    data: TokenData,
) -> dict[str, float]:
    """A point of the loss curve: the mean over the steps since the last one, and what held-out texts cost."""
    return {
        "step": progress.step,
        "num_bytes": progress.num_bytes,
        "learning_rate": recipe.learning_rate * factor,
        "train": float(np.mean(bits)),
        **{name: held_out_bits(trained, texts, data.tokenizer) for name, texts in data.held_out.items()},
        "seconds": progress.seconds,
    }


def _save_checkpoint(
    path: Path,
    recipe: Recipe,
    trained: Trained,
    optimisers: Sequence[torch.optim.Optimizer],
    progress: Progress,
) -> None:
    with atomic_write(path) as temporary:
        torch.save(
            {
                "fingerprint": recipe.fingerprint(),
                "network": trained.network.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in optimisers],
                "carried": trained.carried(),
                "progress": dataclasses.asdict(progress),
            },
            temporary,
        )


def _resume(
    path: Path, recipe: Recipe, trained: Trained, optimisers: Sequence[torch.optim.Optimizer]
) -> Progress:
    saved = torch.load(path, weights_only=True)
    if saved["fingerprint"] != recipe.fingerprint():
        raise UsageError(f"{path} is of another recipe or other data; remove it or give another --output")
    trained.network.load_state_dict(saved["network"])
    for optimiser, state in zip(optimisers, saved["optimisers"], strict=True):
        optimiser.load_state_dict(state)
    trained.carry(saved["carried"])
    return Progress(**saved["progress"])


def _report(recipe: Recipe, progress: Progress) -> None:
    point = progress.points[-1]
    seconds_left = progress.seconds / progress.step * (recipe.num_steps - progress.step)
    shown = "  ".join(
        f"{name} {value:.3f}"
        for name, value in point.items()
        if name not in ("step", "num_bytes", "learning_rate", "seconds")
    )
    show(
        f"{recipe.model} {progress.step}/{recipe.num_steps} steps  {shown} bits/byte  "
        f"{progress.num_bytes / progress.seconds:,.0f} bytes/s  {seconds_left / 60:.0f} min left"
    )
