"""The site as a whole: from a folder of cells to a folder of pages."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.analysis.current import with_current_records
from evalkit.analysis.document_dates import dates_of
from evalkit.analysis.estimates import NUM_NEIGHBORS
from evalkit.analysis.figures import FigureMarks, PlacedMark, SiteFigure
from evalkit.analysis.rankings import Leaderboard, compute
from evalkit.analysis.results import Results
from evalkit.analysis.site_listing import SITE_LISTING
from evalkit.analysis.sources import sources_of
from evalkit.audit.records import audits_in
from evalkit.corpora.document import Corpus
from evalkit.corpora.store import load_corpora
from evalkit.environment import environment
from evalkit.errors import UsageError
from evalkit.models.catalog import CatalogEntry
from evalkit.report import content
from evalkit.report.placing import check_output, placed
from evalkit.report.preview import checked_address
from evalkit.report.sources import Background, find_backgrounds
from evalkit.report.training_page import training_of
from evalkit.report.writer import Provenance, Writer, shown_fields
from evalkit.version import __version__

_NUM_DIGITS = 6
"""Of a plot's numbers on its page; its CSV file has all."""


@dataclasses.dataclass(frozen=True)
class SiteOptions:
    """What a site is made of beside the cells."""

    corpora: Sequence[str | Corpus] = ()
    """Corpora whose texts and manifests are not in the store, or their names or paths."""
    num_explorer_documents: int = 60
    """How many documents of a corpus the explorer can open."""
    title: str = "evalkit"
    figures: Sequence[SiteFigure] = ()
    docs: str | None = None
    """The documentation that all pages link: its address, or the folder of its pages, which is copied."""
    address: str | None = None
    """Where the site will be served, for previews of links: programs want a picture's whole address."""

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            UsageError: a negative number of documents, or no address of the web.
        """
        if self.num_explorer_documents < 0:
            raise UsageError(f"{self.num_explorer_documents} documents for the explorer: give 0 or more")
        if self.address is not None:
            object.__setattr__(self, "address", checked_address(self.address, "address"))


class Built(NamedTuple):
    """What was written."""

    output: Path
    num_files: int
    num_bytes: int
    num_cells: int
    num_models: int
    num_corpora: int
    num_explored: int


def build_site(
    results: Results,
    output: Path,
    options: SiteOptions | None = None,
    *,
    warn: Callable[[str], None] = lambda _: None,
) -> Built:
    """Build the site of all cells; the same cells and corpora give the same bytes.

    Args:
        results: see `evalkit.analysis.results.read_results`.
        output: the site's folder: new, empty, or that of a site that was built before and is replaced; what
            evalkit did not write there stays.
        options: see `SiteOptions`.
        warn: told of everything that is left out.

    Raises:
        UsageError: there is nothing to show, ``output`` is no folder that a site may go to (see
            `evalkit.report.placing`), or there is no documentation where the options say.
        CorpusError: a corpus that was named cannot be read.
        ScoringError: cells contradict one another.
    """
    from evalkit.models.catalog import load_catalog

    options = options or SiteOptions()
    check_output(output, results.folder)
    docs = docs_files(options.docs)
    named = load_corpora(options.corpora)
    results = with_current_records(results, named, warn=warn)
    backgrounds = find_backgrounds(results, named, warn=warn)
    catalog = load_catalog()
    board = _numbers(results, backgrounds, catalog)
    _tell_who_is_paired(board, warn)
    training = training_of(results, options.figures, warn=warn)
    with placed(output) as folder:
        writer = Writer(
            folder,
            options.title,
            _provenance(results, warn),
            has_plots=bool(options.figures),
            has_training=bool(training.curves),
            docs_link="docs/index.html" if docs else options.docs,
            address=options.address,
        )
        num_explored = content.write(
            writer,
            board,
            backgrounds,
            catalog,
            num_documents=options.num_explorer_documents,
            training=training,
            warn=warn,
        )
        _write_figures(writer, options.figures)
        for name, path in docs.items():
            writer.bytes(f"docs/{name}", path.read_bytes())
        files = writer.finish()
    return _built(output, results, files, num_explored)


def _built(output: Path, results: Results, files: Collection[str], num_explored: int) -> Built:
    return Built(
        output,
        num_files=len(files) + 1,
        num_bytes=sum((output / name).stat().st_size for name in (*files, SITE_LISTING)),
        num_cells=sum(len(corpus.all_cells) for corpus in results.corpora) + len(results.probes),
        num_models=len({configuration.model for configuration in results.configurations}),
        num_corpora=len(results.corpora),
        num_explored=num_explored,
    )


def _tell_who_is_paired(board: Leaderboard, warn: Callable[[str], None]) -> None:
    if board.is_near_only:
        warn(
            f"more than {2 * NUM_NEIGHBORS + 1} models: each is paired with the {NUM_NEIGHBORS} before and "
            "after it in rank and with the best; of others the interval is what their own two allow "
            "(`evalkit compare` pairs any two)"
        )


def _numbers(
    results: Results, backgrounds: Sequence[Background], catalog: Mapping[str, CatalogEntry]
) -> Leaderboard:
    """All numbers, by the sources and dates of the manifests and texts that are at hand."""
    return compute(
        results,
        sources_of(results, [background.manifest for background in backgrounds]),
        dates_of(results, catalog, [background.corpus for background in backgrounds]),
    )


def docs_files(docs: str | None) -> dict[str, Path]:
    """The files of built documentation by their place in it; none where it is an address, or None.

    Raises:
        UsageError: it is neither an address nor a folder of pages.
    """
    if docs is None or docs.startswith(("https://", "http://")):
        return {}
    folder = Path(docs)
    if not (folder / "index.html").is_file():
        raise UsageError(
            f"--docs {docs} is neither an https:// address nor a folder with an index.html; "
            "`make docs` builds the documentation into build/docs"
        )
    # Sitemaps say when they were made, and the same cells shall give the same site.
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "sitemap" not in path.name)
    return {path.relative_to(folder).as_posix(): path for path in files}


def _write_figures(writer: Writer, figures: Sequence[SiteFigure]) -> None:
    for figure in figures:
        for suffix, data in figure.files.items():
            writer.bytes(f"plots/{figure.name}{suffix}", data)
    if figures:
        writer.page("plots.html", "plots.html", ["plots.js"], figures=figures)
        marks = {figure.name: _marks_data(figure.marks) for figure in figures if figure.marks is not None}
        writer.data("data/plots.js", shown_fields(marks))


def _marks_data(marks: FigureMarks) -> dict[str, object]:
    """Numbers with the digits that a page shows; rows without their fields' names, which are long."""
    panels = [panel._asdict() for panel in marks.panels]
    units = list(dict.fromkeys(mark.unit for mark in marks.marks))
    rows = [
        [units.index(part) if name == "unit" else _rounded(part) for name, part in mark._asdict().items()]
        for mark in marks.marks
    ]
    data = {"panels": panels, "units": units, "fields": PlacedMark._fields, "marks": rows}
    return {**marks._asdict(), **data}


def _rounded(part: object) -> object:
    return float(f"{part:.{_NUM_DIGITS}g}") if isinstance(part, float) else part


def _provenance(results: Results, warn: Callable[[str], None]) -> Provenance:
    states = [cell.environment.git for corpus in results.corpora for cell in corpus.all_cells.values()]
    commits = {git.commit[:12] + (" with changes" if git.dirty else "") for git in states if git is not None}
    return Provenance(
        version=__version__,
        git=environment()["git"],
        scored_at=sorted(commits),
        num_cells=sum(len(corpus.all_cells) for corpus in results.corpora) + len(results.probes),
        corpora=[(corpus.label, corpus.sha256) for corpus in results.corpora],
        left_out=results.left_out,
        audits=tuple(audits_in(results.folder, warn=warn)),
    )
