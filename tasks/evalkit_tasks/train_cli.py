"""``evalkit probe train`` and ``evalkit probe table``."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

_Output = Annotated[Path, typer.Option("--output", help="Folder of the result cells.")]


_NOT_OF_THE_CELLS = {"suite", "output", "jobs", "device", "dry_run"}


def train_command(
    context: typer.Context,
    task: Annotated[str | None, typer.Option("--task", help="Tasks, by commas; see below.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Networks, by commas.")] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="A named set of cells in place of tasks: quick or paper.")
    ] = None,
    layers: Annotated[str, typer.Option("--layers", help="Numbers of layers, by commas.")] = "1",
    seeds: Annotated[int, typer.Option("--seeds", help="Train with the seeds 0 to N - 1.", min=1)] = 1,
    negative_eigenvalues: Annotated[
        str,
        typer.Option(
            "--negative-eigenvalues",
            help="off: as published; full: RWKV-7 with c = 2, DeltaNet and Mamba-2 within [-1, 1]; "
            "stable: RWKV-7 with c = 1.5452. Several by commas.",
        ),
    ] = "off",
    labels: Annotated[
        str, typer.Option("--labels", help="Ask for the label after every letter, or after the last alone.")
    ] = "every",
    train_length: Annotated[int, typer.Option("--train-length", help="Letters, at most, in training.")] = 32,
    min_train_length: Annotated[
        int | None,
        typer.Option("--min-train-length", help="Letters, at least.", show_default="a quarter of the most"),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Steps of training.")] = 1000,
    budget_s: Annotated[
        float | None,
        typer.Option("--budget-s", help="CPU seconds after which a training ends, wherever it is."),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Strings per step.")] = 64,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", help="At its peak.", show_default="the network's own"),
    ] = None,
    weight_decay: Annotated[float, typer.Option("--weight-decay", help="Of matrices.")] = 0.01,
    width: Annotated[int, typer.Option("--width", help="Channels.")] = 64,
    head_size: Annotated[int, typer.Option("--head-size", help="Channels of a head.")] = 16,
    test_range: Annotated[
        str | None,
        typer.Option("--test-range", help="One more test, on lengths from A-B; 40-256 is the literature's."),
    ] = None,
    items: Annotated[int, typer.Option("--items", help="Test strings of each length.")] = 256,
    output: _Output = Path("runs"),
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", help="Processes of one thread at a time.", min=1, show_default="as many as CPUs"
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")] = "cpu",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Train networks on formal tasks, as far as that is not done yet, and test them on longer strings.

    Tasks: parity, even-pairs, flip-flop, z3, z5, z60, s3, a4, s4, a5, s5, a4xz5 (any group of this form),
    s5-swaps, s5-4tokens, cycle-navigation, modular-arithmetic, tomita-1 to tomita-7, dyck-2-3,
    random:SEED:STATES:LETTERS, mod-N, regex:PATTERN, mqar; negative controls majority, anbn, copy.

    Networks: rwkv7, deltanet, mamba2, retnet, transformer-rope, transformer-nope, transformer-learned, lstm,
    gru, slstm.

    A training that was stopped, however, goes on from its last checkpoint when the same command runs again.
    """
    from evalkit.errors import UsageError
    from evalkit.models.devices import resolve_device
    from evalkit_tasks.training.costs import cost_lines
    from evalkit_tasks.training.runner import say, train
    from evalkit_tasks.training.spec import TrainSpec
    from evalkit_tasks.training.suites import suite_specs
    from evalkit_tasks.training.table import print_cells, print_claims, print_parity

    if suite is None and (task is None or model is None):
        raise UsageError("give --task and --model, or --suite quick")
    if suite is not None:
        sources = {name: context.get_parameter_source(name) for name in context.params}
        given = [name for name, source in sources.items() if source is not None and source.name != "DEFAULT"]
        if extra := [name for name in given if name not in _NOT_OF_THE_CELLS]:
            raise UsageError(
                f"--suite {suite} says itself what to train; leave out --{extra[0].replace('_', '-')}"
            )
        specs = suite_specs(suite)
    else:
        specs = [
            TrainSpec(
                task=one_task,
                model=one_model,
                num_layers=num_layers,
                seed=seed,
                negative_eigenvalues=eigenvalues,
                labels=labels,
                train_length=train_length,
                min_train_length=min_train_length,
                num_steps=steps,
                budget_s=budget_s,
                batch_size=batch_size,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
                width=width,
                head_size=head_size,
                test_range=None if test_range is None else _range(test_range),
                num_items=items,
            )
            for one_task in _names(task or "", "--task")
            for one_model in _names(model or "", "--model")
            for eigenvalues in _names(negative_eigenvalues, "--negative-eigenvalues")
            for num_layers in dict.fromkeys(map(_whole_number, _names(layers, "--layers")))
            for seed in range(seeds)
        ]
    if dry_run:
        for line in cost_lines(specs, output):
            typer.echo(line)
        return
    where = str(resolve_device(device))
    num_jobs = jobs or (1 if where.startswith("cuda") else os.cpu_count() or 1)
    cells, failures = train(specs, output, num_jobs=num_jobs, device=where, tell=say)
    print_cells(cells, sys.stdout)
    print_parity(cells, sys.stdout)
    held = print_claims(cells, sys.stdout) if suite == "quick" else True
    for failure in failures:
        typer.echo(f"FAILED {failure.spec.name}: {failure.reason}")
    if failures or not held:
        raise typer.Exit(1)


def table_command(
    output: Annotated[Path, typer.Argument(help="Folder of the result cells.")] = Path("runs"),
    curves: Annotated[
        Path | None, typer.Option("--curves", help="Write accuracy by length and seed to this CSV file.")
    ] = None,
    min_layers: Annotated[
        Path | None,
        typer.Option("--min-layers", help="Write the fewest layers that suffice to this CSV file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print every trained probe by length and seed, beside published numbers and their sources."""
    from evalkit.errors import UsageError
    from evalkit.files import strict_json
    from evalkit_tasks.training import table as probe_table
    from evalkit_tasks.training.cells import read_cells

    cells = read_cells(output)
    advice = f"no trained probe in {output}; evalkit probe train --suite quick --output {output} makes some"
    if not cells and (curves or min_layers):
        raise UsageError(advice)
    if curves is not None:
        probe_table.write_csv(curves, probe_table.curve_rows(cells))
    if min_layers is not None:
        probe_table.write_csv(min_layers, probe_table.min_layers_rows(cells))
    if as_json:
        typer.echo(strict_json(probe_table.to_json(cells)), nl=False)
        return
    if not cells:
        typer.echo(advice)
    probe_table.print_cells(cells, sys.stdout)
    probe_table.print_parity(cells, sys.stdout)
    probe_table.print_min_layers(cells, sys.stdout)
    probe_table.print_claims(cells, sys.stdout, only_trained=True)
    probe_table.print_published(cells, sys.stdout)


def _names(text: str, option: str) -> list[str]:
    from evalkit.errors import UsageError

    # A comma within braces is a regular expression's, as in a{1,3}.
    names = [name.strip() for name in re.split(r",(?![^{}]*\})", text) if name.strip()]
    if not names:
        raise UsageError(f"{option} names nothing")
    return list(dict.fromkeys(names))


def _whole_number(text: str) -> int:
    from evalkit.errors import UsageError

    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--layers {text}: give whole numbers from 1, by commas")
    return int(text)


def _range(text: str) -> tuple[int, int]:
    from evalkit.errors import UsageError

    first, _, last = text.partition("-")
    if not first.isdecimal() or not last.isdecimal():
        raise UsageError(f"--test-range {text}: give two lengths, such as 40-256")
    return int(first), int(last)
