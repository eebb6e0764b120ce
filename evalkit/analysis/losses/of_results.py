"""The losses of all corpora of some results whose texts and token bits are at hand."""

from collections.abc import Callable, Iterator, Sequence

from evalkit.analysis.losses.class_losses import MAX_MODELS, CorpusLosses, corpus_losses, with_token_bits
from evalkit.analysis.results import Results
from evalkit.analysis.texts import texts_at_hand
from evalkit.corpora.document import Corpus
from evalkit.errors import UsageError


def losses_of_results(
    results: Results, policy: str, corpora: Sequence[Corpus] = (), *, warn: Callable[[str], None]
) -> Iterator[CorpusLosses]:
    """The losses of one corpus after the other.

    Args:
        results: all cells, of several policies perhaps.
        policy: the one whose cells are looked at.
        corpora: whose texts need not be in the store.
        warn: told of every corpus and model that is left out, and what to do about it.

    Raises:
        UsageError: there is none.
        CorpusError: a stored corpus cannot be read.
        ScoringError: the rows of a cell cannot be read.
    """
    num_shown = 0
    reasons: list[str] = []
    for number, corpus in enumerate(results.corpora):
        configurations = with_token_bits(results, corpus, policy)
        if not configurations:
            reasons.append(
                f"{corpus.label}: no language model kept the bits of its tokens; score it again with "
                "`evalkit run --token-bits`"
            )
            continue
        texts = texts_at_hand(results, number, corpora)
        if texts is None:
            reasons.append(f"{corpus.label}: its texts are not at hand; name it or its file with --corpora")
            continue
        losses = corpus_losses(results, number, texts, configurations)
        if losses is None:
            reasons.append(f"{corpus.label}: no document that each of the models could represent")
            continue
        num_shown += 1
        _warn_of_models(results, losses, warn)
        yield losses
    if not num_shown:
        raise UsageError(f"{results.folder}: nothing to show. {'; '.join(reasons)}")
    for reason in reasons:
        warn(reason)


def _warn_of_models(results: Results, losses: CorpusLosses, warn: Callable[[str], None]) -> None:
    corpus = results.corpora[losses.corpus]
    without = [
        results.configurations[index].label
        for index, cell in corpus.cells.items()
        if results.configurations[index].policy == losses.policy and not cell.documents.token_bits
    ]
    if without:
        warn(
            f"{corpus.label}: left out, without bits of tokens: {', '.join(without)}; score again with "
            "`evalkit run --token-bits`"
        )
    if losses.configurations_left_out:
        warn(
            f"{corpus.label}: shown are the {MAX_MODELS} models of the lowest bits per byte, "
            f"{len(losses.configurations_left_out)} are left out; --models names others"
        )
    if losses.num_documents_left_out:
        warn(
            f"{corpus.label}: {losses.num_documents_left_out} documents are left out, which not every one of "
            "the models can represent"
        )
