"""One model on one corpus: a cell, or a part of it, from the first document to the file."""

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import NamedTuple

from evalkit.audit.records import kept_fault
from evalkit.cells.corpus_cell import CellSpec, find_cell, write_cell
from evalkit.cells.environment_schema import Environment
from evalkit.cells.partial import PartialCell
from evalkit.cells.proofs import add_proof, has_proof, proof_of
from evalkit.cells.provenance import cell_environment
from evalkit.cells.schema import CorpusCell
from evalkit.coding.proof import check_shows_distributions
from evalkit.corpora.document import Document
from evalkit.corpora.incomplete import mark_corpus_scored
from evalkit.models.loading import with_loaded_details
from evalkit.models.prefixes import Prefix, prefix_under
from evalkit.models.protocol import Model, TokenModel
from evalkit.runner.options import RunOptions
from evalkit.runner.plan import PartScored
from evalkit.runner.reporter import Silent
from evalkit.runner.worker_choice import with_workers
from evalkit.scoring.choices import choice_costs, with_choices
from evalkit.scoring.documents import DocumentScore, score_documents, score_part
from evalkit.scoring.mode_finder import PrefixCost, cheapest, prefix_costs, read_prefix_texts
from evalkit.scoring.parts import Part, places_of_part
from evalkit.scoring.tokens import TokenSpool

_LEAST_S = 1e-9
"""What a clock that stands still makes of any time: speeds are divided by it."""


def find_corpus_cell(spec: CellSpec, key: str, num_proven: int, options: RunOptions) -> CorpusCell | None:
    """The finished cell, if there is one that proves as much as is asked.

    Args:
        spec: of the cell.
        key: the spec's.
        num_proven: documents that were to be coded and decoded.
        options: of the run.

    Raises:
        ModelError: the model has an identity that no cell can keep.
        ScoringError: a file cannot be read, or not be moved.
    """
    cell = find_cell(
        spec,
        options.folder,
        warn=options.reporter.message,
        dry_run=options.dry_run,
        accept_versions=options.accept_versions,
        key=key,
    )
    return cell if cell is not None and has_proof(cell, num_proven) else None


def score_corpus_cell(spec: CellSpec, num_proven: int, model: Model, options: RunOptions) -> CorpusCell:
    """Score a model on a corpus and write the cell; what it lacks but a proof is not scored again.

    Args:
        spec: of the cell.
        num_proven: documents that are coded and decoded too.
        model: of the spec.
        options: of the run.

    Raises:
        ScoringError: as by `evalkit.scoring.documents.score_documents`.
    """
    if num_proven:
        check_shows_distributions(model)
        finished = find_corpus_cell(spec, spec.key(), 0, options)
        if finished is not None:  # it lacks nothing but this
            return add_proof(finished, proof_of(model, spec, num_proven, finished.policy.prefix_ids))
    scored = with_workers(functools.partial(_scored, spec, model, options), model, _documents(spec), options)
    failed_audit = kept_fault(options.folder, spec.identity)
    identity = with_loaded_details(spec.identity, model)
    spec = spec._replace(identity=identity, failed_audit=failed_audit)
    mark_corpus_scored(spec.corpus)
    begun, scores = scored.begun, scored.scores
    prefix = begun.prefix
    proof = proof_of(model, spec, num_proven, prefix.ids if prefix else None) if num_proven else None
    return write_cell(
        spec,
        scores[: len(spec.corpus.documents)],
        options.folder,
        seconds=scored.seconds,
        prefix=prefix,
        environment=begun.environment,
        tried=begun.tried,
        proof=proof,
        choices=choice_costs(spec.corpus.documents, scores),
    )


class _Scored(NamedTuple):
    """What the documents of a cell cost."""

    begun: "_Begun"
    scores: Sequence[DocumentScore]
    seconds: float
    """All attempts together."""


def _scored(spec: CellSpec, model: Model, options: RunOptions, num_workers: int) -> _Scored:
    begun = _begin(spec, model, options)
    started_s = time.perf_counter()
    try:
        scores = score_documents(
            model,
            begun.documents,
            spec.policy,
            spool=begun.spool,
            progress=options.reporter.advance,
            prefix=begun.prefix,
            log=begun.log,
            num_workers=num_workers,
        )
    except BaseException:
        begun.log.write()
        raise
    return _Scored(begun, scores, max(begun.log.seconds + time.perf_counter() - started_s, _LEAST_S))


def score_corpus_part(
    spec: CellSpec, num_proven: int, part: Part, model: Model, options: RunOptions
) -> PartScored:
    """Score a part of a cell, and write the cell where all others are finished."""
    documents = _documents(spec)
    with_workers(
        functools.partial(_score_places, spec, part, model, options),
        model,
        [documents[place] for place in places_of_part(documents, part)],
        options,
    )
    # Of those that end at one time, each has written before it looks: one sees all.
    silent = dataclasses.replace(options, reporter=Silent())
    path = spec.path(options.folder)
    if options.is_elsewhere and options.remote is not None:
        options.remote.fetch(path, again=True)
    if not path.exists() and len(_begin(spec, model, silent).log.scores) == len(documents):
        score_corpus_cell(spec, num_proven, model, silent)
    return PartScored()


def _score_places(spec: CellSpec, part: Part, model: Model, options: RunOptions, num_workers: int) -> None:
    begun = _begin(spec, model, options, part)
    try:
        score_part(
            model,
            begun.documents,
            spec.policy,
            part,
            spool=begun.spool,
            progress=options.reporter.advance,
            prefix=begun.prefix,
            log=begun.log,
            num_workers=num_workers,
        )
    finally:
        begun.log.write()


def _documents(spec: CellSpec) -> Sequence[Document]:
    """Of the corpus, and what else is scored for their choices."""
    return with_choices(spec.corpus.documents)


class _Begun(NamedTuple):
    """What the scoring of a cell goes by."""

    environment: Environment
    prefix: Prefix | None
    tried: Sequence[PrefixCost]
    spool: TokenSpool | None
    documents: Sequence[Document]
    """Of the corpus, and what else is scored for their choices."""
    log: PartialCell


def _begin(spec: CellSpec, model: Model, options: RunOptions, part: Part | None = None) -> _Begun:
    environment = cell_environment(options.device if isinstance(model, TokenModel) else None)
    prefix, tried = _prefix(model, spec) if isinstance(model, TokenModel) else (None, ())
    spool = TokenSpool(options.folder) if spec.token_bits else None
    documents = _documents(spec)
    path, warn = spec.path(options.folder), options.reporter.message
    exchange = options.remote if options.is_elsewhere else None
    if exchange is not None:
        exchange.documents.fetch(path, warn=warn)
    log = PartialCell(
        path,
        documents,
        environment=environment,
        prefix=prefix,
        spool=spool,
        warn=warn,
        interval_s=options.checkpoint_s,
        places=None if part is None else places_of_part(documents, part),
        written=None if exchange is None else functools.partial(exchange.documents.store, warn=warn),
    )
    return _Begun(environment, prefix, tried, spool, documents, log)


def _prefix(model: TokenModel, spec: CellSpec) -> tuple[Prefix, Sequence[PrefixCost]]:
    """What is read before a document, and where that is the cheapest of several what each costs."""
    if not spec.candidates:
        return prefix_under(model, spec.policy), ()
    costs = prefix_costs(model, spec.candidates, spec.prefix_texts or read_prefix_texts())
    return cheapest(costs), costs
