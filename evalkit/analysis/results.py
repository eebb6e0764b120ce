"""All cells under a folder, read once: which models, which corpora, which documents cost what."""

import dataclasses
import functools
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.configurations import ModelConfiguration, configurations_of, unique
from evalkit.analysis.manifests import Manifests, find_manifests
from evalkit.analysis.part_cells import PartCell, parts_of
from evalkit.analysis.scored_rows import LoadRows, RowSpool, ScoredRows
from evalkit.analysis.shared_rows import SharedRows
from evalkit.analysis.site_listing import SITE_LISTING, read_listing
from evalkit.cells.object_store import copied_folder, is_url
from evalkit.cells.probe_schema import ProbeCell
from evalkit.cells.reading import read_checked_cell
from evalkit.cells.renewal import newest_of_each
from evalkit.cells.schema import CellCorpus, CorpusCell, TaskCell
from evalkit.corpora.audit import AUDIT_FILE
from evalkit.displayed import Displayed, Record, counted
from evalkit.errors import EvalkitError, UsageError
from evalkit.files import slug
from evalkit.scoring.policy import DEFAULT_POLICY, POLICIES

_MANIFEST = "manifest.json"

UNDATED = "undated"
"""Stands for the month of a corpus without dates."""


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A file of the results that is not shown, and why."""

    path: str
    """Relative to the results."""
    reason: str
    is_limited: bool = False
    """It is whole, but of ``--limit``."""


@dataclasses.dataclass(frozen=True)
class ScoredCorpus:
    """A corpus and what every configuration paid for its documents."""

    key: str
    label: str
    facts: CellCorpus
    """What the cells say of it."""
    load_rows: LoadRows
    """Gives what is known of its documents: of many corpora that is not in memory all the time."""
    cells: dict[int, CorpusCell]
    """By configuration."""
    part_cells: dict[int, PartCell] = dataclasses.field(default_factory=dict)
    """By configuration, of those without a cell in `cells`: over some of the documents only."""

    @property
    def ids(self) -> tuple[str, ...]:
        """As `ScoredRows` has them, as all of the following."""
        return self.load_rows().ids

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each document."""
        return self.load_rows().digests

    @property
    def titles(self) -> tuple[str | None, ...]:
        """Of each document."""
        return self.load_rows().titles

    @property
    def clusters(self) -> tuple[str, ...]:
        """What documents share that are not independent draws."""
        return self.load_rows().clusters

    @property
    def published_at(self) -> tuple[str | None, ...]:
        """When each document was published, as far as the cells say it."""
        return self.load_rows().published_at

    @property
    def num_bytes(self) -> NDArray[np.int64]:
        """``[D]``."""
        return self.load_rows().num_bytes

    @property
    def bits(self) -> NDArray[np.float64]:
        """``[D, K]``; NaN where no cell has the document, or it could not be represented."""
        return self.load_rows().bits

    @property
    def story_ids(self) -> tuple[str | None, ...]:
        """What documents share that say the same in several languages; empty in a corpus without stories."""
        return self.load_rows().story_ids

    @property
    def languages(self) -> tuple[str | None, ...]:
        """Of each document, where there are `story_ids`."""
        return self.load_rows().languages

    def with_rows(self, spool: RowSpool, **changes: Any) -> "ScoredCorpus":
        """The same corpus with other `ScoredRows` in some fields, which a spool keeps."""
        return dataclasses.replace(self, load_rows=spool.keep(self.load_rows()._replace(**changes)))

    @property
    def name(self) -> str:
        """The corpus's name; several corpora may share it, their digests differ."""
        return self.facts.name

    @property
    def sha256(self) -> str:
        """The corpus's digest."""
        return self.facts.sha256

    @property
    def all_cells(self) -> dict[int, CorpusCell]:
        """By configuration: `cells`, and those over some of the documents only."""
        return self.cells | {index: part.cell for index, part in self.part_cells.items()}

    @property
    def month(self) -> str:
        """``YYYY-MM`` of the first day, or `UNDATED`."""
        first = self.facts.date_from
        return first[: len("YYYY-MM")] if first else UNDATED


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Results(Displayed):
    """All cells under a folder; `read_results` reads them. Equal only to itself, and so a key of caches."""

    configurations: tuple[ModelConfiguration, ...]
    corpora: tuple[ScoredCorpus, ...]
    probes: tuple[TaskCell | ProbeCell, ...]
    """The cells that are not of corpora."""
    left_out: tuple[LeftOut, ...]
    folder: Path = Path()
    """Where they lie."""
    cells: tuple[CorpusCell, ...] = ()
    """All whole cells of corpora, in the order of their paths, but those that were made anew since; also
    those that `corpora` leave out because another has the same numbers and those of the tokens besides."""

    def headline(self) -> str:
        """The folder and how much is in it."""
        models = counted(len({row.model for row in self.configurations}), "model")
        left_out = f", {counted(len(self.left_out), 'file')} left out" if self.left_out else ""
        cells = f"{counted(len(self.cells), 'cell')} of corpora, {len(self.probes):,} of tasks"
        return f"{self.folder}: {models}, {cells}{left_out}"

    def records(self) -> list[Record]:
        """A row per cell of a corpus."""
        return [cell.as_record() for cell in self.cells]

    @functools.cached_property
    def manifests(self) -> Manifests:
        """Of the corpora, as far as they are at hand; looked for once."""
        return find_manifests([corpus.facts for corpus in self.corpora], self.folder)

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies of the language models, the default one first; ``document`` if there are none."""
        names = {row.policy for row in self.configurations if row.policy}
        in_order = [name for name in POLICIES if name in names]
        return (*in_order, *sorted(names - set(in_order))) or (DEFAULT_POLICY,)


def _why_none(left_out: Sequence[LeftOut], instead: str) -> str:
    """Why no cell of a folder can be shown, and what to do, in words that follow that there is none."""
    if not left_out:
        return "; give the folder that `evalkit run --output` wrote"
    do = (
        f"; {instead}"
        if any(file.is_limited for file in left_out)
        else "; score again, or give another folder"
    )
    return f" that could be shown: {left_out[0].path} {left_out[0].reason}{do}"


def read_results(
    results: str | os.PathLike[str],
    *,
    warn: Callable[[str], None],
    with_limited: bool = False,
    instead: str = "score without --limit",
) -> Results:
    """Every cell under a folder.

    What cannot be believed or must not be compared (a damaged file, a cell whose numbers are not those of its
    rows, a cell of ``--limit``) is left out, told to ``warn`` and kept in `Results.left_out`.

    Args:
        results: what ``evalkit run --output`` wrote: a folder, or the address of one in an object store.
        warn: told of every file that is left out, and of what is fetched.
        with_limited: take cells of ``--limit`` too, each number of documents as a corpus of its own: for what
            is said of somebody's own runs, and not for a board.
        instead: what messages about cells of ``--limit`` that are left out say to do.

    Raises:
        UsageError: there is no such folder, or nothing in it that can be shown; or the store cannot be read.
    """
    place = os.fspath(results)
    folder = copied_folder(place, tell=warn) if is_url(place) else Path(place)
    if not folder.is_dir():
        raise UsageError(f"{place}: no such folder; give the folder that `evalkit run --output` wrote")
    cells: list[CorpusCell] = []
    probes: list[TaskCell | ProbeCell] = []
    left_out: list[LeftOut] = []
    rows = SharedRows()
    for path in json_files(folder):
        relative = path.relative_to(folder).as_posix()
        try:
            cell, columns = read_checked_cell(path)
        except EvalkitError as error:
            left_out.append(LeftOut(relative, str(error).removeprefix(f"{path} ").partition(";")[0]))
            continue
        if not isinstance(cell, CorpusCell):
            probes.append(cell)
        elif cell.corpus.limit is not None and not with_limited:
            reason = f"holds only the first {cell.corpus.limit:,} documents of {cell.corpus.name} (--limit)"
            left_out.append(LeftOut(relative, reason, is_limited=True))
        elif columns is not None:
            rows.add(cell, columns)
            cells.append(cell)
    disagreeing = rows.disagreeing()
    for path in disagreeing:
        reason = "gives a document another num_bytes than most cells of its corpus do"
        left_out.append(LeftOut(path.relative_to(folder).as_posix(), reason))
    cells = newest_of_each(cell for cell in cells if cell.path not in disagreeing)
    _tell_of(left_out, instead, warn)
    if not cells and not probes:
        raise UsageError(f"{place} holds no whole cell{_why_none(left_out, instead)}")
    # One text behind several contexts is no board's.
    shown = [cell for cell in cells if cell.corpus.cut is None]
    configurations, configuration_of = configurations_of(shown)
    corpora = _corpora(shown, rows, configuration_of, len(configurations))
    return Results(configurations, corpora, tuple(probes), tuple(left_out), folder, tuple(cells))


def _tell_of(left_out: Sequence[LeftOut], instead: str, warn: Callable[[str], None]) -> None:
    """A line for each file, and one for all cells of the same first documents of a corpus."""
    for skipped in left_out:
        if not skipped.is_limited:
            warn(f"left out: {skipped.path} {skipped.reason}")
    num_files_by_reason = Counter(skipped.reason for skipped in left_out if skipped.is_limited)
    for reason, num_files in num_files_by_reason.items():
        warn(f"left out ({num_files:,} of the files): {reason}; {instead}")


def json_files(results: Path) -> list[Path]:
    """The files under a folder that may be cells: nothing on corpora, nothing hidden, no site's copy."""
    sites = {path.parent for path in results.rglob(SITE_LISTING) if read_listing(path.parent) is not None}
    return [
        path
        for path in sorted(results.rglob("*.json"))
        if path.name not in (_MANIFEST, AUDIT_FILE)
        and path.is_file()  # not a pipe
        and sites.isdisjoint(path.parents)
        and not any(part.startswith(".") for part in path.relative_to(results).parts)
    ]


def _corpora(
    cells: Sequence[CorpusCell],
    rows: SharedRows,
    configuration_of: dict[Path, int],
    num_configurations: int,
) -> tuple[ScoredCorpus, ...]:
    groups: dict[tuple[str, str], list[CorpusCell]] = {}
    for cell in cells:
        groups.setdefault((cell.corpus.name, cell.corpus.sha256), []).append(cell)
    parts = parts_of(groups, rows)
    inside = {part.key for part in parts.values()}
    names = Counter(key[0] for key in groups if key not in inside)
    keys: set[str] = set()
    corpora, spool = [], RowSpool()
    for (name, sha256), members in sorted(groups.items()):
        if (name, sha256) in inside:
            continue
        chosen = _chosen(members, configuration_of)
        part_cells = {}
        if part := parts.get((name, sha256)):
            part_cells = {
                configuration: PartCell(cell, part.places)
                for configuration, cell in _chosen(groups[part.key], configuration_of).items()
                if configuration not in chosen
            }
        limit = members[0].corpus.limit
        label = name if names[name] == 1 else f"{name} @ {sha256[:8]}"
        label = label if limit is None else f"{label} (first {limit})"
        corpora.append(
            ScoredCorpus(
                key=unique(slug(label), keys),
                label=label,
                facts=_newest(chosen).corpus,
                load_rows=spool.keep(_rows(chosen, part_cells, rows, num_configurations)),
                cells=dict(sorted(chosen.items())),
                part_cells=dict(sorted(part_cells.items())),
            )
        )
    return tuple(corpora)


def _chosen(cells: Sequence[CorpusCell], configuration_of: dict[Path, int]) -> dict[int, CorpusCell]:
    """The newest cell of each configuration; of those with the same numbers one with the bits of tokens."""
    chosen: dict[int, CorpusCell] = {}
    for cell in sorted(cells, key=lambda cell: (cell.created, str(cell.path)), reverse=True):
        first = chosen.setdefault(configuration_of[cell.path], cell)
        of_same_library = cell.model.numerics == first.model.numerics
        if of_same_library and cell.documents.token_bits and not first.documents.token_bits:
            chosen[configuration_of[cell.path]] = cell
    return chosen


def _newest(cells: dict[int, CorpusCell]) -> CorpusCell:
    return max(cells.values(), key=lambda cell: (cell.created, str(cell.path)))


def _rows(
    cells: dict[int, CorpusCell],
    part_cells: dict[int, PartCell],
    rows: SharedRows,
    num_configurations: int,
) -> ScoredRows:
    newest = _newest(cells)
    documents = rows.documents(newest)
    bits = np.full((len(documents.ids), num_configurations), math.nan)
    for configuration, cell in cells.items():
        bits[:, configuration] = rows.take_total_bits(cell)
    for configuration, part in part_cells.items():
        bits[part.places, configuration] = rows.take_total_bits(part.cell)
    # Of a version without the column; other cells may have it.
    days = rows.published_at((newest, *cells.values())) or [None] * len(documents.ids)
    return ScoredRows(
        ids=tuple(documents.ids),
        digests=tuple(documents.digests),
        titles=tuple(documents.titles),
        clusters=tuple(documents.clusters),
        published_at=tuple(days),
        story_ids=tuple(documents.story_ids or ()),
        languages=tuple(documents.languages or ()),
        num_bytes=documents.num_bytes,
        bits=bits,
    )
