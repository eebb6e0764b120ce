"""``evalkit plot``: a figure of results, as a file."""

from pathlib import Path
from typing import Annotated

import typer


def plot_command(
    name: Annotated[
        str,
        typer.Argument(
            help="parameters, heatmap, positions, dates, differences, ranks, months, probe-lengths, "
            "min-layers or speed."
        ),
    ],
    results: Annotated[
        Path, typer.Argument(help="Folder of the result cells; for speed also a benchmark's JSON file.")
    ],
    output: Annotated[
        list[Path],
        typer.Option("--output", "-o", help="File to write: .svg, .png or .pdf; several times for several."),
    ],
    corpora: Annotated[str | None, typer.Option("--corpora", help="Only these, by commas.")] = None,
    models: Annotated[str | None, typer.Option("--models", help="Only these, by commas.")] = None,
    tasks: Annotated[str | None, typer.Option("--tasks", help="Probes: only these, by commas.")] = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", help="Context policy of the language models.", show_default="document"),
    ] = None,
    aggregate: Annotated[
        str | None,
        typer.Option("--aggregate", help="Over corpora: macro, micro or geometric.", show_default="macro"),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="The model to compare with; differences: the best by default."),
    ] = None,
    anchors: Annotated[
        str | None, typer.Option("--anchors", help="Months: the models that chain them, by commas.")
    ] = None,
) -> None:
    """Draw results: the same cells give the same bytes.

    parameters: bits per byte against size, with the frontier. heatmap: models by corpora. positions: along
    the context (cells of --token-bits). dates: along documents' dates, from each model's cutoff.
    differences: paired, with intervals. ranks: from month to month. months: chained by anchors.
    probe-lengths, min-layers: trained probes. speed: of benchmarks and cells.
    """
    from evalkit.plots import check_file, draw, save

    for path in output:
        check_file(path)
    figure = draw(
        name,
        results,
        corpora=_names(corpora),
        models=_names(models),
        tasks=_names(tasks),
        policy=policy,
        aggregate=aggregate,
        reference=reference,
        anchors=_names(anchors),
        warn=lambda text: typer.echo(text, err=True),
    )
    for path in output:
        save(figure, path)
        typer.echo(str(path))


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
