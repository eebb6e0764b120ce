"""Results of some corpora, models and one policy alone."""

import dataclasses
from collections.abc import Sequence

from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.analysis.scored_rows import RowSpool
from evalkit.errors import UsageError, unknown_name
from evalkit.patterns import matching_names


def narrowed(
    results: Results, corpora: Sequence[str], models: Sequence[str], policy: str, place: str
) -> Results:
    """The results of these corpora and models alone, under one policy.

    Args:
        results: all of them.
        corpora: names, labels or patterns of them; empty: all.
        models: likewise.
        policy: of the language models; compressors know none and stay.
        place: what the results are called in messages.

    Raises:
        UsageError: a name is unknown, or nothing is left.
    """
    if policy not in results.policies:
        hint = f"In {place} there are: {', '.join(results.policies)}."
        raise unknown_name("policy", policy, results.policies, hint)
    corpus_names = {name for corpus in results.corpora for name in (corpus.name, corpus.label)}
    model_names = {name for row in results.configurations for name in (row.model, row.label)}
    corpora = matching_names(corpora, sorted(corpus_names))
    models = matching_names(models, sorted(model_names))
    for kind, names, known_names in (("corpus", corpora, corpus_names), ("model", models, model_names)):
        for name in names:
            if name not in known_names:
                hint = f"In {place} there are: {', '.join(sorted(known_names))}."
                raise unknown_name(kind, name, known_names, hint)
    rows = [
        index
        for index, row in enumerate(results.configurations)
        if row.policy in (policy, None) and (not models or row.model in models or row.label in models)
    ]
    new_index = {index: number for number, index in enumerate(rows)}
    remaining: list[ScoredCorpus] = []
    spool = RowSpool()
    for corpus in results.corpora:
        cells = {new_index[index]: cell for index, cell in corpus.cells.items() if index in new_index}
        if cells and (not corpora or corpus.name in corpora or corpus.label in corpora):
            parts = {
                new_index[index]: part for index, part in corpus.part_cells.items() if index in new_index
            }
            chosen = corpus.with_rows(spool, bits=corpus.bits[:, rows])
            remaining.append(dataclasses.replace(chosen, cells=cells, part_cells=parts))
    if not remaining:
        raise UsageError(f"{place}: no cell of these models on these corpora under the policy {policy}")
    return dataclasses.replace(
        results,
        configurations=tuple(results.configurations[index] for index in rows),
        corpora=tuple(remaining),
    )
