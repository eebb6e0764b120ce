"""``evalkit models``: which models have names, and what is known of each."""

import dataclasses
import json
import sys
from typing import Annotated

import typer

from evalkit.cli.parsing import JsonOption
from evalkit.models.catalog import CatalogEntry, load_catalog, resolve_spec
from evalkit.models.codecs import CODECS
from evalkit.models.installed_architectures import architecture_problem
from evalkit.models.name_patterns import only_spec
from evalkit.terminal import print_table, show, show_json

app = typer.Typer(help="The models that have names.", no_args_is_help=True)


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the models that have names: the built-in ones and those of evalkit.toml."""
    entries = load_catalog().values()
    if as_json:
        show_json(
            [
                {**dataclasses.asdict(entry), "problem": architecture_problem(entry.model_type)}
                for entry in entries
            ]
        )
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("loader", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("released", no_wrap=True)
    table.add_column("cutoff", no_wrap=True)
    table.add_column("context", justify="right", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    table.add_column("repository or path", no_wrap=True)
    problems = {
        entry.name: problem for entry in entries if (problem := architecture_problem(entry.model_type))
    }
    for entry in entries:
        if entry.name in problems:
            continue
        table.add_row(
            entry.name,
            entry.loader,
            _short_count(entry.num_parameters),
            entry.released or "",
            _cutoff(entry),
            f"{entry.context_limit:,}" if entry.context_limit else "",
            entry.license or "",
            "" if entry.loader == "codec" else entry.target,
        )
    # One line per model, however long: columns squeezed into a narrow terminal cannot be read.
    print_table(table, sys.stdout)
    if any("knowledge_cutoff" in (entry.unconfirmed or "").split() for entry in entries):
        show("? read in no copy of what the maker says; `evalkit models show NAME` says more")
    for name, problem in problems.items():
        show(f"cannot be scored here: {name}: {problem}")


@app.command("formats")
def list_formats(as_json: JsonOption = False) -> None:
    """List what has been compared with what, by format and architecture, as a Markdown table."""
    from evalkit.models.comparisons import comparisons

    if as_json:
        show_json([comparison._asdict() for comparison in comparisons()])
        return
    show("| format | architecture | what | compared with | agreement | test |")
    show("|---|---|---|---|---|---|")
    for comparison in comparisons():
        show(f"| {' | '.join(comparison[:-1])} | `{comparison.test}` |")


@app.command("show")
def show_model(
    model: Annotated[str, typer.Argument(help="A name from `evalkit models list`, or LOADER:TARGET.")],
    as_json: JsonOption = False,
) -> None:
    """Show everything that is known of one model, and where a local copy of it lies."""
    from evalkit.embedded.card import card_lines, read_card

    catalog = load_catalog()
    entry = resolve_spec(only_spec(model, catalog), catalog)
    card = read_card(entry.local_path) if entry.local_path else None
    facts: dict[str, object] = {**dataclasses.asdict(entry), "local_copy": _local_copy(entry)}
    if as_json:
        show_json(facts if card is None else {**facts, "card": card})
        return
    if entry.loader == "codec":
        del facts["revision"], facts["local_copy"]
        codec = CODECS[entry.target]
        facts |= {"method": codec.title, "settings": codec.settings, "package": codec.package}
    elif entry.local_path:
        del facts["revision"]
    for key, value in facts.items():
        if value is None and key != "local_copy":
            continue
        shown = value if isinstance(value, str) else json.dumps(value)
        if isinstance(value, int) and not isinstance(value, bool):
            shown = f"{value:,}"
        show(f"{key + ':':<19}{'none' if value is None else shown}")
    for line in card_lines(card) if card else ():
        show(line)


def _local_copy(entry: CatalogEntry) -> str | None:
    """Where the model's own files lie on this machine, as far as that is known without the network."""
    if entry.loader not in ("rwkv7", "hf"):
        return None
    if entry.local_path:
        return str(entry.local_path)
    from evalkit.models.hub import cached_files, weight_files

    snapshot = cached_files(entry.target, entry.revision)
    if snapshot is None or snapshot.local_folder is None:
        return None
    if entry.file:
        return str(snapshot.local_folder / entry.file) if entry.file in snapshot.files else None
    return str(snapshot.local_folder) if weight_files(snapshot.files) else None


def _cutoff(entry: CatalogEntry) -> str:
    """The end of the training data, for a table; nothing where a compressor has none, or nobody looked."""
    if entry.loader == "codec" or not (entry.source or entry.knowledge_cutoff):
        return ""
    mark = " ?" if "knowledge_cutoff" in (entry.unconfirmed or "").split() else ""
    return (entry.knowledge_cutoff or "not stated") + mark


def _short_count(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e9:.2f}B" if count >= 995e6 else f"{count / 1e6:.0f}M"
