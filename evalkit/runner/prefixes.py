"""Trying prefixes: what every candidate for a document's start costs on a sample, without a cell."""

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple, TextIO

from rich.table import Table

from evalkit.corpora.document import Document, make_document
from evalkit.corpora.store import Corpus, check_corpus_name, load_corpora
from evalkit.errors import EvalkitError, LossyTextError, ScoringError, UsageError, one_line
from evalkit.models.catalog import DUEL_MODELS
from evalkit.models.loading import LocatedModel, locate_models
from evalkit.models.prefixes import Prefix, prefix_in_words, prefix_under, rule_of, token_text
from evalkit.models.protocol import Model, TokenModel
from evalkit.runner.options import RunOptions
from evalkit.runner.plan import Failure
from evalkit.scoring.documents import score_documents
from evalkit.scoring.policy import DEFAULT_POLICY
from evalkit.terminal import console_for

DEFAULT_NUM_DOCUMENTS = 16
NUM_CHARACTERS = 2048
"""How much of a document is read: further on, the prefix makes little difference."""


class PrefixTrial(NamedTuple):
    """What one prefix costs a model on the sample of one corpus."""

    model: str
    corpus: str
    rule: str
    ids: tuple[int, ...]
    text: str | None
    """The tokens as text; None where the vocabulary has none for them."""
    is_used: bool
    """Whether a run would read this one."""
    num_documents: int
    """Documents of the sample that the model can represent."""
    num_bytes: int
    bits_per_byte: float


@dataclasses.dataclass(frozen=True)
class PrefixTrials:
    """What came of trying prefixes."""

    trials: tuple[PrefixTrial, ...]
    failures: tuple[Failure, ...]

    def to_json(self) -> dict[str, object]:
        """The trials as strict JSON can hold them."""
        return {
            "prefixes": [trial._asdict() for trial in self.trials],
            "failures": [dataclasses.asdict(failure) for failure in self.failures],
        }


def try_prefixes(
    models: Sequence[str | Model] | None,
    corpora: Sequence[str | Corpus],
    *,
    num_documents: int = DEFAULT_NUM_DOCUMENTS,
    options: RunOptions | None = None,
) -> PrefixTrials:
    """Bits per byte under policy ``document`` with each prefix that a model might read; no cell is written.

    The candidates are what a run would read, what its policies would, nothing, every token that the model's
    tokenizer calls BOS, EOS or by the name of a document's end, and a line break.

    Args:
        models: catalog names, ``LOADER:TARGET``, or model objects; None: the language models in the package.
        corpora: names, paths, or `Corpus` objects.
        num_documents: how many documents of each corpus, evenly spread; of each the first `NUM_CHARACTERS`.
        options: device, precision and the like; ``prefix`` is one candidate more, and the one in use.

    Raises:
        UsageError: a name or an option is wrong, or no model reads tokens.
        CorpusError: a corpus cannot be read.
        ModelError: none of the models can be found and identified.
    """
    options = options or RunOptions()
    if not corpora or num_documents < 1:
        raise UsageError("nothing to try prefixes on: name at least one corpus, and a --limit of 1 or more")
    options.check()
    if len(options.devices) > 1:
        raise UsageError(f"--try-prefixes computes on one device; --device {options.device} names several")
    for corpus in corpora:
        if isinstance(corpus, str):
            check_corpus_name(corpus)
    located_models = locate_models(DUEL_MODELS if models is None else models, options.load_options)
    for located in located_models:
        if located.identity.loader == "codec":
            raise UsageError(f"{located.identity.name} is a compressor and reads no prefix; leave it out")
    samples = [(corpus.name, sample_of(corpus.documents, num_documents)) for corpus in load_corpora(corpora)]
    trials: list[PrefixTrial] = []
    failures: list[Failure] = []
    for located in located_models:
        try:
            trials += _trials_of(located, samples, options)
        except Exception as error:  # whatever a model does, the others are tried
            if options.debug:
                raise
            name = "" if isinstance(error, EvalkitError) else f"{type(error).__name__}: "
            failures.append(Failure(located.identity.name, "its prefixes", name + one_line(str(error))))
    return PrefixTrials(tuple(trials), tuple(failures))


def sample_of(documents: Sequence[Document], num_documents: int) -> list[Document]:
    """The beginnings of documents that are evenly spread over a corpus, in its order."""
    num_taken = min(num_documents, len(documents))
    chosen = [documents[place * len(documents) // num_taken] for place in range(num_taken)]
    return [
        make_document(
            document.text[:NUM_CHARACTERS], source=document.source, id=document.id, context=document.context
        )
        for document in chosen
    ]


def candidates_of(model: TokenModel) -> list[Prefix]:
    """The prefixes that a model might read, the one of a run first; no ids twice."""
    used = prefix_under(model, DEFAULT_POLICY)
    single_tokens = [(token,) for token in model.identity.token_names if token < model.vocab_size]
    candidates = {used.ids: used}
    for ids in [(), *model.policy_prefixes.values(), *single_tokens, _line_break(model)]:
        candidates.setdefault(ids, Prefix(rule_of(ids), ids))
    return list(candidates.values())


def _line_break(model: TokenModel) -> tuple[int, ...]:
    try:
        return tuple(model.encode("\n").ids.tolist())
    except LossyTextError:  # a vocabulary without a line break cannot begin with one
        return ()


def print_trials(result: PrefixTrials, stream: TextIO) -> None:
    """Print a table of the trials, lowest first, and how to use one of the prefixes."""
    console = console_for(stream, width=10_000, soft_wrap=True)
    for model, corpus in dict.fromkeys((trial.model, trial.corpus) for trial in result.trials):
        trials = [trial for trial in result.trials if (trial.model, trial.corpus) == (model, corpus)]
        console.print(
            f"{model} on {corpus}: the first {NUM_CHARACTERS:,} characters of {trials[0].num_documents} "
            f"documents, {trials[0].num_bytes:,} bytes"
        )
        console.print(_table(trials), soft_wrap=False)
    if result.trials:
        console.print(
            "* what a run reads; --prefix makes it read another. No cell was written. The best of several on "
            "the texts that are scored flatters a model: take what it was trained with."
        )
    for failure in result.failures:
        console.print(f"FAILED {failure.model} on {failure.subject}: {failure.reason}")


def _table(trials: Sequence[PrefixTrial]) -> Table:
    used = next(trial for trial in trials if trial.is_used)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    table.add_column("prefix", no_wrap=True)
    table.add_column("bits per byte", justify="right")
    table.add_column("against *", justify="right")
    for trial in sorted(trials, key=lambda trial: trial.bits_per_byte):
        table.add_row(
            "*" if trial.is_used else "",
            prefix_in_words(trial.rule, trial.ids, trial.text),
            f"{trial.bits_per_byte:.4f}",
            "" if trial.is_used else f"{trial.bits_per_byte - used.bits_per_byte:+.4f}",
        )
    return table


def _trials_of(
    located: LocatedModel, samples: Sequence[tuple[str, list[Document]]], options: RunOptions
) -> list[PrefixTrial]:
    model = located.load()
    if not isinstance(model, TokenModel):
        raise UsageError(f"{located.identity.name} has no tokens and reads no prefix")
    candidates = candidates_of(model)
    trials = []
    for corpus, sample in samples:
        options.reporter.start(located.identity.name, corpus, len(sample) * len(candidates))
        try:
            trials += [
                _trial(model, located.identity.name, corpus, sample, prefix, is_used=prefix is candidates[0])
                for prefix in candidates
            ]
        finally:
            options.reporter.finish()
    return trials


def _trial(
    model: TokenModel, name: str, corpus: str, sample: Sequence[Document], prefix: Prefix, *, is_used: bool
) -> PrefixTrial:
    scores = score_documents(model, sample, DEFAULT_POLICY, prefix=prefix)
    scored = [score for score in scores if score.total_bits is not None]
    num_bytes = sum(score.document.num_bytes for score in scored)
    if not num_bytes:
        raise ScoringError(f"{name} can represent no document of the sample of {corpus}")
    return PrefixTrial(
        name,
        corpus,
        prefix.rule,
        prefix.ids,
        "\\n" if prefix.ids == _line_break(model) else token_text(prefix.ids, model.identity.token_names),
        is_used,
        len(scored),
        num_bytes,
        math.fsum(score.total_bits or 0.0 for score in scored) / num_bytes,
    )
