"""Cells: what one model scored on one corpus under one policy, on disk and whole or absent.

``<output>/<corpus>/<model>/<key>.json`` holds the totals and where they come from;
``<key>.parquet`` a row per document. The key is a digest of everything that determines the numbers, so
that a change of anything makes a new cell and nothing is overwritten (`evalkit.cells.files`).

The Parquet's columns: ``id, sha256, title, cluster, num_bytes, num_tokens, total_bits, lossy``, since
December 2026 ``published_at``, where documents have choices `CHOICE_COLUMNS`, and with ``--token-bits`` the
lists ``token_bits`` (float32, null where unpaid) and ``token_ends`` (byte offsets).
"""

import dataclasses
import datetime as dt
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.cells import files as cell_files
from evalkit.cells.choices import choice_columns
from evalkit.cells.environment_schema import Environment
from evalkit.cells.keys import (
    accepted,
    cell_model_parts,
    cells_in,
    check_parts,
    context_prefix_parts,
    differ_in_versions_only,
    identity_parts,
    key_of,
    protocol_prefix_parts,
)
from evalkit.cells.known import names_in, remember_known
from evalkit.cells.partial import partial_folder, remove_partial
from evalkit.cells.policy_schema import CellPolicy, TriedPrefix
from evalkit.cells.provenance import cell_model, check_identity
from evalkit.cells.reading import cell_of, check_kind, checked_cell_of
from evalkit.cells.renewal import (
    cluster_of,
    corpus_facts,
    current_cell,
    metrics_of,
    renewed_files,
)
from evalkit.cells.rows import write_rows
from evalkit.cells.schema import (
    CellDocuments,
    CellMetrics,
    CellProof,
    CellTotals,
    CorpusCell,
    LossyDocument,
    content_of,
)
from evalkit.corpora.store import Corpus
from evalkit.errors import ScoringError
from evalkit.files import TEMPORARY_SUFFIX, slug
from evalkit.models.prefixes import NO_PREFIX, WITH_CONTEXT, Prefix, token_text
from evalkit.models.protocol import ModelIdentity
from evalkit.scoring.choices import ChoiceCosts
from evalkit.scoring.documents import SCORER_VERSION, DocumentScore
from evalkit.scoring.mode_finder import PrefixCost, PrefixTexts, read_prefix_texts, search_rule
from evalkit.scoring.policy import HARNESS_POLICY


class CellSpec(NamedTuple):
    """A cell to be: everything that its key is made of, known before a model is loaded."""

    identity: ModelIdentity
    corpus: Corpus
    """Already limited."""
    policy: str
    limit: int | None
    """None where no document was left out."""
    token_bits: bool = False
    prefix_texts: PrefixTexts | None = None
    """What the model's `ModelIdentity.prefix_candidates` are tried on, where the policy has any tried."""
    failed_audit: str | None = None
    """The fault for which the model failed its audit, and is scored all the same; no part of the key."""

    @property
    def candidates(self) -> tuple[Prefix, ...]:
        """The prefixes of which the cheapest is read; none where the policy or the model has no choice."""
        return self.identity.prefix_candidates.get(self.policy, ())

    def key(self, *, token_bits: bool | None = None) -> str:
        """Digest of what determines the numbers: 24 hexadecimal digits."""
        return key_of(self.parts(self.token_bits if token_bits is None else token_bits))

    def parts(self, token_bits: bool) -> dict[str, object]:
        """What the key is a digest of."""
        return {
            **identity_parts(self.identity),
            **self._protocol_prefix_parts(),
            **context_prefix_parts(self.context_prefix()),
            "policy": self.policy,
            "corpus": self.corpus.sha256,
            "limit": self.limit,
            "token_bits": token_bits,
            "scorer": SCORER_VERSION,
            "schema": cell_files.KEY_SCHEMA,
        }

    def _protocol_prefix_parts(self) -> dict[str, object]:
        if self.candidates:
            return {"prefix": self.search_rule()}
        prefix = self.identity.policy_prefixes.get(self.policy)
        return {} if prefix is None else protocol_prefix_parts(prefix.ids, prefix.chunk_ids)

    def context_prefix(self) -> tuple[int, ...] | None:
        """What is read before a document's context where that is not what is read before any document."""
        if self.policy != HARNESS_POLICY or not self.corpus.has_contexts:
            return None
        return self.identity.policy_prefixes.get(WITH_CONTEXT, NO_PREFIX).ids

    def search_rule(self) -> str:
        """What the key has for a prefix that is found by trying `candidates`."""
        return search_rule(self.candidates, self.prefix_texts or read_prefix_texts())

    def folder_name(self, output: Path) -> str:
        """Where the cell's files lie.

        A text: of thousands of cells in a plan the paths take longer to make than the keys.
        """
        return f"{output}/{slug(self.corpus.name)}/{slug(self.identity.name)}"

    def folder(self, output: Path) -> Path:
        """The same as a path."""
        return Path(self.folder_name(output))

    def path(self, output: Path, *, token_bits: bool | None = None) -> Path:
        """The cell's JSON file."""
        return self.folder(output) / f"{self.key(token_bits=token_bits)}.json"


def find_cell(
    spec: CellSpec,
    output: Path,
    *,
    warn: Callable[[str], None],
    dry_run: bool = False,
    accept_versions: bool = False,
    key: str | None = None,
) -> CorpusCell | None:
    """The finished cell of a spec, or None; a cell with token bits serves one without.

    Files that are no such cell (damaged, of another schema or model, numbers that are not those of the rows)
    are moved aside, except in a dry run, and ``warn`` is told (`cell_files.find`). Where the texts are the
    same and something else is said of them now, the cell is made anew of the same bits
    (`evalkit.cells.renewal`).

    Args:
        spec: the cell.
        output: the folder of all results.
        warn: gets a line for what is wrong with a file, or for what was accepted.
        dry_run: leave damaged files where they are.
        accept_versions: where the cell is not there, take the newest that another generation of the library
            computed.
        key: the spec's, where it has been computed.

    Raises:
        ModelError: the model's identity cannot be kept in a cell.
        ScoringError: a file cannot be read, or not be moved.
    """
    check_identity(spec.identity)  # what is wrong with it is told before anything is scored
    names = names_in(spec.folder_name(output))
    folder = spec.folder(output) if names or accept_versions else Path()
    is_swept = not any(name.endswith(TEMPORARY_SUFFIX) for name in names)
    for token_bits in ((True,) if spec.token_bits else (False, True)) if names else ():
        is_of_spec = key is not None and token_bits == spec.token_bits
        path = folder / f"{key if is_of_spec else spec.key(token_bits=token_bits)}.json"
        parse = functools.partial(_parsed, spec, token_bits)
        candidates = [
            cell_files.find(
                candidate,
                functools.partial(parse, candidate),
                warn=warn,
                again="scored again",
                dry_run=dry_run,
                is_swept=is_swept,
            )
            for candidate in [path, *renewed_files(path, names)]
            if candidate.name in names
        ]
        if cells := [cell for cell in candidates if cell is not None]:
            if not dry_run and partial_folder(path).name in names:
                remove_partial(path)  # of a run that was killed between the cell's writing and its end
            current = current_cell(cells, spec.corpus, path, warn=warn, dry_run=dry_run)
            if is_of_spec and current is cells[0]:
                remember_known(path.stem, spec.corpus, current)
            return _named(current, spec)
    return _of_versions(spec, output, warn=warn, dry_run=dry_run) if accept_versions else None


def _of_versions(
    spec: CellSpec, output: Path, *, warn: Callable[[str], None], dry_run: bool
) -> CorpusCell | None:
    """The newest cell of a spec but for the generation of the library; arguments are those of `find_cell`."""
    for cell in cells_in(spec.folder(output), warn=warn):
        if isinstance(cell, CorpusCell) and any(
            differ_in_versions_only(_cell_parts(cell, spec), spec.parts(token_bits))
            for token_bits in {spec.token_bits, True}
        ):
            warn(accepted(spec.identity, cell.corpus.name, cell.model))
            path = cell.path.with_stem(cell.path.stem.partition("-")[0])
            return _named(current_cell([cell], spec.corpus, path, warn=warn, dry_run=dry_run), spec)
    return None


def _parsed(spec: CellSpec, token_bits: bool, path: Path, content: Mapping[str, object]) -> CorpusCell:
    """The cell of a spec from its JSON.

    Raises:
        FieldError: it is none, or another's.
    """
    cell = checked_cell_of(CorpusCell, path, content)
    check_parts(_cell_parts(cell, spec), spec.parts(token_bits))
    return cell


def _cell_parts(cell: CorpusCell, spec: CellSpec) -> dict[str, object]:
    """What `CellSpec.parts` were when the cell was computed, if it was one of the same policy."""
    by_ids = spec.policy == cell.policy.name and spec.policy in spec.identity.policy_prefixes
    return cell_parts(cell, prefix_by_ids=by_ids)


def cell_parts(cell: CorpusCell, *, prefix_by_ids: bool) -> dict[str, object]:
    """What the key of a cell is a digest of.

    Args:
        cell: as it was read.
        prefix_by_ids: whether its policy's protocol says by ids what is read before a document, which no
            cell says.
    """
    policy = cell.policy
    ids, chunk_ids = policy.prefix_ids or (), policy.chunk_prefix_ids or ()
    return {
        **cell_model_parts(cell.model, policy.planned_rule or policy.prefix_rule, policy.context_limit),
        **(protocol_prefix_parts(ids, chunk_ids) if prefix_by_ids else {}),
        **context_prefix_parts(policy.context_prefix_ids),
        "policy": policy.name,
        "corpus": cell.corpus.sha256,
        "limit": cell.corpus.limit,
        "token_bits": cell.documents.token_bits,
        "scorer": cell.scorer_version,
        "schema": cell_files.KEY_SCHEMA,
    }


def _named(cell: CorpusCell, spec: CellSpec) -> CorpusCell:
    """A cell under the name asked for: ``a/b`` and ``a-b`` share a folder, and a model may be both."""
    if cell.model.name == spec.identity.name:
        return cell
    return dataclasses.replace(cell, model=dataclasses.replace(cell.model, name=spec.identity.name))


def write_cell(
    spec: CellSpec,
    scores: Sequence[DocumentScore],
    output: Path,
    *,
    seconds: float,
    prefix: Prefix | None,
    environment: Environment,
    tried: Sequence[PrefixCost] = (),
    proof: CellProof | None = None,
    choices: Sequence[ChoiceCosts | None] | None = None,
) -> CorpusCell:
    """Write a cell's two files, the JSON last, and return it.

    Where another run has finished the same cell meanwhile, that one stays and is returned.

    Args:
        spec: what was scored.
        scores: a score per document, in the corpus's order.
        output: the folder of all results.
        seconds: time that the scoring took, without loading.
        prefix: what was read before each document; None for a codec.
        environment: from `evalkit.cells.provenance.cell_environment`.
        tried: what the prefixes cost of which this is the cheapest.
        proof: documents that were decoded again.
        choices: what the documents' choices cost; None where there are none.

    Raises:
        ScoringError: no document could be scored.
    """
    scored = _scored(spec, scores)
    path = spec.path(output)

    def content(parquet_sha256: str) -> dict[str, object]:
        cell = CorpusCell(
            path=path,
            schema_version=cell_files.SCHEMA_VERSION,
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            seconds=seconds,
            model=cell_model(spec.identity),
            corpus=corpus_facts(spec.corpus, spec.limit),
            policy=_policy(spec, prefix, tried),
            totals=_totals(scored),
            metrics=_metrics(scored, seconds),
            documents=_documents(spec, scores, path, parquet_sha256),
            environment=environment,
            scorer_version=SCORER_VERSION,
            proof=proof,
            failed_audit=spec.failed_audit,
            sha256="",  # `cell_files.write` takes it
        )
        return content_of(cell)

    further = choice_columns(choices)
    rows = functools.partial(write_rows, scores=scores, token_bits=spec.token_bits, further=further)
    parse = functools.partial(_parsed, spec, spec.token_bits, path)
    written = cell_files.write(path, rows, content, parse)
    remove_partial(path)
    return _named(check_kind(CorpusCell, cell_of(path, written)), spec)


def _scored(spec: CellSpec, scores: Sequence[DocumentScore]) -> list[DocumentScore]:
    scored = [score for score in scores if score.total_bits is not None]
    if not scored:
        reason = scores[0].lossy if scores else "the corpus is empty"
        raise ScoringError(f"no document of {spec.corpus.name} could be scored: {reason}")
    return scored


def _policy(spec: CellSpec, prefix: Prefix | None, tried: Sequence[PrefixCost]) -> CellPolicy:
    limit = spec.identity.context_limit
    if prefix is None:
        return CellPolicy(name=spec.policy, context_limit=limit, prefix_rule="none", prefix_ids=None)
    planned_rule = spec.search_rule() if tried else spec.identity.prefix
    is_as_planned = prefix.rule == planned_rule or spec.policy in spec.identity.policy_prefixes
    names = spec.identity.token_names
    return CellPolicy(
        name=spec.policy,
        context_limit=limit,
        prefix_rule=prefix.rule,
        prefix_ids=prefix.ids,
        prefix_text=token_text(prefix.ids, names),
        chunk_prefix_ids=prefix.chunk_ids or None,
        context_prefix_ids=spec.context_prefix(),
        planned_rule=None if is_as_planned else planned_rule,
        tried_prefixes=tuple(
            TriedPrefix(rule=of.rule, ids=of.ids, text=token_text(of.ids, names), bits_per_byte=bits_per_byte)
            for of, bits_per_byte in tried
        )
        or None,
    )


def _documents(
    spec: CellSpec, scores: Sequence[DocumentScore], path: Path, parquet_sha256: str
) -> CellDocuments:
    lossy = [
        LossyDocument(id=score.document.id, reason=score.lossy) for score in scores if score.lossy is not None
    ]
    has_tokens = any(score.num_tokens is not None for score in scores)
    return CellDocuments(
        parquet=path.with_suffix(".parquet").name,
        parquet_sha256=parquet_sha256,
        num_lossy=sum(score.total_bits is None for score in scores),
        lossy=tuple(lossy),
        num_literal=sum(score.is_literal for score in scores) if has_tokens else None,
        token_bits=spec.token_bits,
    )


def _totals(scored: Sequence[DocumentScore]) -> CellTotals:
    tokens = [score.num_tokens for score in scored if score.num_tokens is not None]
    return CellTotals(
        num_documents=len(scored),
        num_bytes=sum(score.document.num_bytes for score in scored),
        num_tokens=sum(tokens) if tokens else None,
        total_bits=math.fsum(score.total_bits or 0.0 for score in scored),
    )


def _metrics(scored: Sequence[DocumentScore], seconds: float) -> CellMetrics:
    bits = [score.total_bits or 0.0 for score in scored]
    num_bytes = [score.document.num_bytes for score in scored]
    clusters = [cluster_of(score.document) for score in scored]
    return metrics_of(_totals(scored), bits, num_bytes, clusters, seconds)
