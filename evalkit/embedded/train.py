"""The recipe of the embedded models, to be run again by anybody.

::

    python -m evalkit.embedded.train --model rwkv7-nano --data wikipedia_english_20240601to20240615.json …

One pass over the data (see `evalkit.embedded.data`), in an order that the seed fixes, the same for every
architecture. Without ``--learning-rate`` a short training at each of `LEARNING_RATES` chooses it first.
The output folder holds the checkpoint, from which the same command goes on, the loss curve (CSV and PNG),
``training.json`` with the facts for the model card, and at the end the model.
"""

import argparse
import csv
import dataclasses
import hashlib
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from evalkit.embedded.curve import plot_curve, write_csv
from evalkit.embedded.data import DataSet, byte_ids, code, prose, token_stream
from evalkit.embedded.networks import NETWORKS, ROW_TOKENS, Trained, build
from evalkit.environment import environment, torch_environment
from evalkit.errors import EvalkitError, UsageError
from evalkit.files import atomic_write, strict_json
from evalkit.terminal import complain, show

LEARNING_RATES = (1e-3, 2e-3, 4e-3)
SWEEP_STEPS = 100
ROWS_PER_STEP = 8
WARM_UP_STEPS = 50
FINAL_FACTOR = 0.05
"""The learning rate ends, after half a cosine, at this part of its peak."""
CLIP_NORM = 1.0
FRESH_PROBABILITY = 0.25
"""How often a row goes on from nothing and not from the state after the row before it."""
STEPS_PER_POINT = 100
NUM_HELD_OUT = 40
"""Held-out documents per set, read up to `ROW_TOKENS` bytes, in the loss curve."""
_CHECKPOINT_SECONDS = 240


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that determines a training."""

    model: str
    learning_rate: float
    num_steps: int
    seed: int
    data_sha256: str

    def fingerprint(self) -> str:
        """Digest of all fields."""
        return hashlib.sha256(strict_json(dataclasses.asdict(self)).encode()).hexdigest()


@dataclasses.dataclass
class Progress:
    """How far a training is, and the loss curve so far."""

    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    points: list[dict[str, float]] = dataclasses.field(default_factory=list)


def rows(stream: NDArray[np.int16], step: int) -> torch.Tensor:
    """The rows of a step, ``[ROWS_PER_STEP, ROW_TOKENS + 1]``: row b goes on where it ended a step before."""
    length = (len(stream) - 1) // ROWS_PER_STEP
    starts = [row * length + step * ROW_TOKENS for row in range(ROWS_PER_STEP)]
    return torch.from_numpy(
        np.stack([stream[start : start + ROW_TOKENS + 1] for start in starts]).astype(np.int64)
    )


def steps_of_one_pass(stream: NDArray[np.int16]) -> int:
    """Steps until every id was read once."""
    return ((len(stream) - 1) // ROWS_PER_STEP) // ROW_TOKENS


def checked_steps(num_steps: int | None, stream: NDArray[np.int16]) -> int:
    """The steps to train.

    Args:
        num_steps: as the user gives it; None for one pass over the data.
        stream: of ids, see `evalkit.embedded.data.token_stream`.

    Raises:
        UsageError: fewer than one step, or more than the data last for.
    """
    available = steps_of_one_pass(stream)
    if available < 1:
        raise UsageError(f"the data hold {len(stream):,} bytes, less than one step reads; give more --data")
    if num_steps is not None and not 1 <= num_steps <= available:
        raise UsageError(f"--steps {num_steps}: give 1 to {available:,}; the data are read once")
    return available if num_steps is None else num_steps


def learning_rate_factor(step: int, num_steps: int) -> float:
    """Of the peak: a linear warm-up, then half a cosine down to `FINAL_FACTOR`."""
    warm_up = min(WARM_UP_STEPS, num_steps // 4)
    if step < warm_up:
        return (step + 1) / warm_up
    part = (step - warm_up) / max(1, num_steps - warm_up)
    return FINAL_FACTOR + (1 - FINAL_FACTOR) * 0.5 * (1 + math.cos(math.pi * part))


def held_out_bits(trained: Trained, texts: Sequence[str]) -> float:
    """Bits per byte over the first `ROW_TOKENS` bytes of the texts."""
    total_nats, num_bytes = 0.0, 0
    trained.network.eval()
    with torch.no_grad():
        for text in texts:
            ids = torch.from_numpy(byte_ids(text)[: ROW_TOKENS + 1].astype(np.int64))[None]
            total_nats += float(trained.losses(ids, None).double().sum())
            num_bytes += ids.shape[1] - 1
    trained.network.train()
    return total_nats / math.log(2) / num_bytes


def train(
    recipe: Recipe,
    stream: NDArray[np.int16],
    held_out: dict[str, Sequence[str]],
    *,
    checkpoint: Path | None = None,
    quiet: bool = False,
    stop_after: int | None = None,
) -> tuple[Trained, Progress]:
    """Train from the beginning, or from the checkpoint if there is one.

    Args:
        recipe: what to train, and how.
        stream: the ids, see `evalkit.embedded.data.token_stream`.
        held_out: texts by the name under which the curve shows their bits per byte.
        checkpoint: the file to go on from, written every few minutes and at the end.
        quiet: print nothing.
        stop_after: stop at this step, as if interrupted.

    Raises:
        UsageError: the checkpoint is of another recipe.
    """
    trained = build(recipe.model, recipe.seed)
    groups = trained.groups(recipe.learning_rate)
    optimiser = torch.optim.AdamW(
        [{**group} for group in groups], betas=(0.9, trained.beta2), eps=trained.eps
    )
    progress = Progress()
    if checkpoint is not None and checkpoint.is_file():
        progress = _resume(checkpoint, recipe, trained, optimiser)
    last_saved = started = time.monotonic() - progress.seconds
    cpu_started = time.process_time() - progress.cpu_seconds
    bits: list[float] = []
    while progress.step < min(recipe.num_steps, stop_after or recipe.num_steps):
        factor = learning_rate_factor(progress.step, recipe.num_steps)
        for group, peak in zip(optimiser.param_groups, groups, strict=True):
            group["lr"] = peak["lr"] * factor
        bits.append(_step(recipe, stream, progress.step, trained, optimiser))
        progress.step += 1
        progress.seconds = time.monotonic() - started
        progress.cpu_seconds = time.process_time() - cpu_started
        finished = progress.step == recipe.num_steps
        if progress.step % STEPS_PER_POINT == 0 or finished:
            progress.points.append(_point(recipe, progress, factor, bits, trained, held_out))
            bits = []
            if not quiet:
                _report(recipe, progress)
        # Only right after a point, for the bits since then are not saved.
        due = time.monotonic() - last_saved > _CHECKPOINT_SECONDS and not bits
        if checkpoint is not None and (due or finished or progress.step == stop_after):
            _save_checkpoint(checkpoint, recipe, trained, optimiser, progress)
            last_saved = time.monotonic()
    return trained, progress


def _step(
    recipe: Recipe,
    stream: NDArray[np.int16],
    step: int,
    trained: Trained,
    optimiser: torch.optim.Optimizer,
) -> float:
    """One update of the weights; returns the loss in bits per byte."""
    # Drawn by seed and step alone, so that a training that was interrupted draws the same.
    draws = np.random.default_rng((recipe.seed, step)).random(ROWS_PER_STEP)
    fresh = torch.from_numpy(draws < FRESH_PROBABILITY)
    with torch.autocast("cpu", torch.bfloat16):  # matrix products and attention; all else in float32
        loss = trained.losses(rows(stream, step), fresh).mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
    optimiser.step()
    return loss.item() / math.log(2)


def _point(
    recipe: Recipe,
    progress: Progress,
    factor: float,
    bits: Sequence[float],
    trained: Trained,
    held_out: dict[str, Sequence[str]],
) -> dict[str, float]:
    """A point of the loss curve: the mean over the steps since the last one, and what held-out texts cost."""
    return {
        "step": progress.step,
        "num_bytes": progress.step * ROWS_PER_STEP * ROW_TOKENS,
        "learning_rate": recipe.learning_rate * factor,
        "train": float(np.mean(bits)),
        **{name: held_out_bits(trained, texts) for name, texts in held_out.items()},
        "seconds": progress.seconds,
    }


def _save_checkpoint(
    path: Path, recipe: Recipe, trained: Trained, optimiser: torch.optim.Optimizer, progress: Progress
) -> None:
    with atomic_write(path) as temporary:
        torch.save(
            {
                "fingerprint": recipe.fingerprint(),
                "network": trained.network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "carried": trained.carried(),
                "progress": dataclasses.asdict(progress),
            },
            temporary,
        )


def _resume(path: Path, recipe: Recipe, trained: Trained, optimiser: torch.optim.Optimizer) -> Progress:
    saved = torch.load(path, weights_only=True)
    if saved["fingerprint"] != recipe.fingerprint():
        raise UsageError(f"{path} is of another recipe or other data; remove it or give another --output")
    trained.network.load_state_dict(saved["network"])
    optimiser.load_state_dict(saved["optimiser"])
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
        f"{point['num_bytes'] / progress.seconds:,.0f} bytes/s  {seconds_left / 60:.0f} min left"
    )


def sweep(
    recipe: Recipe, stream: NDArray[np.int16], held_out: dict[str, Sequence[str]], path: Path
) -> list[dict[str, float]]:
    """Mean held-out bits per byte after short trainings, one row per learning rate; kept in a CSV file."""
    results: list[dict[str, float]] = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            results = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    for rate in LEARNING_RATES[len(results) :]:
        short = dataclasses.replace(recipe, learning_rate=rate, num_steps=SWEEP_STEPS)
        _, progress = train(short, stream, held_out, quiet=True)
        last = progress.points[-1]
        results.append({"learning_rate": rate, "held_out": float(np.mean([last[name] for name in held_out]))})
        write_csv(path, results)
        show(f"{recipe.model} learning rate {rate:g}: {results[-1]['held_out']:.3f} bits/byte")
    return results


def load_sets(files: Sequence[Path], license: str) -> list[DataSet]:
    """The sets of prose, then the packages' sources."""
    return [*(prose(path, license) for path in files), code()]


def held_out_texts(sets: Sequence[DataSet]) -> dict[str, Sequence[str]]:
    """The texts that the curve shows: of the first set, and of the code."""
    return {
        "held_out_prose": sets[0].held_out[:NUM_HELD_OUT],
        "held_out_code": sets[-1].held_out[:NUM_HELD_OUT],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evalkit.embedded.train", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", required=True, help=f"one of {', '.join(NETWORKS)}")
    parser.add_argument(
        "--data", required=True, nargs="+", type=Path, metavar="FILE", help="JSON lists of texts"
    )
    parser.add_argument(
        "--data-license", default="CC-BY-SA-4.0", help="of these texts (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, help="folder (default: runs/embedded/MODEL)")
    parser.add_argument("--learning-rate", type=float, help="peak (default: chosen by the sweep)")
    parser.add_argument("--steps", type=int, help="stop after so many (default: one pass over the data)")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Parse the arguments, train, and write what the module's docstring says."""
    import resource

    arguments = _arguments()
    torch.set_flush_denormal(True)
    folder = arguments.output or Path("runs") / "embedded" / arguments.model
    folder.mkdir(parents=True, exist_ok=True)
    build(arguments.model, 0)  # a wrong name must not wait for the data
    if arguments.learning_rate is not None and arguments.learning_rate <= 0:
        raise UsageError(f"--learning-rate {arguments.learning_rate:g}: give a number above 0")
    sets = load_sets(arguments.data, arguments.data_license)
    stream = token_stream(sets, arguments.seed)
    held_out = held_out_texts(sets)
    recipe = Recipe(
        arguments.model,
        arguments.learning_rate or 0.0,
        checked_steps(arguments.steps, stream),
        arguments.seed,
        hashlib.sha256(stream.tobytes()).hexdigest(),
    )
    show(f"{recipe.model}: {len(stream):,} bytes to read in {recipe.num_steps} steps")
    results: list[dict[str, float]] = []
    if not arguments.learning_rate:
        results = sweep(recipe, stream, held_out, folder / "sweep.csv")
        best = min(results, key=lambda row: row["held_out"])
        recipe = dataclasses.replace(recipe, learning_rate=best["learning_rate"])
    trained, progress = train(recipe, stream, held_out, checkpoint=folder / "checkpoint.pt")
    trained.save(folder / "model")
    write_csv(folder / "curve.csv", progress.points)
    plot_curve(folder / "curve.png", recipe.model, progress.points, list(held_out))
    facts = {
        "recipe": dataclasses.asdict(recipe)
        | {"rows_per_step": ROWS_PER_STEP, "row_tokens": ROW_TOKENS, "products": "bfloat16"},
        "command": " ".join(
            [
                f"python -m evalkit.embedded.train --model {recipe.model} --steps {recipe.num_steps}",
                f"--seed {recipe.seed} --data",
                *(path.name for path in arguments.data),
            ]
        ),
        "data": [data.describe() for data in sets],
        "learning_rate_sweep": results,
        "num_parameters": sum(x.numel() for x in trained.network.parameters()),
        "num_bytes_read": progress.step * ROWS_PER_STEP * ROW_TOKENS,
        "wall_seconds": round(progress.seconds),
        "cpu_seconds": round(progress.cpu_seconds),
        "num_threads": torch.get_num_threads(),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "environment": environment() | torch_environment("cpu"),
        "curve": progress.points,
    }
    with atomic_write(folder / "training.json") as temporary:
        temporary.write_text(strict_json(json.loads(json.dumps(facts))), encoding="utf-8")
    show(f"{recipe.model}: in {folder / 'model'}")


if __name__ == "__main__":
    try:
        main()
    except EvalkitError as error:
        complain(str(error))
        sys.exit(error.exit_code)
