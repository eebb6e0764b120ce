"""A model beside a panel of others: which rows and corpora are meant, and who is in the panel."""

from collections.abc import Collection, Sequence

from evalkit.analysis.results import Results
from evalkit.errors import UsageError, unknown_name
from evalkit.patterns import matching_names

_MAX_NAMES = 8


def find_model(results: Results, name: str, policy: str) -> int:
    """The row of a model's name or label under a policy.

    Args:
        results: the cells.
        name: of the model, or its row's label where it is there in several configurations.
        policy: of the language models; compressors have none.

    Raises:
        UsageError: there is no such row, or there are several, or the policy is unknown.
    """
    rows = _rows(results, policy)
    labels = [results.configurations[row].label for row in rows]
    matches = [row for row in rows if name in _names(results, row)]
    exact = [row for row in matches if results.configurations[row].label == name]
    if not matches:
        known_names = {label for row in rows for label in _names(results, row)}
        raise unknown_name("model", name, known_names, f"Models here: {', '.join(labels)}.")
    if len(exact or matches) > 1:
        several = " or ".join(repr(results.configurations[row].label) for row in matches)
        raise UsageError(f"{name} is here in several forms; say which: {several}")
    return (exact or matches)[0]


def find_corpora(results: Results, names: Sequence[str], model: int) -> list[int]:
    """The corpora of these names that a model was scored on; of no names, all of its corpora.

    Args:
        results: the cells.
        names: of corpora, or their labels, or patterns of them.
        model: the row.

    Raises:
        UsageError: a name is unknown, or the model was not scored on any of them.
    """
    known_names = {name for corpus in results.corpora for name in (corpus.name, corpus.label)}
    names = matching_names(names, sorted(known_names))
    for name in names:
        if name not in known_names:
            raise unknown_name(
                "corpus", name, known_names, f"Here there are: {', '.join(sorted(known_names))}."
            )
    numbers = [
        number
        for number, corpus in enumerate(results.corpora)
        if model in corpus.cells and (not names or corpus.name in names or corpus.label in names)
    ]
    if not numbers:
        label = results.configurations[model].label
        raise UsageError(f"{label} was scored on none of {', '.join(names)}; see `evalkit table`")
    return numbers


def candidates(results: Results, model: int, names: Sequence[str], policy: str) -> list[int]:
    """Who may be in the panel: those of the names, else all models but this one, compressors among them.

    Args:
        results: the cells.
        model: the row that is compared with the panel.
        names: of models, or their rows' labels, or patterns; a name means all rows of its model.
        policy: of the language models.

    Raises:
        UsageError: a name is unknown, or the model's own, or there is no other model.
    """
    rows = [row for row in _rows(results, policy) if row != model]
    label = results.configurations[model].label
    if not rows:
        raise UsageError(f"{label} is alone here: a panel needs other models scored on the same corpora")
    known_names = {name for row in rows for name in _names(results, row)}
    names = matching_names(names, sorted(known_names))
    for name in names:
        if name not in known_names:
            if name in _names(results, model):
                raise UsageError(f"--panel {name}: that is the model itself")
            raise unknown_name("panel", name, known_names, f"Models here: {', '.join(sorted(known_names))}.")
    return [row for row in rows if not names or not _names(results, row).isdisjoint(names)]


def _rows(results: Results, policy: str) -> list[int]:
    """The rows of a policy, and of none.

    Raises:
        UsageError: there is no such policy.
    """
    if policy not in results.policies:
        hint = f"Here there are: {', '.join(results.policies)}."
        raise unknown_name("policy", policy, results.policies, hint)
    return [
        row
        for row, configuration in enumerate(results.configurations)
        if configuration.policy in (policy, None)
    ]


def _names(results: Results, row: int) -> set[str]:
    return {results.configurations[row].model, results.configurations[row].label}


def labels_of(results: Results, rows: Collection[int]) -> tuple[str, ...]:
    """The labels of rows, in alphabetical order."""
    return tuple(sorted(results.configurations[row].label for row in rows))


def several(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def grouped(remarks: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """What is to be said of subjects, each remark once with all of its subjects.

    >>> grouped([("June", "too few documents"), ("July", "undated"), ("May", "too few documents")])
    ('June, May: too few documents', 'July: undated')
    """
    subjects: dict[str, list[str]] = {}
    for subject, remark in remarks:
        subjects.setdefault(remark, []).append(subject)
    return tuple(f"{several(names)}: {remark}" for remark, names in subjects.items())
