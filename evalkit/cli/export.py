"""``evalkit export``: results in the formats of others."""

from pathlib import Path
from typing import Annotated

import typer


def export_command(
    results: Annotated[Path, typer.Argument(help="Folder of the result cells.")],
    format_name: Annotated[str, typer.Option("--format", help="csv, parquet, lm-eval or eval-results.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="File (csv, parquet) or folder (lm-eval, eval-results) to write."
        ),
    ],
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
) -> None:
    """Export results: CSV, Parquet, lm-evaluation-harness's JSON, or the Hub's .eval_results.

    lm-eval writes <model>/results_*.json. eval-results writes <model>/.eval_results/<corpus>.yaml, to be
    copied into the models' repositories.
    """
    from evalkit.errors import UsageError, unknown_name
    from evalkit.exports import formats as export

    if format_name not in export.FORMATS:
        raise unknown_name("format", format_name, export.FORMATS, f"Known: {', '.join(export.FORMATS)}.")
    is_table = format_name in ("csv", "parquet")
    if documents and not is_table:
        raise UsageError(f"--documents is for csv and parquet, not for {format_name}")
    if (dataset is None) == (format_name == "eval-results") or (
        format_name != "eval-results" and (revision or source_url)
    ):
        raise UsageError(
            "--format eval-results needs --dataset OWNER/NAME; other formats take none of its options"
        )
    if is_table and output.is_dir():
        raise UsageError(f"--output {output} is a folder; give a file")
    if not is_table and output.is_file():
        raise UsageError(f"--output {output} is a file; give a folder")
    cells = export.read_cells(results, warn=lambda text: typer.echo(text, err=True))
    if is_table:
        rows = export.document_rows(cells) if documents else export.cell_rows(cells)
        export.write_table(rows, output, kind=format_name)
        typer.echo(f"{output}: {len(rows):,} rows of {len(cells)} cells")
        return
    if dataset is None:
        files = export.json_texts(export.lm_eval_results(cells))
    else:
        files = export.eval_results(cells, dataset, revision=revision, source_url=source_url)
    export.write_files(files, output)
    typer.echo(f"{output}: {len(files)} files of {len(cells)} cells")
