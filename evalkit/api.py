"""Commands as functions: comparisons and sites. `evalkit.run` is the runner's."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from evalkit.analysis.compare import Comparison, compare_cells
from evalkit.analysis.current import with_current_records
from evalkit.analysis.results import Results
from evalkit.analysis.results import read_results as read_folder
from evalkit.cells.reading import read_corpus_cell
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.store import Corpus, load_corpora
from evalkit.errors import ScoringError, UsageError
from evalkit.models.protocol import Model
from evalkit.report.site import Built, SiteOptions, build_site
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions, listed
from evalkit.scoring.policy import DEFAULT_POLICY


def compare(
    a: str | os.PathLike[str] | Model | CorpusCell,
    b: str | os.PathLike[str] | Model | CorpusCell,
    corpus: str | Corpus | None = None,
    *,
    policy: str = DEFAULT_POLICY,
    limit: int | None = None,
    common_documents: bool = False,
    options: RunOptions | None = None,
) -> Comparison:
    """Compare two models document by document, as ``evalkit compare`` does; what is missing is scored first.

    Args:
        a: a model (a name, ``LOADER:TARGET`` or an object), or a cell (an object, or its ``.json`` file).
        b: another of the same kind: two models, or two cells.
        corpus: what the models are compared on; None for cells.
        policy: one of `evalkit.scoring.policy.POLICIES`, for models.
        limit: how many documents of the corpus to score, for models; None: all.
        common_documents: whether to leave out what one of the two cannot represent.
        options: output folder, device, precision and the like; None: the defaults.

    Returns:
        A minus B in bits per byte, with its interval and by document.

    Raises:
        UsageError: a name or an option is wrong, a corpus is missing or not wanted, or the two cells are not
            of the same documents and policy.
        ScoringError: a model could not score the corpus, or a cell's files are damaged.
        CorpusError: the corpus cannot be read.
        ModelError: a model cannot be found or loaded.
    """
    cells = [cell for cell in map(_cell, (a, b)) if cell is not None]
    if len(cells) == 2:
        if corpus is not None:
            raise UsageError("two cells are of a corpus already; leave the corpus out")
        return compare_cells(*cells, common_documents=common_documents)
    if cells or corpus is None:
        raise UsageError("give two models and a corpus, or two cells")
    models = [model if isinstance(model, str) else _model(model) for model in (a, b)]
    result = run(models, [corpus], policy=policy, limit=limit, options=options)
    for failure in result.failures:
        raise ScoringError(f"{failure.model} on {failure.subject}: {failure.reason}")
    if len(result.cells) != 2:
        raise UsageError(f"{len(result.models)} models on {len(result.corpora)} corpora; give two and one")
    return compare_cells(*result.cells, common_documents=common_documents)


def read_results(folder: str | os.PathLike[str], *, warn: Callable[[str], None] = lambda _: None) -> Results:
    """Every cell under a folder that ``evalkit run --output`` or `run` wrote.

    Args:
        folder: of the cells; also the address of one in an object store (``s3://…``).
        warn: told of every file that is left out, because it cannot be believed or compared.

    Raises:
        UsageError: there is no such folder, or nothing in it that can be shown.
    """
    return read_folder(folder, warn=warn)


def build_report(
    results: str | os.PathLike[str] | Results,
    output: str | os.PathLike[str] = "site",
    *,
    corpora: str | Corpus | Sequence[str | Corpus] = (),
    title: str = "evalkit",
    address: str | None = None,
    plots: bool = True,
    warn: Callable[[str], None] = lambda _: None,
) -> Built:
    """Build the static site of results, as ``evalkit report`` does.

    Args:
        results: a folder of cells, or what `read_results` gave.
        output: the site's folder: new, empty, or that of a site that was built before and is replaced.
        corpora: whose texts the explorer shows, besides those in the store.
        title: of the site.
        address: where it will be served, for previews of links.
        plots: whether to draw the plots that the cells allow.
        warn: told of everything that is left out.

    Returns:
        Where the site is and what is in it.

    Raises:
        UsageError: there is nothing to show, or ``output`` is no folder that a site may go to.
        CorpusError: a corpus that was named cannot be read.
        ScoringError: cells contradict one another.
    """
    loaded = load_corpora(listed(corpora))
    scored = results if isinstance(results, Results) else read_results(results, warn=warn)
    scored = with_current_records(scored, loaded, warn=warn)
    figures = []
    if plots:
        from evalkit.plots import draw_all

        figures = draw_all(scored, tell=warn)
    return build_site(
        scored, Path(output), SiteOptions(loaded, title=title, figures=figures, address=address), warn=warn
    )


def _cell(value: object) -> CorpusCell | None:
    """The cell that an argument is or names; None for a model."""
    if isinstance(value, CorpusCell):
        return value
    if isinstance(value, str | os.PathLike) and os.fspath(value).endswith(".json"):
        return read_corpus_cell(Path(value))
    return None


def _model(value: object) -> Model:
    if isinstance(value, Model):
        return value
    raise UsageError(f"{value!r} is no model; give a name, LOADER:TARGET or a model object")
