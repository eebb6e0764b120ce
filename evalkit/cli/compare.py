"""``evalkit compare``: two models, document by document."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import (
    DEFAULT_OUTPUT,
    DeviceOption,
    DtypeOption,
    IgnoreTensorsOption,
    JsonOption,
    LimitOption,
    MaxContextOption,
    OutputUrlOption,
    PolicyOption,
    PrefixOption,
    TrustOption,
    comma_list,
    is_debug,
    joined,
)
from evalkit.scoring.policy import DEFAULT_POLICY
from evalkit.terminal import show, show_json

if TYPE_CHECKING:
    from evalkit.analysis.compare import Comparison
    from evalkit.analysis.divergence import Divergence
    from evalkit.cells.schema import CorpusCell
    from evalkit.runner.options import RunOptions


def compare_command(
    context: typer.Context,
    a: Annotated[str, typer.Argument(help="A model, or a cell's .json file.")],
    b: Annotated[str, typer.Argument(help="Another model or cell.")],
    corpus: Annotated[str | None, typer.Option("--corpus", help="Name or path of the corpus.")] = None,
    policy: PolicyOption = DEFAULT_POLICY,
    limit: LimitOption = None,
    output: OutputUrlOption = str(DEFAULT_OUTPUT),
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    max_context: MaxContextOption = None,
    prefix: PrefixOption = None,
    trust_remote_code: TrustOption = False,
    ignore_tensors: IgnoreTensorsOption = None,
    common_documents: Annotated[
        bool, typer.Option("--common-documents", help="Leave out what one of the two cannot represent.")
    ] = False,
    num_documents: Annotated[
        int, typer.Option("--documents", help="Best and worst documents to show.", min=0)
    ] = 5,
    kl: Annotated[
        bool, typer.Option("--kl", help="Also the divergence of A's distributions from B's, in lockstep.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two models document by document, scoring what is missing first.

    With --kl both are loaded and read the corpus once more, together: B is the original, A what was made of
    it, and both have one vocabulary.
    """
    from evalkit.analysis.compare import compare_cells
    from evalkit.errors import UsageError
    from evalkit.runner.options import RunOptions
    from evalkit.runner.progress import reporter_for

    cells = _cells_of_files([name for name in (a, b) if name.endswith(".json")])
    divergence = None
    if cells and kl:
        raise UsageError("--kl reads the models themselves; give two models and --corpus")
    if not cells:
        options = RunOptions(
            output=output,
            device=device,
            dtype=dtype,
            max_context=max_context,
            prefix=joined(prefix),
            trust_remote_code=trust_remote_code,
            ignore_tensors=tuple(comma_list(joined(ignore_tensors))),
            debug=is_debug(context),
            reporter=reporter_for(sys.stderr),
        )
        cells, divergence = _score([a, b], corpus, policy, limit, options, kl=kl)
    comparison = compare_cells(*cells, common_documents=common_documents)
    _print(comparison, divergence, num_documents, as_json=as_json)


def _print(
    comparison: "Comparison", divergence: "Divergence | None", num_documents: int, *, as_json: bool
) -> None:
    from evalkit.analysis.compare import comparison_lines
    from evalkit.analysis.divergence import divergence_lines

    if as_json:
        content = comparison.to_json(num_documents)
        show_json({**content, "divergence": divergence.to_json()} if divergence else content)
        return
    for line in comparison_lines(comparison, num_documents):
        show(line)
    for line in divergence_lines(divergence) if divergence else ():
        show(line)


def _cells_of_files(names: "list[str]") -> "list[CorpusCell]":
    """The cells of two files; none of no files."""
    from evalkit.cells.object_store import is_url
    from evalkit.cells.reading import read_corpus_cell
    from evalkit.errors import UsageError

    for name in filter(is_url, names):
        raise UsageError(
            f"{name} is in a store, and cells' files are read on this machine; give two models, --corpus and "
            "--output with the store's folder"
        )
    paths = [Path(name) for name in names]
    if len(paths) == 1 and paths[0].is_file():
        raise UsageError(f"{paths[0]} is a cell's file; give another cell's, or two models and --corpus")
    return [read_corpus_cell(path) for path in paths]


def _score(
    models: list[str],
    corpus: str | None,
    policy: str,
    limit: int | None,
    options: "RunOptions",
    *,
    kl: bool,
) -> "tuple[list[CorpusCell], Divergence | None]":
    """The cells of two models, and how far their distributions lie apart where that was asked for.

    Raises:
        UsageError: a name is unknown, or a pattern that several match.
        ScoringError: a model could not be scored.
    """
    from evalkit.corpora.store import check_corpus_name, load_corpus
    from evalkit.errors import ScoringError, UsageError
    from evalkit.models.catalog import load_catalog
    from evalkit.models.name_patterns import only_spec
    from evalkit.runner.corpora import run
    from evalkit.runner.divergence import run_divergence

    if corpus is None:
        raise UsageError("give --corpus NAME, or two cells' .json files")
    check_corpus_name(corpus)
    catalog = load_catalog()
    a, b = (only_spec(model, catalog) for model in models)
    loaded = load_corpus(corpus)
    if kl:
        compared = run_divergence(a, b, loaded, policy=policy, limit=limit, options=options)
        return list(compared.cells), compared.divergence
    result = run([a, b], [loaded], policy=policy, limit=limit, options=options)
    for failure in result.failures:
        raise ScoringError(f"{failure.model} could not be scored: {failure.reason}")
    return list(result.cells), None
