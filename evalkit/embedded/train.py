"""The recipe of the embedded models, to be run again by anybody.

::

    python -m evalkit.embedded.train --model rwkv7-nano --data wikipedia_english_20240601to20240615.json …

A vocabulary is made from the texts, then they are read as often as ``--passes`` says (see
`evalkit.embedded.data`), in orders that the seed fixes, the same for every architecture. Without
``--learning-rate`` a short training at each of `LEARNING_RATES` chooses it first. The output folder holds
the checkpoint, from which the same command goes on, the model as it was now and then, the loss curve (CSV
and PNG), ``training.json`` with the facts for the model card, and at the end the model.
"""

import argparse
import csv
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from evalkit.embedded.curve import plot_curve, write_csv
from evalkit.embedded.data import DataSet, code, prose, token_stream
from evalkit.embedded.networks import NETWORKS, ROW_TOKENS, Trained, build
from evalkit.embedded.script import run_script
from evalkit.embedded.training import (
    NUM_HELD_OUT,
    SHORT_ROW_TOKENS,
    TOKENS_PER_STEP,
    Progress,
    Recipe,
    TokenData,
    checked_steps,
    num_short_steps,
    train,
)
from evalkit.embedded.vocabulary import VOCAB_SIZE, train_vocabulary
from evalkit.environment import environment, torch_environment
from evalkit.errors import UsageError
from evalkit.files import atomic_write, strict_json
from evalkit.terminal import show

LEARNING_RATES = (4e-3, 8e-3, 1.6e-2)
SWEEP_STEPS = 100
PEAK_OF_BEST = 0.5
"""The peak is this part of the sweep's best rate: short trainings favour rates at which long ones diverge."""


def sweep(recipe: Recipe, data: TokenData, path: Path) -> list[dict[str, float]]:
    """Mean held-out bits per byte after short trainings, one row per learning rate; kept in a CSV file."""
    results: list[dict[str, float]] = []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            results = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    for rate in LEARNING_RATES[len(results) :]:
        short = dataclasses.replace(recipe, learning_rate=rate, num_steps=SWEEP_STEPS)
        _, progress = train(short, data, quiet=True)
        last = progress.points[-1]
        held_out = float(np.mean([last[name] for name in data.held_out]))
        results.append({"learning_rate": rate, "held_out": held_out})
        write_csv(path, results)
        show(f"{recipe.model} learning rate {rate:g}: {held_out:.3f} bits/byte")
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
    parser.add_argument("--learning-rate", type=float, help="peak (default: half of the sweep's best)")
    parser.add_argument("--passes", type=int, default=1, help="over the data (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="end after so many (default: when all passes are read)")
    parser.add_argument("--stop-after", type=int, help="stop at this step of them, to go on later")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--products",
        choices=("float32", "bfloat16"),
        default="float32",
        help="type of matrix products; bfloat16 is faster where the processor has instructions for it "
        "(default: %(default)s)",
    )
    return parser.parse_args()


def _checked(arguments: argparse.Namespace) -> None:
    build(arguments.model, 0)  # a wrong name must not wait for the data
    if arguments.learning_rate is not None and arguments.learning_rate <= 0:
        raise UsageError(f"--learning-rate {arguments.learning_rate:g}: give a number above 0")
    if arguments.stop_after is not None and arguments.stop_after < 1:
        raise UsageError(f"--stop-after {arguments.stop_after}: give 1 or more")
    if arguments.passes < 1:
        raise UsageError(f"--passes {arguments.passes}: give 1 or more")


def main() -> None:
    """Parse the arguments, train, and write what the module's docstring says."""
    arguments = _arguments()
    torch.set_flush_denormal(True)
    _checked(arguments)
    folder = arguments.output or Path("runs") / "embedded" / arguments.model
    folder.mkdir(parents=True, exist_ok=True)
    sets = load_sets(arguments.data, arguments.data_license)
    tokenizer = train_vocabulary(text for data in sets for text in data.trained)
    stream = token_stream(sets, arguments.seed, arguments.passes, tokenizer)
    data = TokenData(tokenizer, stream, held_out_texts(sets))
    recipe = Recipe(
        arguments.model,
        arguments.learning_rate or 0.0,
        checked_steps(arguments.steps, stream),
        arguments.passes,
        arguments.seed,
        VOCAB_SIZE,
        arguments.products,
        hashlib.sha256(stream.tobytes()).hexdigest(),
    )
    show(f"{recipe.model}: {len(stream):,} tokens at hand, {recipe.num_steps} steps of {TOKENS_PER_STEP:,}")
    results: list[dict[str, float]] = []
    if not arguments.learning_rate:
        results = sweep(recipe, data, folder / "sweep.csv")
        best = min(results, key=lambda row: row["held_out"])
        recipe = dataclasses.replace(recipe, learning_rate=PEAK_OF_BEST * best["learning_rate"])
    trained, progress = train(
        recipe,
        data,
        checkpoint=folder / "checkpoint.pt",
        snapshots=folder / "snapshots" / recipe.model,
        stop_after=arguments.stop_after,
    )
    if progress.step < recipe.num_steps:
        write_csv(folder / "curve.csv", progress.points)
        show(
            f"{recipe.model}: stopped at step {progress.step}; the same command without --stop-after goes on"
        )
        return
    trained.save(folder / "model", tokenizer)
    write_csv(folder / "curve.csv", progress.points)
    plot_curve(folder / "curve.png", recipe.model, progress.points, list(data.held_out))
    _write_facts(folder / "training.json", arguments, recipe, sets, results, trained, progress)
    show(f"{recipe.model}: in {folder / 'model'}")


def _write_facts(
    path: Path,
    arguments: argparse.Namespace,
    recipe: Recipe,
    sets: Sequence[DataSet],
    sweep_results: Sequence[dict[str, float]],
    trained: Trained,
    progress: Progress,
) -> None:
    """What the card says of the training."""
    import resource

    words = [
        f"python -m evalkit.embedded.train --model {recipe.model} --passes {recipe.num_passes}",
        f"--steps {recipe.num_steps} --seed {recipe.seed} --products {recipe.products}",
        *([] if sweep_results else [f"--learning-rate {recipe.learning_rate:g}"]),
        "--data",
        *(file.name for file in arguments.data),
    ]
    facts = {
        "recipe": dataclasses.asdict(recipe)
        | {
            "tokens_per_step": TOKENS_PER_STEP,
            "short_row_tokens": SHORT_ROW_TOKENS,
            "num_short_steps": num_short_steps(recipe.num_steps),
            "row_tokens": ROW_TOKENS,
        },
        "command": " ".join(words),
        "data": [data.describe() for data in sets],
        "learning_rate_sweep": sweep_results,
        "num_parameters": sum(x.numel() for x in trained.network.parameters()),
        "num_bytes_read": progress.num_bytes,
        "wall_seconds": round(progress.seconds),
        "cpu_seconds": round(progress.cpu_seconds),
        "num_threads": torch.get_num_threads(),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "environment": environment() | torch_environment("cpu"),
        "curve": progress.points,
    }
    with atomic_write(path) as temporary:
        temporary.write_text(strict_json(json.loads(json.dumps(facts))), encoding="utf-8")


if __name__ == "__main__":
    run_script(main)
