"""``evalkit plot``: a figure of results, as a file."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.listing import ListingCommand, chosen_options
from evalkit.cli.parsing import (
    DEFAULT_OUTPUT,
    CommaLists,
    PanelOption,
    SomeCorporaOption,
    SomeModelsOption,
    comma_list,
    joined,
)
from evalkit.terminal import show


class PlotCommand(ListingCommand):
    """``evalkit plot``."""

    choice = "name"

    def choices(self) -> list[str]:
        """Names of the plots."""
        from evalkit.plots import find_plots

        return list(find_plots().plots)

    def listed(self) -> list[str]:
        """The plots, what is wrong with those of other packages, and the aggregates."""
        from evalkit.analysis.aggregates import AGGREGATES
        from evalkit.plots import find_plots

        table = find_plots()
        plots = [f"{plot.name}: {plot.help}" for plot in table.plots.values()]
        aggregates = [f"--aggregate {aggregate.name}: {aggregate.help}" for aggregate in AGGREGATES.values()]
        return [*plots, *table.broken.values(), *aggregates]


def plot_command(
    name: Annotated[str, typer.Argument(help="One of the plots above.")],
    output: Annotated[
        list[Path],
        typer.Option("--output", "-o", help="File to write: .svg, .png or .pdf; several times for several."),
    ],
    results: Annotated[
        str, typer.Argument(help="Folder of cells, also of a store; for speed also a benchmark's JSON file.")
    ] = str(DEFAULT_OUTPUT),
    corpora: SomeCorporaOption = None,
    models: SomeModelsOption = None,
    tasks: Annotated[CommaLists, typer.Option("--tasks", help="Probes: only these, by commas.")] = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", help="Context policy of the language models.", show_default="document"),
    ] = None,
    aggregate: Annotated[
        str | None,
        typer.Option("--aggregate", help="How corpora are put together; see above.", show_default="macro"),
    ] = None,
    all_corpora: Annotated[
        bool,
        typer.Option("--all-corpora", help="Count also corpora that a model shown may have read."),
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option("--reference", help="The model to compare with; differences: the best by default."),
    ] = None,
    anchors: Annotated[
        CommaLists, typer.Option("--anchors", help="Months: the models that chain them, by commas.")
    ] = None,
    panel: PanelOption = None,
) -> None:
    """Draw results: the same cells give the same bytes."""
    from evalkit.plots import check_file, find_plot, save

    for path in output:
        check_file(path)
    plot = find_plot(name)
    options = chosen_options(
        f"the plot {plot.name}",
        plot.draw,
        {
            "corpora": tuple(comma_list(joined(corpora))),
            "models": tuple(comma_list(joined(models))),
            "tasks": tuple(comma_list(joined(tasks))),
            "policy": policy,
            "aggregate": aggregate,
            "all_corpora": all_corpora,
            "reference": reference,
            "anchors": tuple(comma_list(joined(anchors))),
            "panel": tuple(comma_list(joined(panel))),
            "warn": lambda text: show(text, err=True),
        },
    )
    figure = plot.draw(results, **options)
    for path in output:
        save(figure, path)
        show(str(path))
