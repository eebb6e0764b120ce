"""``evalkit probe train`` and ``evalkit probe table``."""

import itertools
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from evalkit.cli.parsing import (
    DEFAULT_OUTPUT,
    CommaLists,
    DryRunOption,
    OutputOption,
    comma_list,
    joined,
)
from evalkit.files import whole_number
from evalkit.terminal import show

if TYPE_CHECKING:
    from evalkit.cells.probe_schema import ProbeCell
    from evalkit_tasks.training.runner import Failure
    from evalkit_tasks.training.spec import TrainSpec


class Rates(TypedDict):
    """The learning rates of a spec."""

    learning_rate: float | None
    learning_rates: tuple[float, ...] | None


_TaskOption = Annotated[CommaLists, typer.Option("--task", help="Tasks, by commas; see below.")]
ModelOption = Annotated[CommaLists, typer.Option("--model", help="Networks, by commas.")]
_SuiteOption = Annotated[
    str | None,
    typer.Option(
        "--suite",
        help="A named set of cells: quick, tracking, tracking-small or paper; --task, --model and --seeds "
        "take a part of it.",
    ),
]
_LayersOption = Annotated[
    CommaLists, typer.Option("--layers", help="Numbers of layers, by commas.", show_default="1")
]
_SeedsOption = Annotated[int, typer.Option("--seeds", help="Train with the seeds 0 to N - 1.", min=1)]
_EigenvaluesOption = Annotated[
    CommaLists,
    typer.Option(
        "--negative-eigenvalues",
        help="off: as published; full: RWKV-7 with c = 2, delta rules, Mamba-1 and -2 within [-1, 1]; "
        "stable: RWKV-7 with c = 1.5452. Several by commas.",
        show_default="off",
    ),
]
_LabelsOption = Annotated[
    str, typer.Option("--labels", help="Ask for the label after every letter, or after the last alone.")
]
_TrainLengthOption = Annotated[int, typer.Option("--train-length", help="Letters, at most, in training.")]
_MinTrainLengthOption = Annotated[
    int | None,
    typer.Option("--min-train-length", help="Letters, at least.", show_default="a quarter of the most"),
]
_StepsOption = Annotated[int, typer.Option("--steps", help="Steps of training.")]
_BudgetOption = Annotated[
    float | None,
    typer.Option("--budget-s", help="CPU seconds after which a training ends, wherever it is."),
]
_BatchSizeOption = Annotated[int, typer.Option("--batch-size", help="Strings per step.")]
_LearningRateOption = Annotated[
    CommaLists,
    typer.Option(
        "--learning-rate",
        help="At its peak. Several by commas are all tried, side by side, and the validation strings choose.",
        show_default="the network's own",
    ),
]
_StopAccuracyOption = Annotated[
    float | None,
    typer.Option(
        "--stop-accuracy",
        help="End when so large a share of validation strings, which are all of the training length and "
        "neither trained on nor tested with, has every label right; --steps is then a limit.",
    ),
]
_PatienceOption = Annotated[
    int | None,
    typer.Option("--patience", help="End after so many steps in which the validation loss did not fall."),
]
_BisectOption = Annotated[
    int | None,
    typer.Option(
        "--bisect-layers",
        help="In place of --layers: look for the fewest layers, up to N, with which the median seed reaches "
        "0.9 at the training length.",
        min=1,
    ),
]
_WeightDecayOption = Annotated[float, typer.Option("--weight-decay", help="Of matrices.")]
WidthOption = Annotated[int, typer.Option("--width", help="Channels.")]
HeadSizeOption = Annotated[int, typer.Option("--head-size", help="Channels of a head.")]
_TestRangeOption = Annotated[
    str | None,
    typer.Option("--test-range", help="One more test, on lengths from A-B; 40-256 is the literature's."),
]
_ItemsOption = Annotated[int, typer.Option("--items", help="Test strings of each length.")]
_JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", help="Processes of one thread at a time.", min=1, show_default="as many as CPUs"),
]
_DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")]

_WITH_SUITES = {"suite", "task", "model", "seeds", "output", "jobs", "device", "dry_run"}
"""Parameters that say how a suite is trained, and how much of it."""


def train_command(
    context: typer.Context,
    task: _TaskOption = None,
    model: ModelOption = None,
    suite: _SuiteOption = None,
    layers: _LayersOption = None,
    seeds: _SeedsOption = 1,
    negative_eigenvalues: _EigenvaluesOption = None,
    labels: _LabelsOption = "every",
    train_length: _TrainLengthOption = 32,
    min_train_length: _MinTrainLengthOption = None,
    steps: _StepsOption = 1000,
    budget_s: _BudgetOption = None,
    batch_size: _BatchSizeOption = 64,
    learning_rate: _LearningRateOption = None,
    stop_accuracy: _StopAccuracyOption = None,
    patience: _PatienceOption = None,
    bisect_layers: _BisectOption = None,
    weight_decay: _WeightDecayOption = 0.01,
    width: WidthOption = 64,
    head_size: HeadSizeOption = 16,
    test_range: _TestRangeOption = None,
    items: _ItemsOption = 256,
    output: OutputOption = DEFAULT_OUTPUT,
    jobs: _JobsOption = None,
    device: _DeviceOption = "cpu",
    dry_run: DryRunOption = False,
) -> None:
    """Train networks on formal tasks, as far as that is not done yet, and test them on longer strings.

    Tasks: parity, s3, s5-swaps, modular-arithmetic and more; `evalkit probe list` names and explains them.

    Networks: rwkv7, rwkv4, rwkv5, rwkv6, deltanet, gated-deltanet, deltaproduct-2, deltaproduct-3,
    deltaproduct-4, gated-deltaproduct-2, gated-deltaproduct-4, mamba1, mamba2, mamba3, titans, retnet,
    transformer-rope, transformer-nope, transformer-learned, lstm, gru, slstm, mlstm; and module:Class.

    A training that was stopped, however, goes on from its last checkpoint when the same command runs again.
    """
    from evalkit.errors import UsageError
    from evalkit_tasks.training.spec import TrainSpec

    if suite is not None:
        specs = _suite(suite, context, joined(task), joined(model), seeds)
    elif task is None or model is None:
        raise UsageError("give --task and --model, or --suite quick")
    else:
        spec = TrainSpec(",".join(task), ",".join(model), labels=labels, num_steps=steps, num_items=items)
        spec = replace(spec, train_length=train_length, min_train_length=min_train_length, width=width)
        spec = replace(spec, batch_size=batch_size, weight_decay=weight_decay, budget_s=budget_s)
        spec = replace(spec, head_size=head_size, test_range=_range(test_range), patience=patience)
        spec = replace(spec, stop_accuracy=stop_accuracy, **_rates(learning_rate))
        specs = _sweep(spec, joined(negative_eigenvalues) or "off", _layers(layers, bisect_layers), seeds)
    if dry_run:
        if bisect_layers is not None:
            show("with 1 layer, where the search begins; what comes after that depends on what it finds")
        _print_costs(specs, output)
    elif bisect_layers is None:
        _train(specs, output, jobs, device, check_claims=_is_whole_quick(suite, specs))
    else:
        _search_layers(specs, bisect_layers, output, jobs, device)


def _is_whole_quick(suite: str | None, specs: "list[TrainSpec]") -> bool:
    """Whether it is the whole suite of which claims are checked, and no part of it."""
    from evalkit_tasks.training.suites import suite_specs

    return suite == "quick" and specs == suite_specs("quick")


def _layers(layers: CommaLists, bisect_layers: int | None) -> str:
    """The numbers of layers by commas; 1 where they are looked for."""
    from evalkit.errors import UsageError

    if layers is not None and bisect_layers is not None:
        raise UsageError("--bisect-layers finds the numbers of layers itself; leave out --layers")
    return joined(layers) or "1"


def _suite(
    name: str, context: typer.Context, tasks: str | None, models: str | None, num_seeds: int
) -> "list[TrainSpec]":
    """The cells of a suite, or of some of its tasks, networks and seeds.

    Raises:
        UsageError: an unknown suite, an option that says what the suite says itself, or a name that is none
            of its own.
    """
    from evalkit.errors import UsageError
    from evalkit_tasks.training.suites import narrowed, suite_specs

    sources = {parameter: context.get_parameter_source(parameter) for parameter in context.params}
    from_user = [
        parameter for parameter, source in sources.items() if source is not None and source.name != "DEFAULT"
    ]
    if extra := [parameter for parameter in from_user if parameter not in _WITH_SUITES]:
        raise UsageError(
            f"--suite {name} says itself what to train; leave out --{extra[0].replace('_', '-')}"
        )
    specs = suite_specs(name)
    if tasks is not None:
        specs = narrowed(specs, "task", _names(tasks, "--task"), name)
    if models is not None:
        specs = narrowed(specs, "model", _names(models, "--model"), name)
    if "seeds" not in from_user:
        return specs
    if num_seeds > (most_seeds := 1 + max(spec.seed for spec in specs)):
        raise UsageError(f"--seeds {num_seeds}: the suite {name} has {most_seeds}")
    return [spec for spec in specs if spec.seed < num_seeds]


def _sweep(spec: "TrainSpec", eigenvalues: str, layers: str, num_seeds: int) -> "list[TrainSpec]":
    """A spec for each combination of what lists by commas name; the spec's task and model are such lists."""
    tasks, models = _names(spec.task, "--task"), _names(spec.model, "--model")
    num_layers = dict.fromkeys(map(_num_layers, _names(layers, "--layers")))
    combinations = itertools.product(
        tasks, models, _names(eigenvalues, "--negative-eigenvalues"), num_layers, range(num_seeds)
    )
    return [
        replace(spec, task=task, model=model, negative_eigenvalues=kind, num_layers=layers, seed=seed)
        for task, model, kind, layers, seed in combinations
    ]


def _print_costs(specs: "list[TrainSpec]", output: Path) -> None:
    from evalkit_tasks.training.costs import cost_lines

    for line in cost_lines(specs, output):
        show(line)


def _train(
    specs: "list[TrainSpec]", output: Path, num_jobs: int | None, device: str, *, check_claims: bool
) -> None:
    """Train what is missing, and print everything that is there then.

    Raises:
        Exit: with 1, where a cell failed, or a claim that is checked does not hold.
    """
    from evalkit_tasks.training.runner import say, train
    from evalkit_tasks.training.table import print_cells, print_claims, print_parity

    resolved_device, num_jobs = _place(device, num_jobs)
    cells, failures = train(specs, output, num_jobs=num_jobs, device=resolved_device, tell=say)
    print_cells(cells, sys.stdout)
    print_parity(cells, sys.stdout)
    all_hold = print_claims(cells, sys.stdout) if check_claims else True
    _show_failures(failures)
    if failures or not all_hold:
        raise typer.Exit(1)


def _search_layers(
    specs: "list[TrainSpec]", highest: int, output: Path, num_jobs: int | None, device: str
) -> None:
    """Look for the fewest layers of each network, and print all cells that it took.

    Raises:
        Exit: with 1, where a cell failed.
    """
    from evalkit_tasks.training.layer_search import search_layers
    from evalkit_tasks.training.runner import Failure, say, train
    from evalkit_tasks.training.table import print_cells, print_layer_search

    resolved_device, num_jobs = _place(device, num_jobs)
    cells: list[ProbeCell] = []
    failures: list[Failure] = []

    def train_wave(wave: "Sequence[TrainSpec]") -> "Sequence[ProbeCell]":
        new, failed = train(wave, output, num_jobs=num_jobs, device=resolved_device, tell=say)
        cells.extend(new)
        failures.extend(failed)
        return new

    fewest = search_layers(specs, highest, train_wave)
    print_cells(cells, sys.stdout)
    print_layer_search(fewest, highest, sys.stdout)
    _show_failures(failures)
    if failures:
        raise typer.Exit(1)


def _place(device: str, num_jobs: int | None) -> tuple[str, int]:
    """The device by its full name, and how many processes use it."""
    from evalkit.models.devices import resolve_device

    resolved = str(resolve_device(device))
    return resolved, num_jobs or (1 if resolved.startswith("cuda") else os.cpu_count() or 1)


def _show_failures(failures: "Sequence[Failure]") -> None:
    for failure in failures:
        show(f"FAILED {failure.spec.name}: {failure.reason}")


def _rates(texts: CommaLists) -> "Rates":
    """One learning rate, or several to choose from, as a spec has them."""
    from evalkit.errors import UsageError

    rates = []
    for text in comma_list(joined(texts)):
        try:
            rates.append(float(text))
        except ValueError:
            raise UsageError(f"--learning-rate {text} is no number") from None
    if len(set(rates)) < len(rates):
        raise UsageError("--learning-rate names a learning rate twice")
    if len(rates) > 1:
        return {"learning_rate": None, "learning_rates": tuple(rates)}
    return {"learning_rate": rates[0] if rates else None, "learning_rates": None}


def _names(text: str, option: str) -> list[str]:
    from evalkit.errors import UsageError

    # A comma within braces is a regular expression's, as in a{1,3}.
    names = [name.strip() for name in re.split(r",(?![^{}]*\})", text) if name.strip()]
    if not names:
        raise UsageError(f"{option} names nothing")
    return list(dict.fromkeys(names))


def _num_layers(text: str) -> int:
    from evalkit.errors import UsageError

    number = whole_number(text)
    if number is None or number < 1:
        raise UsageError(f"--layers {text}: give whole numbers from 1, by commas")
    return number


def _range(text: str | None) -> tuple[int, int] | None:
    from evalkit.errors import UsageError

    if text is None:
        return None
    first, last = map(whole_number, text.partition("-")[::2])
    if first is None or last is None:
        raise UsageError(f"--test-range {text}: give two lengths, such as 40-256")
    return first, last
