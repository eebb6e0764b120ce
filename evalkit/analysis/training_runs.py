"""Which cells are of checkpoints of a training run, and where along the training each was saved."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from evalkit.analysis.configurations import ModelConfiguration
from evalkit.analysis.results import Results
from evalkit.cells.schema import CellModel
from evalkit.errors import UsageError, unknown_name
from evalkit.models.checkpoints import count_of, read_name
from evalkit.patterns import matching_names

AXES = {"step": "step", "tokens": "tokens read", "flops": "FLOPs of training"}
"""Along what a run may be shown, and how the axis is called."""
FLOPS_PER_PARAMETER_AND_TOKEN = 6
"""Of a forward and a backward pass, without attention over positions: Kaplan et al., arXiv 2001.08361."""


class Checkpoint(NamedTuple):
    """A checkpoint that was scored."""

    configuration: int
    """Among the results'."""
    step: int
    num_tokens: int | None
    """Tokens that had been read; None: not known."""
    flops: float | None
    """Of the training until then; None: not known."""
    num_parameters: int | None


class TrainingRun(NamedTuple):
    """The scored checkpoints of a run, in order of their steps."""

    name: str
    checkpoints: tuple[Checkpoint, ...]

    @property
    def configurations(self) -> list[int]:
        """Of the checkpoints."""
        return [checkpoint.configuration for checkpoint in self.checkpoints]


def training_runs(
    results: Results,
    policy: str,
    *,
    names: Sequence[str] = (),
    warn: Callable[[str], None] = lambda _: None,
) -> list[TrainingRun]:
    """The runs whose checkpoints were scored under a policy, by name.

    Args:
        results: the cells.
        policy: of the cells.
        names: of the runs to take, or patterns of them; empty: all.
        warn: told where several cells are of one step of one run.

    Raises:
        UsageError: a name is none, or no cell is of a checkpoint.
    """
    runs = runs_of_policy(results, policy, warn=warn)
    if not runs:
        raise UsageError(
            f"{results.folder}: no cell under the policy {policy} is of a checkpoint whose step is known; "
            "score some by names such as step-1000 or checkpoint-500"
        )
    labels = [run.name for run in runs]
    names = matching_names(names, labels)
    for wish in names:
        if wish not in labels:
            raise unknown_name("run", wish, labels, f"There are: {', '.join(labels)}.")
    return [run for run in runs if not names or run.name in names]


def runs_of_policy(
    results: Results, policy: str, *, warn: Callable[[str], None] = lambda _: None
) -> list[TrainingRun]:
    """The same, all of them; none where no cell is of a checkpoint.

    One run in several precisions, contexts or prefixes makes as many.
    """
    groups: dict[tuple[str, str], dict[int, Checkpoint]] = {}
    for index, row in enumerate(results.configurations):
        run = _run_of(row) if row.policy == policy else None
        if run is None:
            continue
        name, checkpoint = run
        of_run = groups.setdefault((name, _setting(row)), {})
        if checkpoint.step in of_run:
            warn(
                f"run {name}: several cells are of step {checkpoint.step}, and {row.label} is left out; "
                "runs are told apart by the names of their folders"
            )
            continue
        of_run[checkpoint.step] = checkpoint._replace(configuration=index)
    settings: dict[str, int] = {}
    for name, _ in groups:
        settings[name] = settings.get(name, 0) + 1
    return [
        TrainingRun(
            name if settings[name] == 1 else f"{name} ({setting})",
            tuple(of_run[step] for step in sorted(of_run)),
        )
        for (name, setting), of_run in sorted(groups.items())
    ]


def _setting(row: ModelConfiguration) -> str:
    limit = row.settings.context_limit
    context = f", context ≤ {limit}" if limit else ""
    return f"{row.facts.dtype}{context}, prefix {row.settings.prefix}"


def _run_of(row: ModelConfiguration) -> tuple[str, Checkpoint] | None:
    facts = row.facts
    step, run = count_of(facts.details.get("step")), facts.details.get("run")
    if step is not None and isinstance(run, str):
        num_tokens = count_of(facts.details.get("tokens_seen"))
        flops = count_of(facts.details.get("training_flops"))
        return run, Checkpoint(
            -1, step, num_tokens, None if flops is None else float(flops), facts.num_parameters
        )
    return _run_of_name(facts)


def _run_of_name(facts: CellModel) -> tuple[str, Checkpoint] | None:
    """From the model's name, ``LOADER:RUN/step-1000`` or ``LOADER:OWNER/NAME@step1000``: older cells."""
    loader, colon, target = facts.name.partition(":")
    if not colon or (loader != facts.loader and loader != "hub"):
        return None
    place, at, revision = target.rpartition("@")
    if not at:
        place, _, revision = target.rpartition("/")
    for suffix in (".pth", ".safetensors", ".gguf"):
        revision = revision.removesuffix(suffix)
    name = read_name(revision)
    if name.step is None:
        return None
    run = f"{place}@{name.remainder}" if at and name.remainder else name.remainder or place
    return run or "run", Checkpoint(-1, name.step, name.num_tokens, None, facts.num_parameters)


def place_along(
    run: TrainingRun, checkpoint: Checkpoint, axis: str, tokens_per_step: int | None = None
) -> float:
    """Where a checkpoint stands along an axis of `AXES`.

    Args:
        run: whose it is, for messages.
        checkpoint: the checkpoint.
        axis: ``step``, ``tokens`` or ``flops``. FLOPs are those that the trainer counted, else six per
            parameter and token.
        tokens_per_step: where the checkpoint does not say how many tokens had been read.

    Raises:
        UsageError: the axis is unknown, or nothing says where the checkpoint stands.
    """
    if axis not in AXES:
        raise unknown_name("axis", axis, AXES, f"Known: {', '.join(AXES)}.")
    if axis == "step":
        return float(checkpoint.step)
    tokens = checkpoint.num_tokens
    if tokens is None and tokens_per_step is not None:
        tokens = checkpoint.step * tokens_per_step
    if axis == "flops" and checkpoint.flops is not None:
        return checkpoint.flops
    if tokens is None:
        raise UsageError(
            f"run {run.name}: nothing says how many tokens had been read at step {checkpoint.step}; give "
            "--tokens-per-step"
        )
    if axis == "tokens":
        return float(tokens)
    if checkpoint.num_parameters is None:
        raise UsageError(f"run {run.name}: its cells do not say how many parameters it has")
    return float(FLOPS_PER_PARAMETER_AND_TOKEN * checkpoint.num_parameters * tokens)
