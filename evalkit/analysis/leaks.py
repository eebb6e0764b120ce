"""Documents that a model finds too easy beside a panel of other models: it may have read them in training.

Up to three things are looked at, each beside the panel and with its probability by chance (`residuals`):

* the bits of the document;
* Min-K %: the mean bits of the hardest fifth of its tokens (W. Shi et al., "Detecting Pretraining Data from
  Large Language Models", ICLR 2024). A text that was read has no hard words left. It needs the bits of tokens
  in the cells of the model and the panel (``--token-bits``);
* Min-K%++: how these tokens stand among all that the model might have said in their place. It needs whole
  distributions, which no cell holds: `evalkit.scoring.min_k` reads the documents again.

The smallest of the probabilities counts as often as there are (Bonferroni). Of all documents together those
are flagged whose rate of false discoveries is at most what was asked for. That they are too easy is what the
numbers say, and not why: a document may be a copy of an older one, which its text shows where it is at hand.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.panel import candidates, find_corpora, find_model, grouped, labels_of
from evalkit.analysis.residuals import (
    MIN_DOCUMENTS,
    Array,
    adjusted,
    remainders,
    tail_of,
)
from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.cells.files import check_rows, read_rows
from evalkit.cells.schema import CorpusCell
from evalkit.errors import UsageError

RATE = 0.05
"""Of false discoveries among the flagged documents."""
HARDEST = 0.2
"""Of the tokens: the K of Min-K % and Min-K%++."""
MinKPlusPlus = Callable[[int, Sequence[int]], Array | None]
"""Min-K%++ of the documents of a corpus by the models of some rows, ``[D, R]``; None where one shows no
distributions."""


class TestedDocument(NamedTuple):
    """What was found of one document."""

    corpus: int
    """Index in `Results.corpora`."""
    place: int
    """Of the document in it."""
    bits_per_byte: float
    expected_bits_per_byte: float
    """What the panel lets expect."""
    probability: float
    """That chance alone makes a document so cheap beside the panel."""
    min_k_probability: float | None
    """The same of its hardest tokens; None where not all cells hold the bits of tokens."""
    min_k_plus_plus_probability: float | None
    """The same of Min-K%++; None where it was not asked for, or not all models show their distributions."""
    rate: float
    """The least rate of false discoveries at which it is flagged."""


class Leaks(NamedTuple):
    """What the cells of a model say."""

    label: str
    policy: str | None
    rate: float
    panel: tuple[str, ...]
    """Labels of all that were compared with it."""
    corpora: tuple[int, ...]
    """That were tested."""
    with_tokens: tuple[int, ...]
    """Of these those whose tokens were."""
    with_distributions: tuple[int, ...]
    """And those whose Min-K%++ was."""
    documents: tuple[TestedDocument, ...]
    """Every document that was tested, the least likely first."""
    notes: tuple[str, ...]
    """What was left out."""

    @property
    def flagged(self) -> list[TestedDocument]:
        """The documents that are too easy."""
        return [document for document in self.documents if document.rate <= self.rate]


def find_leaks(
    results: Results,
    model: str,
    *,
    corpora: Sequence[str] = (),
    panel: Sequence[str] = (),
    policy: str = "document",
    rate: float = RATE,
    min_k_plus_plus: MinKPlusPlus | None = None,
) -> Leaks:
    """The documents that a model finds too easy.

    Args:
        results: the cells.
        model: its name, or its row's label.
        corpora: names; empty: all that the model was scored on.
        panel: names of the models to compare it with; empty: all language models that were scored on a
            corpus, where there are none the compressors.
        policy: of the language models.
        rate: of false discoveries, between 0 and 1.
        min_k_plus_plus: see `evalkit.runner.rereading.Rereading`; None: it is not tested.

    Raises:
        UsageError: a name is unknown, there is no other model, or no corpus can be tested.
        ScoringError: the rows of a cell are missing or damaged.
    """
    if not 0 < rate < 1:
        raise UsageError(f"--rate {rate:g}: give a share of false discoveries between 0 and 1")
    row = find_model(results, model, policy)
    numbers = find_corpora(results, corpora, row)
    members = candidates(results, row, panel, policy)
    if not panel:
        language_models = [member for member in members if results.configurations[member].policy is not None]
        members = language_models or members
    tested: list[_Tested] = []
    remarks: list[tuple[str, str]] = []
    for number in numbers:
        try:
            corpus_tested, of_corpus = _test(results, number, row, members, min_k_plus_plus)
        except UsageError as error:
            remarks.append((results.corpora[number].label, f"left out: {error}"))
            continue
        tested.append(corpus_tested)
        remarks += [(results.corpora[number].label, remark) for remark in of_corpus]
    if not tested:
        raise UsageError(f"nothing can be tested: {'; '.join(grouped(remarks))}")
    return Leaks(
        results.configurations[row].label,
        results.configurations[row].policy,
        rate,
        labels_of(results, {member for corpus in tested for member in corpus.panel}),
        tuple(corpus.number for corpus in tested),
        tuple(corpus.number for corpus in tested if corpus.of_tokens is not None),
        tuple(corpus.number for corpus in tested if corpus.of_distributions is not None),
        _judged(results, row, tested),
        grouped(remarks),
    )


class Measure(NamedTuple):
    """A number of each document, beside the panel."""

    expected: Array
    """``[D]``."""
    deviates: Array
    """``[D]``: of the model."""
    of_panel: Array
    """Of each of the panel beside the others."""


class _Tested(NamedTuple):
    """A corpus, before probabilities are known."""

    number: int
    panel: tuple[int, ...]
    places: NDArray[np.int64]
    """``[D]``: documents that the model and all of the panel have paid for."""
    of_bits: Measure
    of_tokens: Measure | None
    """None where a cell does not hold the bits of tokens."""
    of_distributions: Measure | None
    """None where there is no Min-K%++ of a document."""


def _test(
    results: Results,
    number: int,
    row: int,
    members: Sequence[int],
    min_k_plus_plus: MinKPlusPlus | None,
) -> tuple[_Tested, list[str]]:
    corpus = results.corpora[number]
    panel = tuple(member for member in members if member in corpus.cells)
    if not panel:
        raise UsageError("no model of the panel was scored on it")
    rows = [row, *panel]
    places = np.flatnonzero(np.logical_and.reduce(corpus.bits[:, rows] > 0, axis=1))
    if len(places) < MIN_DOCUMENTS:
        raise UsageError(f"fewer than {MIN_DOCUMENTS} documents that all models could represent")
    remarks = []
    if len(places) < len(corpus.ids):
        num_unpaid = len(corpus.ids) - len(places)
        remarks.append(f"{num_unpaid:,} documents left out: not every model could represent them")
    if len(panel) == 1:
        [member] = labels_of(results, panel)
        remarks.append(f"a panel of one: a document that is hard for {member} alone looks easy for the model")
    num_bytes = corpus.num_bytes[places]
    of_bits = measure(np.log(corpus.bits[places][:, rows] / num_bytes[:, None]), num_bytes)
    of_tokens = None
    if all(corpus.cells[index].documents.token_bits for index in rows):
        hardest = np.stack([_hardest(corpus, corpus.cells[index])[places] for index in rows], axis=1)
        of_tokens = measure(np.log(np.maximum(hardest, 1e-6)), num_bytes)
    of_distributions = None
    if min_k_plus_plus is not None:
        scores = min_k_plus_plus(number, rows)
        if scores is None or not np.isfinite(scores[places]).all():
            remarks.append("Min-K%++ is not tested: not every model shows its distribution for all documents")
        else:
            of_distributions = measure(-scores[places], num_bytes)
    return _Tested(number, panel, places, of_bits, of_tokens, of_distributions), remarks


def measure(logs: Array, num_bytes: NDArray[np.int64]) -> Measure:
    """The model's remainders, and those of each of the panel beside the others.

    Args:
        logs: ``[D, 1 + K]``: logarithms of what the model and each of the panel pay per byte, or any other
            number that is smaller for what is easy.
        num_bytes: ``[D]``.
    """
    subject = remainders(logs[:, 0], logs[:, 1:], num_bytes)
    num_panel = logs.shape[1] - 1
    if num_panel == 1:
        # Nobody is there to judge the panel by: what is hard for the model is as far off as what is easy.
        return Measure(subject.expected, subject.deviates, -subject.deviates)
    of_panel = [
        remainders(logs[:, place], np.delete(logs, [0, place], axis=1), num_bytes).deviates
        for place in range(1, num_panel + 1)
    ]
    return Measure(subject.expected, subject.deviates, np.concatenate(of_panel))


def _hardest(corpus: ScoredCorpus, cell: CorpusCell) -> Array:
    """The mean bits of the hardest tokens of each document, ``[D]``; NaN without tokens that are paid for."""
    path, remedy = cell.path.with_suffix(".parquet"), "delete it and run again"
    check_rows(path, cell.documents.parquet_sha256, remedy=remedy)
    column = read_rows(path, ["token_bits"], remedy=remedy)["token_bits"].combine_chunks()
    offsets = column.offsets.to_numpy()
    bits = column.values.to_numpy(zero_copy_only=False)
    means = np.full(len(corpus.ids), math.nan)
    for place, (start, end) in enumerate(itertools.pairwise(offsets.tolist())):
        paid = bits[start:end][~np.isnan(bits[start:end])]
        if len(paid):
            num_hardest = max(1, round(HARDEST * len(paid)))
            means[place] = np.partition(paid, len(paid) - num_hardest)[-num_hardest:].mean()
    return means


def _judged(results: Results, row: int, tested: Sequence[_Tested]) -> tuple[TestedDocument, ...]:
    """All documents with their probabilities and rates, the least likely first."""
    kinds = [
        _probabilities([corpus.of_bits for corpus in tested]),
        _probabilities([corpus.of_tokens for corpus in tested]),
        _probabilities([corpus.of_distributions for corpus in tested]),
    ]
    by_corpus = list(zip(*kinds, strict=True))
    rates = iter(adjusted(np.concatenate([smallest_of(of_corpus) for of_corpus in by_corpus])).tolist())
    documents = []
    for corpus, of_corpus in zip(tested, by_corpus, strict=True):
        scored = results.corpora[corpus.number]
        for index, place in enumerate(corpus.places.tolist()):
            by_bits, by_tokens, by_distributions = (
                None if kind is None else float(kind[index]) for kind in of_corpus
            )
            assert by_bits is not None
            documents.append(
                TestedDocument(
                    corpus.number,
                    place,
                    float(scored.bits[place, row] / scored.num_bytes[place]),
                    math.exp(corpus.of_bits.expected[index]),
                    by_bits,
                    by_tokens,
                    by_distributions,
                    next(rates),
                )
            )
    return tuple(sorted(documents, key=lambda document: (document.rate, document.probability)))


def _probabilities(measures: Sequence[Measure | None]) -> list[Array | None]:
    """`probabilities_of` those that there are."""
    of_those = iter(probabilities_of([measure for measure in measures if measure is not None]))
    return [None if measure is None else next(of_those) for measure in measures]


def smallest_of(probabilities: Sequence[Array | None]) -> Array:
    """Of several tests of the same documents: the smallest times their number, ``[D]``, at most 1."""
    tests = [of_test for of_test in probabilities if of_test is not None]
    return np.asarray(np.minimum(1.0, len(tests) * np.min(tests, axis=0)))


def probabilities_of(measures: Sequence[Measure]) -> list[Array]:
    """That chance alone makes documents so cheap, per corpus; tails are as heavy as the panel's in all."""
    if not measures:
        return []
    tail = tail_of(np.concatenate([measure.of_panel for measure in measures]))
    return [tail.probabilities(measure.deviates) for measure in measures]
