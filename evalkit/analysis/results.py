"""All cells under a folder, read once: which models, which corpora, which documents cost what."""

import dataclasses
import functools
import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.manifests import Manifests, find_manifests
from evalkit.analysis.shared_rows import SharedRows
from evalkit.analysis.site_listing import SITE_LISTING, read_listing
from evalkit.cells.object_store import copied_folder, is_url
from evalkit.cells.policy_schema import CellPolicy
from evalkit.cells.probe_schema import ProbeCell
from evalkit.cells.reading import read_checked_cell
from evalkit.cells.renewal import newest_of_each
from evalkit.cells.schema import CellCorpus, CellModel, CorpusCell, TaskCell
from evalkit.corpora.audit import AUDIT_FILE
from evalkit.errors import EvalkitError, UsageError
from evalkit.files import slug
from evalkit.models.prefixes import rule_of
from evalkit.scoring.policy import DEFAULT_POLICY, POLICIES

_MANIFEST = "manifest.json"
_MAX_KEY = 200  # file systems know names of 255 bytes, and endings are added

UNDATED = "undated"
"""Stands for the month of a corpus without dates."""


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A file of the results that is not shown, and why."""

    path: str
    """Relative to the results."""
    reason: str


@dataclasses.dataclass(frozen=True)
class ModelConfiguration:
    """A model in one configuration: a row of the leaderboard."""

    key: str
    """Unique, and fit for a file name."""
    label: str
    model: str
    """The model's name; several configurations may share it."""
    policy: str | None
    """None for a compressor, which knows no policy."""
    facts: CellModel
    """What its newest cell says of the model."""
    settings: CellPolicy
    """What its newest cell says of the policy."""

    @property
    def num_parameters(self) -> int | None:
        """All weights; None where nobody said, or there are none."""
        return self.facts.num_parameters


@dataclasses.dataclass(frozen=True)
class ScoredCorpus:
    """A corpus and what every configuration paid for its documents."""

    key: str
    label: str
    facts: CellCorpus
    """What the cells say of it."""
    ids: tuple[str, ...]
    digests: tuple[str, ...]
    """SHA-256 of each document."""
    titles: tuple[str | None, ...]
    clusters: tuple[str, ...]
    published_at: tuple[str | None, ...]
    """When each document was published, as far as the cells say it."""
    num_bytes: NDArray[np.int64]
    """``[D]``."""
    bits: NDArray[np.float64]
    """``[D, K]`` for K configurations; NaN where there is no cell, or a document could not be represented."""
    cells: dict[int, CorpusCell]
    """By configuration."""
    story_ids: tuple[str | None, ...] = ()
    """What documents share that say the same in several languages; empty in a corpus without stories."""
    languages: tuple[str | None, ...] = ()
    """Of each document, where there are `story_ids`."""

    @property
    def name(self) -> str:
        """The corpus's name; several corpora may share it, their digests differ."""
        return self.facts.name

    @property
    def sha256(self) -> str:
        """The corpus's digest."""
        return self.facts.sha256

    @property
    def month(self) -> str:
        """``YYYY-MM`` of the first day, or `UNDATED`."""
        first = self.facts.date_from
        return first[: len("YYYY-MM")] if first else UNDATED


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
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

    @functools.cached_property
    def manifests(self) -> Manifests:
        """Of the corpora, as far as they are at hand; looked for once."""
        return find_manifests([(corpus.name, corpus.sha256) for corpus in self.corpora], self.folder)

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies of the language models, the default one first; ``document`` if there are none."""
        names = {row.policy for row in self.configurations if row.policy}
        in_order = [name for name in POLICIES if name in names]
        return (*in_order, *sorted(names - set(in_order))) or (DEFAULT_POLICY,)


def read_results(results: str | os.PathLike[str], *, warn: Callable[[str], None]) -> Results:
    """Every cell under a folder.

    What cannot be believed or must not be compared (a damaged file, a cell whose numbers are not those of its
    rows, a cell of ``--limit``) is left out, told to ``warn`` and kept in `Results.left_out`.

    Args:
        results: what ``evalkit run --output`` wrote: a folder, or the address of one in an object store.
        warn: told of every file that is left out, and of what is fetched.

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
        elif cell.corpus.limit is not None:
            reason = f"holds only the first {cell.corpus.limit} documents of {cell.corpus.name} (--limit)"
            left_out.append(LeftOut(relative, reason))
        elif columns is not None:
            rows.add(cell, columns)
            cells.append(cell)
    disagreeing = rows.disagreeing()
    for path in disagreeing:
        reason = "gives a document another num_bytes than most cells of its corpus do"
        left_out.append(LeftOut(path.relative_to(folder).as_posix(), reason))
    cells = newest_of_each(cell for cell in cells if cell.path not in disagreeing)
    for skipped in left_out:
        warn(f"left out: {skipped.path} {skipped.reason}")
    if not cells and not probes:
        reason = f": {left_out[0].path} {left_out[0].reason}" if left_out else ""
        raise UsageError(
            f"{place} holds no whole cell that a report could show{reason}; score without --limit"
        )
    shown = [
        cell for cell in cells if cell.corpus.cut is None
    ]  # one text behind several contexts is no board's
    configurations, configuration_of = configurations_of(shown)
    corpora = _corpora(shown, rows, configuration_of, len(configurations))
    return Results(configurations, corpora, tuple(probes), tuple(left_out), folder, tuple(cells))


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


class _Signature(NamedTuple):
    """What makes two cells of one model one row: the key without corpus and library's generation."""

    model: str
    policy: str | None
    dtype: str
    context_limit: int | None
    prefix: str
    revision: str | None
    weights: str
    tokenizer: str
    config: str | None
    """None where there was none, and in older cells."""
    scorer: int
    loader: str

    def distinctions(self) -> list[str]:
        """In words, from what a reader understands first."""
        return [
            self.dtype,
            f"context ≤ {self.context_limit}" if self.context_limit else "no context limit",
            f"prefix {self.prefix}",
            f"revision {str(self.revision)[:8]}",
            f"weights {self.weights[:8]}",
            f"tokenizer {self.tokenizer[:8]}",
            f"config {self.config[:8] if self.config else 'not stated'}",
            f"scorer {self.scorer}",
            f"loader {self.loader}",
        ]


def _prefix(policy: CellPolicy) -> str:
    """The ids, in whatever words a rule said them: older cells have ``default`` where newer ones have ids."""
    words = policy.prefix_rule if policy.prefix_ids is None else rule_of(policy.prefix_ids)
    return f"{words} before every chunk" if policy.chunk_prefix_ids else words


def _signature(cell: CorpusCell) -> _Signature:
    model, policy = cell.model, cell.policy
    return _Signature(
        model.name,
        None if cell.is_of_a_compressor else policy.name,
        model.dtype,
        policy.context_limit,
        _prefix(policy),
        model.revision,
        model.weights_sha256,
        model.tokenizer_sha256,
        model.config_sha256,
        cell.scorer_version,
        model.loader,
    )


def _signatures(cells: Sequence[CorpusCell]) -> dict[Path, _Signature]:
    """By path; a cell that does not say its config goes with the only one that the others say."""
    stated: dict[_Signature, set[str | None]] = {}
    for cell in cells:
        signature = _signature(cell)
        stated.setdefault(signature._replace(config=None), set()).add(signature.config)
    signatures = {}
    for cell in cells:
        signature = _signature(cell)
        configs = stated[signature._replace(config=None)] - {None}
        if signature.config is None and len(configs) == 1:
            signature = signature._replace(config=next(iter(configs)))
        signatures[cell.path] = signature
    return signatures


def configurations_of(cells: Sequence[CorpusCell]) -> tuple[tuple[ModelConfiguration, ...], dict[Path, int]]:
    """The rows that cells make, and which row each is of, by its path."""
    signatures = _signatures(cells)
    newest: dict[_Signature, CorpusCell] = {}
    for cell in sorted(cells, key=lambda cell: (cell.created, str(cell.path))):
        newest[signatures[cell.path]] = cell
    order = sorted(newest, key=lambda signature: tuple(str(part) for part in signature))
    namesakes: dict[tuple[str, str | None], list[list[str]]] = {}
    for signature in order:
        namesakes.setdefault((signature.model, signature.policy), []).append(signature.distinctions())
    keys: set[str] = set()
    configurations = []
    for signature in order:
        name, policy = signature.model, signature.policy
        rivals = namesakes[name, policy]
        differing = [
            word
            for place, word in enumerate(signature.distinctions())
            if len({rival[place] for rival in rivals}) > 1
        ]
        label = " · ".join([name, *differing])
        suffix = "" if policy in (None, DEFAULT_POLICY) else f" {policy}"
        cell = newest[signature]
        configurations.append(
            ModelConfiguration(
                key=unique(slug(label + suffix), keys),
                label=label,
                model=name,
                policy=policy,
                facts=cell.model,
                settings=cell.policy,
            )
        )
    index = {signature: number for number, signature in enumerate(order)}
    return tuple(configurations), {cell.path: index[signatures[cell.path]] for cell in cells}


def unique(key: str, taken: set[str]) -> str:
    """The key, or with a number behind it where it is taken (letter case aside); it is taken then.

    Of a key too long for a file name the end is replaced by a digest.
    """
    if len(key) > _MAX_KEY:
        key = f"{key[: _MAX_KEY - 9]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    numbered, number = key, 1
    while numbered.lower() in taken:
        number += 1
        numbered = f"{key}-{number}"
    taken.add(numbered.lower())
    return numbered


def _corpora(
    cells: Sequence[CorpusCell],
    rows: SharedRows,
    configuration_of: dict[Path, int],
    num_configurations: int,
) -> tuple[ScoredCorpus, ...]:
    groups: dict[tuple[str, str], list[CorpusCell]] = {}
    for cell in cells:
        groups.setdefault((cell.corpus.name, cell.corpus.sha256), []).append(cell)
    names = Counter(name for name, _ in groups)
    keys: set[str] = set()
    corpora = []
    for (name, sha256), members in sorted(groups.items()):
        chosen: dict[int, CorpusCell] = {}
        for cell in sorted(members, key=lambda cell: (cell.created, str(cell.path)), reverse=True):
            first = chosen.setdefault(configuration_of[cell.path], cell)
            of_same_library = cell.model.numerics == first.model.numerics
            if of_same_library and cell.documents.token_bits and not first.documents.token_bits:
                chosen[configuration_of[cell.path]] = (
                    cell  # the same numbers, and those of the tokens besides
                )
        label = name if names[name] == 1 else f"{name} @ {sha256[:8]}"
        corpora.append(_corpus(unique(slug(label), keys), label, chosen, rows, num_configurations))
    return tuple(corpora)


def _corpus(
    key: str, label: str, cells: dict[int, CorpusCell], rows: SharedRows, num_configurations: int
) -> ScoredCorpus:
    newest = max(cells.values(), key=lambda cell: (cell.created, str(cell.path)))
    documents = rows.documents(newest)
    bits = np.full((len(documents.ids), num_configurations), math.nan)
    for configuration, cell in cells.items():
        bits[:, configuration] = rows.take_total_bits(cell)
    # Of a version without the column; other cells may have it.
    dated = (rows.documents(cell).published_at for cell in (newest, *cells.values()))
    days = next((days for days in dated if days is not None), None) or [None] * len(documents.ids)
    return ScoredCorpus(
        key=key,
        label=label,
        facts=newest.corpus,
        ids=tuple(documents.ids),
        digests=tuple(documents.digests),
        titles=tuple(documents.titles),
        clusters=tuple(documents.clusters),
        published_at=tuple(days),
        story_ids=tuple(documents.story_ids or ()),
        languages=tuple(documents.languages or ()),
        num_bytes=documents.num_bytes,
        bits=bits,
        cells=dict(sorted(cells.items())),
    )
