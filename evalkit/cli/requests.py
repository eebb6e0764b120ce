"""``evalkit requests``: frozen sets of contexts and continuations, and how often models choose rightly."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import DEFAULT_OUTPUT, JsonOption, ResultsArgument, StoreOption
from evalkit.displayed import counted
from evalkit.terminal import show, show_json

if TYPE_CHECKING:
    from evalkit.analysis.choices import CellChoices

app = typer.Typer(help="Frozen request sets: contexts and continuations.", no_args_is_help=True)

_CorpusName = Annotated[str, typer.Argument(help="A name from `evalkit corpora list`, or a path.")]


@app.command("build")
def build(
    task: Annotated[Path, typer.Argument(help="The task file, TOML or YAML.")],
    store: StoreOption = None,
) -> None:
    """Make a request set of a data set, and store it as a corpus."""
    from evalkit.corpora.store import save_corpus, store_folder
    from evalkit.requests.build import build_requests
    from evalkit.requests.task_file import load_task

    corpus = build_requests(load_task(task))
    save_corpus(corpus, store)
    num_questions = len({document.cluster or document.id for document in corpus.documents})
    show(
        f"{corpus.name}: {counted(len(corpus.documents), 'request')}, {counted(num_questions, 'question')}, "
        f"{corpus.num_bytes:,} bytes, SHA-256 {corpus.sha256[:16]}, in {store_folder(store) / corpus.name}"
    )
    for reason, count in corpus.manifest.num_dropped.items():
        show(f"left out: {count} {reason}")


@app.command("show")
def show_requests(
    corpus: _CorpusName,
    limit: Annotated[int, typer.Option("--limit", help="How many, from the first on.")] = 3,
    as_json: JsonOption = False,
    store: StoreOption = None,
) -> None:
    """Show what is read and what is paid for, with every blank and line break."""
    from evalkit.corpora.store import load_corpus

    documents = load_corpus(corpus, store=store).limited(limit).documents
    if as_json:
        names = ("id", "context", "text", "choices", "cluster")
        show_json([{name: getattr(document, name) for name in names} for document in documents])
        return
    for document in documents:
        show(document.id)
        show(f"  context      {document.context!r}")
        show(f"  continuation {document.text!r}")
        for choice in document.choices or ():
            show(f"  {'right' if choice == document.text else 'wrong'}        {choice!r}")


@app.command("export")
def export(
    format: Annotated[str, typer.Argument(help="lm-eval (a task's folder) or jsonl (a file).")],
    corpus: _CorpusName,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder, or the file.")],
    store: StoreOption = None,
) -> None:
    """Write a request set for another program."""
    from evalkit.corpora.store import load_corpus
    from evalkit.errors import unknown_name
    from evalkit.requests.exports import FORMATS, export_requests

    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS, f"Known: {', '.join(FORMATS)}.")
    for path in export_requests(load_corpus(corpus, store=store), format, output):
        show(str(path))


@app.command("accuracy")
def accuracy(
    results: ResultsArgument = str(DEFAULT_OUTPUT),
    as_json: JsonOption = False,
) -> None:
    """Print how often models hold the right choice for the likeliest, for cells of corpora with choices."""
    from evalkit.analysis.choices import METHODS, cell_choices
    from evalkit.analysis.results import read_results
    from evalkit.errors import UsageError

    cells = read_results(results, warn=lambda text: show(text, err=True), with_limited=True).cells
    choices = [of_cell for of_cell in map(cell_choices, cells) if of_cell is not None]
    if not choices:
        raise UsageError(
            f"{results}: no corpus has choices; `evalkit requests build` makes one, or import rows with "
            "choices"
        )
    if as_json:
        show_json(list(map(_as_json, choices)))
        return
    for method, meaning in METHODS.items():
        show(f"{method}: {meaning}")
    for of_cell in choices:
        show(_line(of_cell))


def _line(choices: "CellChoices") -> str:
    cell = choices.cell
    subject = f"{cell.model.name} on {cell.corpus.name} ({cell.policy.name})"
    words = [subject, counted(choices.num_questions, "question")]
    for of_method in choices.accuracies:
        interval = of_method.interval
        span = "" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]"
        words.append(f"{of_method.method} {of_method.share:.3f}{span}")
    words.append(f"{cell.bits_per_byte:.4f} bits/byte of the right choice")
    if choices.num_left_out:
        left_out = counted(choices.num_left_out, "document")
        words.append(f"{left_out} without choices, or with one that was not scored")
    return ", ".join(words)


def _as_json(choices: "CellChoices") -> dict[str, object]:
    cell = choices.cell
    return {
        "model": cell.model.name,
        "corpus": cell.corpus.name,
        "policy": cell.policy.name,
        "num_questions": choices.num_questions,
        "num_left_out": choices.num_left_out,
        "bits_per_byte": cell.bits_per_byte,
        **{
            of_method.method: {
                "share": of_method.share,
                "low": None if of_method.interval is None else of_method.interval.low,
                "high": None if of_method.interval is None else of_method.interval.high,
            }
            for of_method in choices.accuracies
        },
    }
