"""Two models on a corpus: their cells, and how far their distributions lie apart."""

import dataclasses

from evalkit.analysis.divergence import Divergence, summarise_divergence
from evalkit.cells.schema import CorpusCell
from evalkit.corpora.document import check_limit
from evalkit.corpora.store import Corpus, load_corpus
from evalkit.errors import ScoringError, UsageError
from evalkit.models.distributions import DistributionModel
from evalkit.models.loading import LocatedModel, locate_models
from evalkit.models.prefixes import CHEAPEST
from evalkit.models.protocol import Codec, Model
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.scoring.divergence import check_same_distributions, check_same_tokens, score_divergence
from evalkit.scoring.policy import DEFAULT_POLICY, check_policy, check_prefix_fits


@dataclasses.dataclass(frozen=True)
class DivergenceResult:
    """What came of two models on a corpus."""

    cells: tuple[CorpusCell, CorpusCell]
    """Of the model and of the reference."""
    divergence: Divergence


def run_divergence(
    model: str | Model,
    reference: str | Model,
    corpus: str | Corpus,
    *,
    policy: str = DEFAULT_POLICY,
    limit: int | None = None,
    options: RunOptions | None = None,
) -> DivergenceResult:
    """Score two models as `evalkit.runner.corpora.run` does, then compare their distributions in lockstep.

    Both are in memory at the same time, and each is loaded once. Models that cut the texts into different
    tokens are refused before their weights are read, where their loaders have the tokenizers by then.

    Args:
        model: the model that is judged; catalog name, ``LOADER:TARGET``, or object.
        reference: the model by which it is.
        corpus: name, path, or `Corpus` object.
        policy: one of `evalkit.scoring.policy.POLICIES`.
        limit: how many documents to read; None: all.
        options: output folder of the cells, device, precision and the like.

    Raises:
        UsageError: a name or an option is wrong, or the two have no distributions over the same tokens.
        CorpusError: the corpus cannot be read.
        ModelError: a model cannot be found or loaded.
        ScoringError: a model cannot be scored.
    """
    options = options or RunOptions()
    _check_request(policy, limit, options)
    first, second = _located(model, reference, options)
    loaded = corpus if isinstance(corpus, Corpus) else load_corpus(corpus)
    documents = loaded.documents if limit is None else loaded.limited(limit).documents
    names = first.identity.name, second.identity.name
    encoders = first.encoder(), second.encoder()
    if encoders[0] is not None and encoders[1] is not None:
        check_same_tokens(documents, names, (encoders[0], encoders[1]))
    models = _loaded(first), _loaded(second)
    check_same_distributions(models, documents, policy)
    located_models = [first._replace(instance=models[0]), second._replace(instance=models[1])]
    result = run(located_models, [loaded], policy=policy, limit=limit, options=options)
    for failure in result.failures:
        raise ScoringError(f"{failure.model} could not be scored: {failure.reason}")
    options.reporter.start(" against ".join(names), loaded.name, len(documents))
    try:
        scores = score_divergence(*models, documents, policy, progress=options.reporter.advance)
    finally:
        options.reporter.finish()
    divergence = summarise_divergence(
        scores,
        model=names[0],
        reference=names[1],
        corpus=loaded.name,
        policy=policy,
        num_documents=len(documents),
    )
    return DivergenceResult((result.cells[0], result.cells[1]), divergence)


def _check_request(policy: str, limit: int | None, options: RunOptions) -> None:
    """As a run checks its own, before anything is read."""
    check_policy(policy)
    options.check()
    check_prefix_fits(policy, options.load_options.prefix)
    check_limit(limit)
    if policy == CHEAPEST and options.prefix is None:
        raise UsageError(
            f"policy {policy} looks for a start token for each model, and --kl reads both after the same; "
            "give --prefix"
        )


def _located(model: str | Model, reference: str | Model, options: RunOptions) -> list[LocatedModel]:
    """Both models, known to be there and to have distributions as far as their loaders tell."""
    located_models = locate_models([model, reference], options.load_options)
    for located in located_models:
        if located.problem is not None:
            raise located.problem
        if located.identity.loader == "codec" or isinstance(located.instance, Codec):
            raise UsageError(
                f"{located.identity.name} is a compressor and has no distribution; leave out --kl"
            )
    if len(located_models) != 2:
        raise UsageError(f"{model} and {reference} are {len(located_models)} models; --kl compares two")
    return located_models


def _loaded(located: LocatedModel) -> DistributionModel:
    model = located.load()
    if not isinstance(model, DistributionModel):
        raise UsageError(
            f"{located.identity.name}: its loader {located.identity.loader!r} gives what tokens cost, not "
            "whole distributions; leave out --kl"
        )
    return model
