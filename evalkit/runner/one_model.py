"""Score a model's cells one after the other, in the process that calls."""

import gc
from collections.abc import Iterator, Sequence
from typing import TypeVar

from evalkit.audit.records import audit_path, check_audit, kept_audit, write_audit
from evalkit.errors import EvalkitError, ScoringError, disk_error, one_line
from evalkit.garbage import only_what_is_new
from evalkit.models.allocator import return_freed_memory
from evalkit.models.protocol import Model, ModelIdentity, TokenModel
from evalkit.runner.claims import claimed
from evalkit.runner.options import RunOptions
from evalkit.runner.plan import Busy, Failure, PartScored, PlannedCell
from evalkit.scoring.workers import WorkerEndedError

CellT = TypeVar("CellT", covariant=True)


class BrokenProcessError(ScoringError):
    """This process cannot go on, and another can: its GPU or a fork of it has failed for good."""


def score_model(
    cells: Sequence[PlannedCell[CellT]], options: RunOptions, *, is_alone: bool = False
) -> Iterator[tuple[CellT | Failure | Busy | PartScored, bool]]:
    """Load a model and score its cells.

    Args:
        cells: of one model.
        options: of the run.
        is_alone: whether this process is there for the model alone.

    Yields:
        For each cell what came of it, and whether it was scored now.

    Raises:
        DiskError: the output folder cannot be written anymore.
        BrokenProcessError: where the process is there for the model alone: it is of no use anymore.
    """
    with only_what_is_new():
        yield from _score_model(cells, options, is_alone)


def _score_model(
    cells: Sequence[PlannedCell[CellT]], options: RunOptions, is_alone: bool
) -> Iterator[tuple[CellT | Failure | Busy | PartScored, bool]]:
    located = cells[0].located
    # Whatever a model does, it is named as failed and the other cells go on: also what is no Exception, as
    # the panics of libraries in Rust or a model's own `sys.exit`.
    try:
        if not options.unaudited:
            check_audit(options.folder, located.identity)
        model = located.load()
        if options.audit and isinstance(model, TokenModel):
            _audit(model, located.identity, options)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        yield from [(failure_of(cell, error, options), False) for cell in cells]
        return
    for cell in cells:
        yield _score_claimed(model, cell, options, is_alone)
    frees_memory = located.instance is None and isinstance(model, TokenModel)
    del model
    if frees_memory:
        gc.collect()  # the next model needs it
        return_freed_memory()


def _audit(model: TokenModel, identity: ModelIdentity, options: RunOptions) -> None:
    """Audit a model that never was, and keep what came of it.

    Raises:
        ModelError: it failed, and is not to be scored all the same; or it raises something.
        ScoringError: it can represent nothing of the audit's texts.
    """
    if kept_audit(options.folder, identity) is not None:
        return
    from evalkit.audit.auditing import audit_model  # torch, which compressors do without

    audit = audit_model(model, extent="short")
    write_audit(audit, audit_path(options.folder, identity))
    outcome = "passed its audit" if audit.passed else f"failed its audit: {audit.likely_fault}"
    options.reporter.message(f"{identity.name}: {outcome}, {audit.num_tokens_read:,} tokens read")
    if not options.unaudited:
        check_audit(options.folder, identity)


def _score_claimed(
    model: Model, planned: PlannedCell[CellT], options: RunOptions, is_alone: bool
) -> tuple[CellT | Failure | Busy | PartScored, bool]:
    try:
        if planned.part is not None:  # the run has claimed the whole
            outcome = _score_cell(model, planned, options)
            return outcome, False
        with claimed(planned.path) as is_ours:
            if not is_ours:
                return Busy(), False
            # Another run may have been here since the plan was made.
            cell = planned.find(options) if planned.path.exists() else None
            if cell is not None:
                return cell, False
            outcome = _score_cell(model, planned, options)
            return outcome, not isinstance(outcome, Failure)
    except BrokenProcessError as error:
        if is_alone:
            raise
        return failure_of(planned, error, options), False
    except (OSError, EvalkitError) as error:  # of the claim, or of what lies in the cell's place
        full = disk_error(error, options.folder)
        if full is not None:
            raise full from error
        return failure_of(planned, error, options), False


def _score_cell(
    model: Model, planned: PlannedCell[CellT], options: RunOptions
) -> CellT | Failure | PartScored:
    options.reporter.start(planned.model, planned.subject, planned.num_parts)
    try:
        return planned.score(model, options)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        full = disk_error(error, options.folder)
        if full is not None:
            raise full from error
        if isinstance(error, WorkerEndedError):
            raise BrokenProcessError(str(error)) from error
        if isinstance(error, RuntimeError) and "CUDA error" in str(error):
            raise BrokenProcessError(f"lost its GPU ({one_line(str(error))})") from error
        return failure_of(planned, error, options)
    finally:
        options.reporter.finish()


def finished(planned: PlannedCell[CellT], options: RunOptions) -> CellT | Failure | None:
    """The cell that another run or process has finished; a failure where its files cannot be read."""
    try:
        if options.remote is not None:
            options.remote.fetch(planned.path, again=True)
        return planned.find(options)
    except EvalkitError as error:
        return failure_of(planned, error, options)


def failure_of(planned: PlannedCell[CellT], error: BaseException, options: RunOptions) -> Failure:
    """Tell that a cell failed, and why.

    Raises:
        BaseException: the error itself, where the run is one for finding errors.
    """
    if options.debug:
        raise error
    reason = one_line(str(error))
    if not isinstance(error, EvalkitError):
        reason = f"{type(error).__name__}: {reason} (run with --debug to see where)"
    return told_failure(planned, reason, options)


def told_failure(planned: PlannedCell[CellT], reason: str, options: RunOptions) -> Failure:
    """Tell that a cell failed."""
    options.reporter.message(f"FAILED {planned.model} on {planned.subject}: {reason}")
    return Failure(planned.model, planned.subject, reason)
