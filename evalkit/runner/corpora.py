"""`run`: models on corpora."""

import contextlib
import dataclasses
import functools
import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evalkit.analysis.cutoff import DatedDocuments
from evalkit.analysis.document_dates import documents_of_corpus
from evalkit.cells.corpus_cell import CellSpec
from evalkit.cells.known import is_known_cell
from evalkit.cells.schema import CorpusCell
from evalkit.coding.proof import check_decodable, check_no_contexts
from evalkit.corpora.document import check_limit
from evalkit.corpora.incomplete import incomplete_text
from evalkit.corpora.lazy_documents import may_have_conditions
from evalkit.corpora.store import BUILTIN_NAMES, Corpus, check_corpus_name, load_corpora
from evalkit.errors import UsageError
from evalkit.lazy import LazyMapping
from evalkit.models.catalog import DUEL_MODELS
from evalkit.models.codecs import CODECS
from evalkit.models.loading import LocatedModel, locate_models
from evalkit.models.prefixes import CHEAPEST
from evalkit.models.protocol import Codec, Model
from evalkit.runner import parts
from evalkit.runner.corpus_scoring import find_corpus_cell, score_corpus_cell, score_corpus_part
from evalkit.runner.loop import score_missing
from evalkit.runner.options import RunOptions, listed
from evalkit.runner.plan import PlannedCell, places_of_run, planned_cell, work_of
from evalkit.runner.ranking import RunResult
from evalkit.runner.reporter import Reporter
from evalkit.runner.unaudited import unaudited_models
from evalkit.scoring.choices import with_choices
from evalkit.scoring.mode_finder import read_prefix_texts
from evalkit.scoring.policy import DEFAULT_POLICY, check_policy, check_prefix_fits, check_reads_contexts

DEFAULT_MODELS = (*DUEL_MODELS, *CODECS)
DEFAULT_CORPORA = ("python-stdlib",)


def run(
    models: str | Model | LocatedModel | Sequence[str | Model | LocatedModel] | None = None,
    corpora: str | os.PathLike[str] | Corpus | Sequence[str | os.PathLike[str] | Corpus] | None = None,
    *,
    policy: str = DEFAULT_POLICY,
    limit: int | None = None,
    token_bits: bool = False,
    prove: int = 0,
    options: RunOptions | None = None,
) -> RunResult:
    """Score every model on every corpus, as far as that is not done yet.

    Names, options and corpora are checked before any weights are loaded. Cells that are finished are not
    scored again, so that the same call goes on where it was interrupted. A cell that fails does not stop
    the others.

    Args:
        models: catalog names, ``LOADER:TARGET``, model objects, or what `locate_models` gave; a single one,
            or names by commas, too; None: `DEFAULT_MODELS`.
        corpora: names, also of sets, paths, or `Corpus` objects, or a single one; None: `DEFAULT_CORPORA`.
        policy: one of `evalkit.scoring.policy.POLICIES`.
        limit: how many documents of each corpus to score; None: all.
        token_bits: whether to keep the bits of every token.
        prove: how many documents of each cell to code and decode again; finished cells get what they lack.
        options: output folder, device, precision and the like; None: the defaults.

    Raises:
        UsageError: a name, an option or a combination of them is wrong.
        CorpusError: a corpus cannot be read.
        ModelError: there is no file at a path, or none of the models can be found and identified.
    """
    options = options or RunOptions()
    models = DEFAULT_MODELS if models is None else listed(models)
    corpora = DEFAULT_CORPORA if corpora is None else listed(corpora)
    if not models or not corpora:
        raise UsageError("nothing to do: name at least one model and one corpus")
    _check_request(policy, limit, prove)
    options.check()
    check_prefix_fits(policy, options.load_options.prefix)
    for name in (os.fspath(corpus) for corpus in corpora if not isinstance(corpus, Corpus)):
        check_corpus_name(name)
    with _seldom_collected():
        located_models = locate_models(models, options.load_options)
        loaded = _load_corpora(corpora, options.reporter)
        _check_contexts(loaded, policy, prove)
        specs = _of_shard(planned_specs(located_models, loaded, policy, limit, token_bits), options)
        planned = planned_cells(specs, options, prove)
        _read_documents(specs, planned, options)
    result = score_missing(planned, options)
    scored = {spec.corpus.name: spec.corpus for _, spec in specs}
    return RunResult(
        corpora=tuple(scored),
        models=tuple(dict.fromkeys(located.identity.name for located, _ in specs)),
        policy=policy,
        cells=result.cells,
        failures=result.failures,
        num_scored=result.num_scored,
        documents=_days_of(scored),
        unaudited=unaudited_models(result.first_cells, options),
    )


def _days_of(corpora: Mapping[str, Corpus]) -> Mapping[str, DatedDocuments]:
    return LazyMapping({name: functools.partial(documents_of_corpus, of) for name, of in corpora.items()})


def _read_documents(
    specs: Sequence[tuple[LocatedModel, CellSpec]],
    planned: Sequence[PlannedCell[CorpusCell]],
    options: RunOptions,
) -> None:
    """Read what is to be scored: processes that are made of this one share it, as far as it stays."""
    missing = (spec.corpus for (_, spec), cell in zip(specs, planned, strict=True) if cell.finished is None)
    for corpus in {id(corpus): corpus for corpus in missing if not options.dry_run}.values():
        next(iter(corpus.documents), None)


def _of_shard(
    specs: Sequence[tuple[LocatedModel, CellSpec]], options: RunOptions
) -> list[tuple[LocatedModel, CellSpec]]:
    works = [(located, work_of(located, spec.corpus.num_bytes)) for located, spec in specs]
    return [specs[place] for place in places_of_run(works, options)]


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """With few looks for garbage: they go through all documents and cells of a plan, again and again."""
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def _check_request(policy: str, limit: int | None, num_proven: int) -> None:
    check_policy(policy)
    check_limit(limit)
    if num_proven:
        check_decodable(policy)


def _check_contexts(corpora: Sequence[Corpus], policy: str, num_proven: int) -> None:
    check_reads_contexts(policy, corpora)
    if num_proven:
        check_no_contexts(corpora)


def planned_specs(
    located_models: Sequence[LocatedModel],
    corpora: Sequence[Corpus],
    policy: str,
    limit: int | None,
    token_bits: bool,
) -> list[tuple[LocatedModel, CellSpec]]:
    """The cells of a plan, for each model those of all corpora; arguments are those of `run`."""
    texts = read_prefix_texts() if policy == CHEAPEST else None
    limited = [corpus if limit is None else corpus.limited(limit) for corpus in corpora]
    specs = []
    for located in located_models:
        is_codec = located.identity.loader == "codec" or isinstance(located.instance, Codec)
        for corpus, part in zip(corpora, limited, strict=True):
            spec = CellSpec(
                located.identity,
                part,
                DEFAULT_POLICY if is_codec else policy,  # a codec has no tokens
                limit if len(part.documents) < len(corpus.documents) else None,
                token_bits and not is_codec,
                texts,
            )
            specs.append((located, spec))
    return specs


def _load_corpora(corpora: Sequence[str | os.PathLike[str] | Corpus], reporter: Reporter) -> list[Corpus]:
    loaded = load_corpora(corpora)
    names = [corpus.name for corpus in loaded]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two corpora of the name {', '.join(twice)}; import one under another name")
    origins = [corpus.manifest.provenance for corpus in loaded if corpus.manifest.parquet_file is None]
    for name, commit in dict.fromkeys((of["input"], of["revision"]) for of in origins if "revision" in of):
        reporter.message(f"{name}: commit {commit}")
    for corpus in loaded:
        if corpus.manifest.incomplete:
            reporter.message(
                f"{corpus.name} is incomplete ({incomplete_text(corpus.manifest)}): the command that made "
                "it, run again, completes it; once scored it stays, and the whole one gets a name of its own"
            )
        dropped = ", ".join(f"{count} {reason}" for reason, count in corpus.manifest.num_dropped.items())
        # `corpora import` has told so of a stored corpus.
        if dropped and corpus.manifest.parquet_file is None and corpus.name not in BUILTIN_NAMES:
            reporter.message(f"{corpus.name}: documents left out on reading: {dropped}")
    return loaded


def planned_cells(
    specs: Sequence[tuple[LocatedModel, CellSpec]], options: RunOptions, num_proven: int = 0
) -> list[PlannedCell[CorpusCell]]:
    """What is there of cells, and how those are scored that are not; arguments are those of `run`."""
    corpora = {id(spec.corpus): spec.corpus for _, spec in specs}  # each once: there are more cells
    num_parts = {
        key: len(with_choices(of.documents) if may_have_conditions(of.documents) else of.documents)
        for key, of in corpora.items()
    }
    return [
        _planned(located, spec, num_parts[id(spec.corpus)], options, num_proven) for located, spec in specs
    ]


def _planned(
    located: LocatedModel, spec: CellSpec, num_parts: int, options: RunOptions, num_proven: int
) -> PlannedCell[CorpusCell]:
    corpus, key, folder = spec.corpus, spec.key(), spec.folder_name(options.folder)
    planned = planned_cell(
        located,
        corpus.name,
        num_parts,
        f"{len(corpus.documents)} documents, {corpus.num_bytes:,} bytes, policy {spec.policy}",
        Path(f"{folder}/{key}.json"),
        functools.partial(find_corpus_cell, spec, key, num_proven),
        functools.partial(score_corpus_cell, spec, num_proven),
        options,
        work_of(located, corpus.num_bytes),
        functools.partial(is_known_cell, spec, folder, key) if num_proven == 0 else None,
    )
    num_most_parts = min(num_parts, corpus.num_bytes // parts.LEAST_PART_BYTES)
    if num_most_parts < 2 or planned.finished is not None:
        return planned
    return dataclasses.replace(
        planned,
        num_most_parts=num_most_parts,
        score_part=functools.partial(score_corpus_part, spec, num_proven),
    )
