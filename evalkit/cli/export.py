"""``evalkit export``: results in the formats of others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.listing import ListingCommand, chosen_options
from evalkit.cli.parsing import DEFAULT_OUTPUT, ResultsArgument
from evalkit.terminal import show


class ExportCommand(ListingCommand):
    """``evalkit export``."""

    choice = "format_name"

    def choices(self) -> list[str]:
        """Names of the formats."""
        from evalkit.exports.formats import FORMATS

        return list(FORMATS)

    def listed(self) -> list[str]:
        """The formats."""
        from evalkit.exports.formats import FORMATS

        return [f"{format.name}: {format.help}" for format in FORMATS.values()]


def export_command(
    format_name: Annotated[str, typer.Option("--format", help="One of the formats above.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; for formats of several files a folder.")
    ],
    results: ResultsArgument = str(DEFAULT_OUTPUT),
    documents: Annotated[
        bool, typer.Option("--documents", help="csv, parquet: a row per document instead of per cell.")
    ] = False,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="eval-results: the benchmark dataset, OWNER/NAME.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="eval-results: the dataset's commit.")
    ] = None,
    source_url: Annotated[
        str | None, typer.Option("--source-url", help="eval-results: where the numbers can be seen.")
    ] = None,
    organization: Annotated[
        str | None, typer.Option("--organization", help="every-eval-ever: who ran the evaluation.")
    ] = None,
    relationship: Annotated[
        str | None,
        typer.Option(
            "--relationship",
            help="every-eval-ever: of who ran it to who made the models: first_party, third_party, "
            "collaborative, other.",
        ),
    ] = None,
) -> None:
    """Export results as tables, or in the formats of other programs."""
    from evalkit.analysis.results import read_results
    from evalkit.exports.formats import find_format
    from evalkit.exports.selection import corpus_cells
    from evalkit.files import is_stream

    format = find_format(format_name)
    options = chosen_options(
        f"the format {format.name}",
        format.write,
        {
            "documents": documents,
            "dataset": dataset,
            "revision": revision,
            "source_url": source_url,
            "organization": organization,
            "relationship": relationship,
        },
    )
    _check_output(output, format.suffixes)

    def warn(text: str) -> None:
        show(text, err=True)

    cells = corpus_cells(read_results(results, warn=warn), warn=warn)
    summary = format.write(cells, output, **options)
    show(f"{output}: {summary}", err=is_stream(output))  # not among what went to a pipe


def _check_output(output: Path, suffixes: Sequence[str]) -> None:
    """Refuse a place that a format cannot be written to; `Format.suffixes` are its file's endings.

    Raises:
        UsageError: it is a folder and should be a file, or the reverse, or says not what is to be written.
    """
    from evalkit.cells.object_store import check_is_local
    from evalkit.errors import UsageError
    from evalkit.files import is_stream

    check_is_local(output, "--output")
    if suffixes and output.is_dir():
        raise UsageError(f"--output {output} is a folder; give a file")
    if not suffixes and output.is_file():
        raise UsageError(f"--output {output} is a file; give a folder")
    if len(suffixes) > 1 and output.suffix not in suffixes and not is_stream(output):
        raise UsageError(f"--output {output} must end in {' or '.join(suffixes)}")
