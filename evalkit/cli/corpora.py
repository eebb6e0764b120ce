"""``evalkit corpora``: import, list, show, verify, remove and publish corpora."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli import corpora_audit, corpora_check
from evalkit.cli.parsing import DEFAULT_OUTPUT, JsonOption, StoreOption
from evalkit.terminal import print_table, show, show_json

if TYPE_CHECKING:
    from evalkit.corpora.store import Corpus

app = typer.Typer(help="The corpora that models are scored on.", no_args_is_help=True)
app.command("audit")(corpora_audit.audit_command)
app.command("check")(corpora_check.check_command)

_SplitBy = Annotated[
    str | None,
    typer.Option("--split-by", help="Column, e.g. category: each of its values becomes a corpus NAME-VALUE."),
]

_ContextColumn = Annotated[
    str | None,
    typer.Option(
        "--context-column",
        help="Column of what stands before the text and is not paid for.",
        show_default="context beside continuation, prompt beside completion",
    ),
]


@app.command("import")
def import_corpus(
    path: Annotated[
        str,
        typer.Argument(
            help="JSON, JSONL, CSV, Parquet or text file, also compressed; a folder of text or Parquet files "
            "or of datasets.save_to_disk, or hub:OWNER/NAME@REVISION."
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the new corpus.")],
    source: Annotated[str | None, typer.Option("--source", help="Where the texts were published.")] = None,
    date_from: Annotated[
        str | None,
        typer.Option("--date-from", help="First day, YYYY-MM-DD; earlier texts are left out."),
    ] = None,
    date_to: Annotated[
        str | None, typer.Option("--date-to", help="Last day, YYYY-MM-DD; later texts are left out.")
    ] = None,
    license: Annotated[
        str | None, typer.Option("--license", help="SPDX license of texts that do not state theirs.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="Language of texts that do not state theirs, e.g. en.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Commit of a hub dataset, 40 hex digits.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Split of a dataset.")] = None,
    text_column: Annotated[
        str | None,
        typer.Option("--text-column", help="Column of the text.", show_default="text, else content"),
    ] = None,
    context_column: _ContextColumn = None,
    split_by: _SplitBy = None,
    store: StoreOption = None,
) -> None:
    """Store a dated, immutable corpus made of somebody's files.

    Texts are kept byte for byte. Source, license and dates must be given where the data do not state
    them.
    """
    from evalkit.corpora.importers import ReadOptions
    from evalkit.corpora.store import import_corpora, import_corpus

    options = ReadOptions(
        source=source,
        license=license,
        language=language,
        date_from=date_from,
        date_to=date_to,
        revision=revision,
        split=split,
        text_column=text_column,
        context_column=context_column,
    )
    if split_by is None:
        _show_imported(import_corpus(path, name, store=store, **options), store)
        return
    for corpus in import_corpora(path, name, split_by, store=store, **options):
        _show_imported(corpus, store)


def _show_imported(corpus: "Corpus", store: Path | None) -> None:
    from evalkit.corpora.store import store_folder

    show(
        f"{corpus.name}: {corpus.manifest.num_documents} documents, {corpus.num_bytes} bytes, "
        f"{corpus.date_from} to {corpus.date_to}, "
        f"SHA-256 {corpus.sha256[:16]}, in {store_folder(store) / corpus.name}"
    )
    for reason, count in corpus.manifest.num_dropped.items():
        show(f"left out: {count} {reason}")


@app.command("list")
def list_corpora(as_json: JsonOption = False, store: StoreOption = None) -> None:
    """List the built-in corpora and those in the store. Exits with 1 if one has no sound manifest."""
    from evalkit.corpora.store import list_corpora, read_manifest
    from evalkit.errors import CorpusError

    manifests = []
    problems = {}
    for name in list_corpora(store):
        try:
            manifests.append(read_manifest(name, store))
        except CorpusError as error:
            problems[name] = str(error)
    if as_json:
        broken = [{"name": name, "problem": problem} for name, problem in problems.items()]
        show_json([*map(dataclasses.asdict, manifests), *broken])
    else:
        from rich.table import Table

        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("corpus", no_wrap=True)
        table.add_column("documents", justify="right", no_wrap=True)
        table.add_column("bytes", justify="right", no_wrap=True)
        table.add_column("from", no_wrap=True)
        table.add_column("to", no_wrap=True)
        table.add_column("licenses")
        table.add_column("sha256", no_wrap=True)
        for manifest in manifests:
            table.add_row(
                manifest.name,
                f"{manifest.num_documents:,}{', incomplete' if manifest.incomplete else ''}",
                f"{manifest.num_bytes:,}",
                manifest.date_from or "undated",
                manifest.date_to or "",
                ", ".join(manifest.licenses),
                manifest.sha256[:16],
            )
        print_table(table, sys.stdout)
        for problem in problems.values():
            show(problem, err=True)
    if problems:
        raise typer.Exit(1)


@app.command("show")
def show_corpus(
    corpus: Annotated[str, typer.Argument(help="A name from `evalkit corpora list`, or a path.")],
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Read a corpus and show everything that is known of it."""
    from evalkit.corpora.store import load_corpus

    manifest = dataclasses.asdict(load_corpus(corpus, store=store).manifest)
    if as_json:
        show_json(manifest)
        return
    for key, value in manifest.items():
        show(f"{key:<15} {_readable(value)}")


@app.command("verify")
def verify_corpus(
    name: Annotated[str, typer.Argument(help="A name from `evalkit corpora list`.")],
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Recompute every digest and count of a corpus. Exits with 1 if anything is not as stored."""
    from evalkit.corpora.store import verify_corpus

    problems = verify_corpus(name, store)
    if as_json:
        show_json({"name": name, "problems": problems})
    elif problems:
        for problem in problems:
            show(f"{name}: {problem}")
    else:
        show(f"{name}: every document is as stored")
    if problems:
        raise typer.Exit(1)


@app.command("rm")
def remove_corpora(
    names: Annotated[list[str], typer.Argument(help="Names from `evalkit corpora list`.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without it, only what would be removed is shown.")
    ] = False,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output", "-o", help="Folder of result cells to look through; repeatable.", show_default="runs"
        ),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Remove corpora from the store for good, all or none, and ask nothing. Cells keep their numbers."""
    from evalkit.corpora.removal import removable, remove
    from evalkit.errors import UsageError

    corpora = removable(names, output or [DEFAULT_OUTPUT], store=store)
    for corpus in corpora:
        size = "broken" if corpus.num_documents is None else f"{corpus.num_documents:,} documents"
        cells = f"{corpus.num_cells} cells" if corpus.num_cells else "no cell"
        show(
            f"{corpus.name}: {size}, {corpus.num_bytes_on_disk:,} bytes in {corpus.folder}; "
            f"{cells} of {', '.join(map(str, output or [DEFAULT_OUTPUT]))} refer to it"
        )
    if not yes:
        raise UsageError("nothing was removed; add --yes to remove what is listed above")
    remove(corpora)
    show(f"removed: {', '.join(corpus.name for corpus in corpora)}")


@app.command("publish")
def publish_corpus(
    name: Annotated[str, typer.Argument(help="A name from `evalkit corpora list`.")],
    repo: Annotated[str, typer.Option("--repo", help="Dataset on the Hugging Face Hub, OWNER/NAME.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to prepare.", show_default="published/NAME"),
    ] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Upload the folder; without it nothing leaves this machine.")
    ] = False,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    store: StoreOption = None,
) -> None:
    """Prepare a corpus as a dataset: texts whose license allows it, how to get the others again.

    The folder has a dataset card; look at it before you push.
    """
    from evalkit.corpora.publish import check_repo, prepare_dataset, push_dataset
    from evalkit.corpora.store import BUILTIN_NAMES, load_corpus
    from evalkit.errors import UsageError

    check_repo(repo)
    if name in BUILTIN_NAMES:
        raise UsageError(f"{name} is on every machine already; give a corpus of your own")
    corpus = load_corpus(name, store=store)
    prepared = prepare_dataset(corpus, repo, output or Path("published") / corpus.name)
    show(
        f"{prepared.folder}: {prepared.num_published} documents with their text, "
        f"{prepared.num_withheld} by URL, digest and date only"
    )
    if push:
        commit = push_dataset(prepared.folder, repo, private=private)
        show(f"pushed: hub:{repo}@{commit}")
    else:
        show("not pushed; add --push to upload it")


def _readable(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {count}" for key, count in value.items()) or "-"
    return str(value)
