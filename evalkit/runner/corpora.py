"""`run`: score what is missing, keep what is there, and say plainly what failed."""

import dataclasses
import gc
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from evalkit import environment
from evalkit.cells.corpus_cell import COMPRESSION_RATE_PERCENT_PER_BPB, Cell, Task, find_cell, write_cell
from evalkit.corpora.store import BUILTIN_NAMES, Corpus, check_corpus_name, load_corpus
from evalkit.dates import last_day
from evalkit.errors import EvalkitError, UsageError, one_line
from evalkit.models.catalog import MIN_CONTEXT_LIMIT
from evalkit.models.loading import LocatedModel, locate_models
from evalkit.models.protocol import Codec, LoadOptions, Model, TokenModel
from evalkit.scoring.documents import Progress, score_documents
from evalkit.scoring.policy import check_policy
from evalkit.stats import Interval, percentile_interval, resampled_ratios

DEFAULT_MODELS = ("rwkv7-nano", "llama-nano", "xz", "zstd", "brotli", "ppmd")
DEFAULT_CORPORA = ("python-stdlib",)
DEFAULT_OUTPUT = Path("runs")


class Reporter(Protocol):
    """Who is told how a run goes; see `evalkit.runner.progress` for those of the command line."""

    def message(self, text: str) -> None:
        """Something worth a line."""
        ...

    def plan(self, planned: "Sequence[PlannedCell]") -> None:
        """What will be done; called once, before anything is."""
        ...

    def start(self, model: str, corpus: str, num_documents: int) -> None:
        """A cell's scoring begins."""
        ...

    def advance(self, progress: Progress) -> None:
        """It goes on."""
        ...

    def finish(self) -> None:
        """It has ended, one way or the other."""
        ...


class Silent:
    """A reporter for programs: says nothing."""

    def message(self, text: str) -> None:
        """See `Reporter`."""

    def plan(self, planned: "Sequence[PlannedCell]") -> None:
        """See `Reporter`."""

    def start(self, model: str, corpus: str, num_documents: int) -> None:
        """See `Reporter`."""

    def advance(self, progress: Progress) -> None:
        """See `Reporter`."""

    def finish(self) -> None:
        """See `Reporter`."""


@dataclasses.dataclass
class PlannedCell:
    """A cell of the plan: already there, or to be scored."""

    located: LocatedModel
    task: Task
    cell: Cell | None


@dataclasses.dataclass(frozen=True)
class Failure:
    """A cell that could not be scored."""

    model: str
    corpus: str
    reason: str


@dataclasses.dataclass(frozen=True)
class RankedModel:
    """A model's place in the ranking."""

    model: str
    bits_per_byte: float | None
    """Macro average: the plain mean over the corpora; None where a corpus is missing."""
    interval: Interval | None
    cells: dict[str, Cell]
    """By corpus name."""


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a run found or made."""

    corpora: tuple[str, ...]
    models: tuple[str, ...]
    policy: str
    cells: tuple[Cell, ...]
    failures: tuple[Failure, ...]
    num_scored: int
    """Cells that this run computed; the others were there."""
    num_predating: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    """By model and corpus: documents that were published before the model's cutoff, or release, was over."""

    def ranking(self) -> list[RankedModel]:
        """Models by macro average, lowest first; those with a missing corpus come last."""
        ranking = []
        for model in self.models:
            cells = {cell.corpus: cell for cell in self.cells if cell.model == model}
            complete = len(cells) == len(self.corpora)
            mean = math.fsum(cell.bits_per_byte for cell in cells.values()) / len(self.corpora)
            ranking.append(
                RankedModel(
                    model, mean if complete else None, self._interval(cells) if complete else None, cells
                )
            )
        return sorted(ranking, key=lambda ranked: (ranked.bits_per_byte is None, ranked.bits_per_byte))

    def _interval(self, cells: dict[str, Cell]) -> Interval | None:
        samples = []
        num_clusters = []
        for stream, corpus in enumerate(self.corpora):
            rows = [row for row in cells[corpus].rows() if row["total_bits"] is not None]
            num_clusters.append(len({row["cluster"] for row in rows}))
            samples.append(
                resampled_ratios(
                    [row["total_bits"] for row in rows],
                    [row["num_bytes"] for row in rows],
                    [row["cluster"] for row in rows],
                    stream=stream,
                )
            )
        known = [sample for sample in samples if sample is not None]
        # The corpus with the fewest clusters decides: a little wider than need be.
        mean = np.mean(known, axis=0) if len(known) == len(samples) else None
        return percentile_interval(mean, min(num_clusters))

    def to_json(self) -> dict[str, Any]:
        """The result as strict JSON can hold it."""
        return {
            "schema_version": 1,
            "policy": self.policy,
            "corpora": list(self.corpora),
            "num_scored": self.num_scored,
            "ranking": [
                {
                    "model": ranked.model,
                    "bits_per_byte_macro": ranked.bits_per_byte,
                    "bits_per_byte_macro_low": ranked.interval.low if ranked.interval else None,
                    "bits_per_byte_macro_high": ranked.interval.high if ranked.interval else None,
                    "compression_rate_percent_macro": None
                    if ranked.bits_per_byte is None
                    else COMPRESSION_RATE_PERCENT_PER_BPB * ranked.bits_per_byte,
                }
                for ranked in self.ranking()
            ],
            "cells": [{"file": str(cell.path), **cell.content} for cell in self.cells],
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
        }


def run(
    models: Sequence[str | Model] | None = None,
    corpora: Sequence[str | Corpus] | None = None,
    *,
    policy: str = "document",
    limit: int | None = None,
    output: str | os.PathLike[str] = DEFAULT_OUTPUT,
    device: str = "auto",
    dtype: str = "auto",
    token_bits: bool = False,
    max_context: int | None = None,
    trust_remote_code: bool = False,
    dry_run: bool = False,
    debug: bool = False,
    reporter: Reporter | None = None,
) -> RunResult:
    """Score every model on every corpus, as far as that is not done yet.

    Everything that was asked for is checked before any weights are loaded. Cells that are finished are
    not scored again, so that the same call goes on where it was interrupted. A cell that fails does not
    stop the others.

    Args:
        models: catalog names, ``LOADER:TARGET``, or model objects; None: `DEFAULT_MODELS`.
        corpora: names, paths, or `Corpus` objects; None: `DEFAULT_CORPORA`.
        policy: one of `evalkit.scoring.policy.POLICIES`.
        limit: how many documents of each corpus to score; None: all.
        output: folder of the result cells.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        token_bits: whether to keep the bits of every token.
        max_context: cap on the context of every model that is loaded by name, in token positions.
        trust_remote_code: whether hub repositories may run their own Python.
        dry_run: plan only.
        debug: let an error end the run where it happens.
        reporter: who is told.

    Raises:
        UsageError: a name, an option or a combination of them is wrong.
        CorpusError: a corpus cannot be read.
        ModelError: a model cannot be found or identified.
    """
    reporter = reporter or Silent()
    planned = _plan(
        models if models is not None else DEFAULT_MODELS,
        corpora if corpora is not None else DEFAULT_CORPORA,
        check_policy(policy),
        limit,
        Path(output),
        LoadOptions(device, dtype, trust_remote_code, max_context),
        token_bits,
        dry_run,
        reporter,
    )
    if not dry_run and any(cell.cell is None for cell in planned):
        check_writable(Path(output))
    reporter.plan(planned)
    failures: list[Failure] = []
    num_scored = 0
    if not dry_run:
        for located in {id(cell.located): cell.located for cell in planned}.values():
            missing = [cell for cell in planned if cell.located is located and cell.cell is None]
            if missing:
                failed = _score_model(located, missing, Path(output), device, reporter, debug)
                failures += failed
                num_scored += len(missing) - len(failed)
    return RunResult(
        corpora=tuple(dict.fromkeys(cell.task.corpus.name for cell in planned)),
        models=tuple(dict.fromkeys(cell.task.identity.name for cell in planned)),
        policy=policy,
        cells=tuple(cell.cell for cell in planned if cell.cell is not None),
        failures=tuple(failures),
        num_scored=num_scored,
        num_predating={
            (cell.task.identity.name, cell.task.corpus.name): _num_predating(cell.task) for cell in planned
        },
    )


def _num_predating(task: Task) -> int:
    """Documents that the model may have read: not known to be younger than its training data."""
    details = task.identity.details
    known = details.get("knowledge_cutoff") or details.get("released")
    if task.identity.loader == "codec" or not known:
        return 0
    last = last_day(str(known)).isoformat()
    days = [document.published_at or task.corpus.date_from or "" for document in task.corpus.documents]
    return sum(day[: len("YYYY-MM-DD")] <= last for day in days)


def _plan(
    models: Sequence[str | Model],
    corpora: Sequence[str | Corpus],
    policy: str,
    limit: int | None,
    output: Path,
    options: LoadOptions,
    token_bits: bool,
    dry_run: bool,
    reporter: Reporter,
) -> list[PlannedCell]:
    if not models or not corpora:
        raise UsageError("nothing to do: name at least one model and one corpus")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} leaves no document; give 1 or more")
    if options.max_context is not None and options.max_context < MIN_CONTEXT_LIMIT:
        raise UsageError(
            f"--max-context {options.max_context} is too small; give {MIN_CONTEXT_LIMIT} or more"
        )
    check_device_and_dtype(options)
    for corpus in corpora:
        if isinstance(corpus, str):
            check_corpus_name(corpus)
    located_models = locate_models(models, options)
    loaded = [corpus if isinstance(corpus, Corpus) else load_corpus(corpus) for corpus in corpora]
    names = [corpus.name for corpus in loaded]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two corpora of the name {', '.join(twice)}; import one under another name")
    for corpus in loaded:
        dropped = ", ".join(f"{count} {reason}" for reason, count in corpus.manifest.num_dropped.items())
        # `corpora import` has told so of a stored corpus.
        if dropped and corpus.manifest.parquet_file is None and corpus.name not in BUILTIN_NAMES:
            reporter.message(f"{corpus.name}: documents left out on reading: {dropped}")
    planned = []
    for located in located_models:
        for corpus in loaded:
            limited = corpus if limit is None else corpus.limited(limit)
            cut = limit if len(limited.documents) < len(corpus.documents) else None
            is_codec = located.identity.loader == "codec" or isinstance(located.instance, Codec)
            task = Task(
                located.identity,
                limited,
                "document" if is_codec else policy,
                cut,
                token_bits and not is_codec,
            )
            cell = find_cell(task, output, warn=reporter.message, dry_run=dry_run)
            planned.append(PlannedCell(located, task, cell))
    return planned


def check_device_and_dtype(options: LoadOptions) -> None:
    """Refuse what this machine does not have, also where no model of this run would ask for it."""
    if (options.device, options.dtype) != ("auto", "auto"):
        from evalkit.models.devices import resolve_device, resolve_dtype

        resolve_device(options.device)
        resolve_dtype(options)


def check_writable(output: Path) -> None:
    """Refuse an output folder that cannot be written, before hours of work find out."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write to the output folder {output}: {error.strerror}; give another with --output"
        ) from error


def _score_model(
    located: LocatedModel,
    missing: Sequence[PlannedCell],
    output: Path,
    device: str,
    reporter: Reporter,
    debug: bool,
) -> list[Failure]:
    """Score a model's missing cells; returns those that failed."""
    failures: list[Failure] = []

    def failed(error: Exception, corpora: Sequence[str]) -> None:
        if debug:
            raise error
        reason = one_line(str(error))
        if not isinstance(error, EvalkitError):
            reason = f"{type(error).__name__}: {reason} (run with --debug to see where)"
        for corpus in corpora:
            failures.append(Failure(located.identity.name, corpus, reason))
            reporter.message(f"FAILED {located.identity.name} on {corpus}: {reason}")

    # Whatever a model does, it is named as failed and the other cells go on.
    try:
        model = located.load()
    except Exception as error:
        failed(error, [cell.task.corpus.name for cell in missing])
        return failures
    for cell in missing:
        try:
            _score_cell(model, cell, output, device, reporter)
        except Exception as error:
            failed(error, [cell.task.corpus.name])
        finally:
            reporter.finish()
    frees_memory = located.instance is None and isinstance(model, TokenModel)
    del model
    if frees_memory:
        gc.collect()  # the next model needs it
    return failures


def _score_cell(model: Model, planned: PlannedCell, output: Path, device: str, reporter: Reporter) -> None:
    corpus = planned.task.corpus
    reporter.start(planned.task.identity.name, corpus.name, len(corpus.documents))
    # Before the scoring: what goes wrong here should not cost hours.
    where = environment.environment()
    prefix = None
    if isinstance(model, TokenModel):
        where |= environment.torch_environment(device)
        prefix = model.policy_prefixes.get(planned.task.policy, model.prefix)
    started = time.perf_counter()
    scores = score_documents(
        model,
        corpus.documents,
        planned.task.policy,
        keep_tokens=planned.task.token_bits,
        progress=reporter.advance,
    )
    seconds = time.perf_counter() - started
    planned.cell = write_cell(planned.task, scores, output, seconds=seconds, prefix=prefix, environment=where)
