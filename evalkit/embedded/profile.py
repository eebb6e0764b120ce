"""Where a training step of the embedded models spends its time.

::

    python -m evalkit.embedded.profile --models rwkv7-nano,hybrid-nano,llama-nano
    CC=false python -m evalkit.embedded.profile --models rwkv7-nano

The second has no compiler, and so none of the native loops in a checkout: WKV-7 is then computed in chunks of
torch's operations, which are booked under products and other. Ids are random; what is computed depends on
nothing that they say.
"""

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

from evalkit.embedded.networks import NETWORKS, ROW_TOKENS, build
from evalkit.embedded.script import run_script
from evalkit.embedded.training import SHORT_ROW_TOKENS, TOKENS_PER_STEP, Recipe, train_step
from evalkit.embedded.vocabulary import VOCAB_SIZE
from evalkit.errors import UsageError
from evalkit.models.catalog import EMBEDDED_MODELS
from evalkit.terminal import show
from evalkit_kernels import native_calls

if TYPE_CHECKING:
    from torch.autograd.profiler_util import FunctionEvent

PARTS = ("products", "WKV-7 forward", "WKV-7 backward", "attention", "optimiser", "other")
"""What a step's time is booked under. The optimiser's own products are its time."""

_PRODUCTS = ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm", "mkldnn::_linear_pointwise", "_Linear")
_ATTENTION = "scaled_dot_product"


@dataclasses.dataclass(frozen=True)
class StepProfile:
    """A step's time on this machine."""

    model: str
    row_tokens: int
    seconds: float
    """Of a step, the sum of all parts."""
    shares: dict[str, float]
    """By the names of `PARTS`, summing to 1."""

    @property
    def tokens_per_s(self) -> float:
        """Tokens trained on in a second."""
        return TOKENS_PER_STEP / self.seconds


def profile_step(model: str, row_tokens: int, num_steps: int = 2) -> StepProfile:
    """Train a few steps under torch's profiler, after one that is not looked at.

    Args:
        model: a key of `evalkit.embedded.networks.NETWORKS`.
        row_tokens: length of the rows of a step.
        num_steps: looked at.

    Raises:
        UsageError: there is no recipe for the name.
    """
    trained = build(model, 0)
    optimisers = trained.optimisers(1e-3)
    recipe = Recipe(model, 1e-3, 1 + num_steps, 1, 0, VOCAB_SIZE, "float32", "random ids")
    ids = torch.randint(VOCAB_SIZE, (TOKENS_PER_STEP // row_tokens, row_tokens + 1))
    train_step(recipe, ids, 0, trained, optimisers)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for step in range(1, 1 + num_steps):
            train_step(recipe, ids, step, trained, optimisers)
    seconds = booked(profiler.events() or [])
    total_s = sum(seconds.values())
    shares = {part: seconds[part] / total_s for part in PARTS}
    return StepProfile(model, row_tokens, total_s / num_steps, shares)


def booked(events: "Iterable[FunctionEvent]") -> Counter[str]:
    """Seconds by the names of `PARTS`, of each event without those inside of it."""
    seconds: Counter[str] = Counter()
    for event in events:
        seconds[_part(event)] += event.self_cpu_time_total / 1e6
    return seconds


def _part(event: "FunctionEvent") -> str:
    around: FunctionEvent | None = event
    while around is not None:
        if around.name.startswith("Optimizer.step"):
            return "optimiser"
        if around.name.startswith("_Wkv7Cpu"):
            return "WKV-7 backward" if "Backward" in around.name else "WKV-7 forward"
        if _ATTENTION in around.name:
            return "attention"
        around = around.cpu_parent
    return "products" if event.name.startswith(_PRODUCTS) else "other"


def profile_table(profiles: Sequence[StepProfile]) -> str:
    """A row for each profile."""
    lines = ["model          row tokens  tokens/s  " + "  ".join(PARTS)]
    for profile in profiles:
        shares = "  ".join(f"{profile.shares[part]:>{len(part)}.0%}" for part in PARTS)
        lines.append(
            f"{profile.model:13}  {profile.row_tokens:>10,}  {profile.tokens_per_s:>8,.0f}  {shares}"
        )
    return "\n".join(lines)


def main() -> None:
    """Profile each model with the rows of both halves of the recipe, on one thread."""
    parser = argparse.ArgumentParser(prog="python -m evalkit.embedded.profile", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--models", default=",".join(EMBEDDED_MODELS), help=f"of {', '.join(NETWORKS)} (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, default=4, help="looked at (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        raise UsageError(f"--steps {arguments.steps}: give 1 or more")
    models = arguments.models.split(",")
    for model in models:
        build(model, 0)  # a wrong name must not wait for the others
    torch.set_num_threads(1)
    native = native_calls.available()
    show(f"steps of {TOKENS_PER_STEP:,} tokens on one thread, {'with' if native else 'without'} native loops")
    profiles = [
        profile_step(model, row_tokens, arguments.steps)
        for model in models
        for row_tokens in (SHORT_ROW_TOKENS, ROW_TOKENS)
    ]
    for line in profile_table(profiles).splitlines():
        show(line)


if __name__ == "__main__":
    run_script(main)
