"""``evalkit probe table`` and ``evalkit probe bench``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.parsing import DEFAULT_OUTPUT, JsonOption, ResultsArgument, comma_list, joined
from evalkit.terminal import complain, show, show_json
from evalkit_tasks.train_cli import HeadSizeOption, ModelOption, WidthOption


def bench_command(
    model: ModelOption = None,
    networks: Annotated[int, typer.Option("--networks", help="How many are trained.", min=1)] = 9,
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Strings per step and network.", min=1)
    ] = 64,
    letters: Annotated[int, typer.Option("--letters", help="Letters of a string.", min=1)] = 20,
    width: WidthOption = 64,
    head_size: HeadSizeOption = 16,
    rounds: Annotated[int, typer.Option("--rounds", help="Times that each is timed.", min=1)] = 5,
    as_json: JsonOption = False,
) -> None:
    """Time a step of several networks side by side, and of the same networks one after the other.

    Processor time of one thread. Without --model all networks that `evalkit probe train` trains side by side.
    """
    from evalkit.errors import UsageError
    from evalkit_tasks.training.networks.architectures import ARCHITECTURES, check_sizes, find_architecture
    from evalkit_tasks.training.side_by_side import measure_step

    batched = [name for name, architecture in ARCHITECTURES.items() if architecture.is_batched]
    names = comma_list(joined(model)) or batched
    for name in names:
        find_architecture(name)
        check_sizes(name, 1, width, head_size)
        if name not in batched:
            raise UsageError(f"{name} is not trained side by side; these are: {', '.join(batched)}")
    rows = [
        measure_step(
            name,
            num_networks=networks,
            batch_size=batch_size,
            num_letters=letters,
            width=width,
            head_size=head_size,
            num_rounds=rounds,
        )
        for name in names
    ]
    if as_json:
        show_json([row._asdict() | {"ratio": row.ratio} for row in rows])
        return
    for row in rows:
        show(
            f"{row.model}, {networks} networks, {batch_size} strings: "
            f"{1e3 * row.side_by_side_s:.1f} ms side by side, "
            f"{1e3 * row.in_turn_s:.1f} ms one after the other, {row.ratio:.2f} times as long"
        )


def table_command(
    output: ResultsArgument = str(DEFAULT_OUTPUT),
    curves: Annotated[
        Path | None, typer.Option("--curves", help="Write accuracy by length and seed to this CSV file.")
    ] = None,
    min_layers: Annotated[
        Path | None,
        typer.Option("--min-layers", help="Write the fewest layers that suffice to this CSV file."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print every trained probe by length and seed, beside published numbers and their sources."""
    from evalkit.errors import UsageError
    from evalkit_tasks.training import plot_data
    from evalkit_tasks.training import table as probe_table
    from evalkit_tasks.training.cells import read_cells
    from evalkit_tasks.training.experiments import NO_SWEEP

    cells = read_cells(output, tell=complain)
    advice = f"no trained probe in {output}; evalkit probe train --suite quick --output {output} makes some"
    if not cells and (curves or min_layers):
        raise UsageError(advice)
    if curves is not None:
        plot_data.write_csv(curves, plot_data.curve_records(cells))
    if min_layers is not None:
        records = plot_data.fewest_layers_records(cells)
        if not records:
            raise UsageError(f"{output}: {NO_SWEEP}")
        plot_data.write_csv(min_layers, records)
    if as_json:
        show_json(plot_data.to_json(cells))
        return
    if not cells:
        show(advice)
    probe_table.print_cells(cells, sys.stdout)
    probe_table.print_parity(cells, sys.stdout)
    probe_table.print_fewest_layers(cells, sys.stdout)
    probe_table.print_theory(cells, sys.stdout)
    probe_table.print_claims(cells, sys.stdout, only_trained=True)
    probe_table.print_published(cells, sys.stdout)
