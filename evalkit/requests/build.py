"""From a task file and a data set to a corpus of contexts and continuations."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from evalkit.corpora.document import UNKNOWN, Corpus, Document, make_corpus, make_document
from evalkit.corpora.readers import read_rows
from evalkit.errors import CorpusError, UsageError, unknown_name
from evalkit.requests.kinds import KINDS, NO_ANSWER, Kind, Part, RowLeftOut
from evalkit.requests.task_file import LoadedTask, TaskFile
from evalkit.requests.templates import filled, template_names
from evalkit.version import __version__


class _Request(NamedTuple):
    context: str
    choices: tuple[str, ...]
    gold: int


class _Template(NamedTuple):
    context: str
    continuation: str


def build_requests(task: LoadedTask) -> Corpus:
    """The request set of a task file, which no model takes part in.

    Several requests of a row (the turns of a conversation) are one cluster. Rows that do not say what is
    right, empty continuations and exact repetitions are left out and counted.

    Raises:
        UsageError: the task file asks for what there is not.
        CorpusError: the data cannot be read, or a row is not what its kind reads.
    """
    file = task.file
    if file.kind not in KINDS:
        raise unknown_name("kind", file.kind, KINDS, f"Known: {', '.join(KINDS)}.")
    kind = KINDS[file.kind]
    template = _template(file, kind)
    _check_names(file, kind)
    num_dropped: Counter[str] = Counter()
    provenance = {"program": f"evalkit {__version__}", "task_sha256": task.sha256}
    rows = _rows(task, kind, file.data.path, file.data.split, num_dropped, provenance)
    if file.shots is not None and file.shots.path is None:
        first = list(itertools.islice(rows, file.shots.num_shots))
    else:
        first = _shot_rows(task, kind)
    before = file.description + _solved(file, kind, template, first)
    documents: dict[str, Document] = {}
    for number, (place, row) in enumerate(itertools.islice(rows, file.limit)):
        try:
            requests = [_request(place, part, template) for part in kind.parts(place, row, file)]
        except RowLeftOut as left_out:
            num_dropped[left_out.reason] += 1
            continue
        if not requests:
            num_dropped[NO_ANSWER] += 1
        for request in requests:
            document = _document(file, before, request, f"row-{number}" if len(requests) > 1 else None)
            reason = _reason_to_drop(document, documents)
            if document is None or reason:
                num_dropped[reason or "empty continuation"] += 1
            else:
                documents[document.sha256] = document
    if not documents:
        reasons = ", ".join(f"{count} {reason}" for reason, count in num_dropped.items())
        hint = ""
        if NO_ANSWER in num_dropped and "gold" in kind.optional_columns and "gold" not in file.columns:
            hint = "; [columns] gold = … in the task file names the column of the right answer"
        raise CorpusError(f"{file.data.path}: no request is left of it ({reasons or 'it has no rows'}){hint}")
    return make_corpus(
        file.name,
        documents.values(),
        description=f"requests ({file.kind}) made of {provenance['input']}",
        date_from=file.date_from,
        date_to=file.date_to,
        provenance=provenance,
        num_dropped=num_dropped,
    )


def _reason_to_drop(document: Document | None, earlier: Mapping[str, Document]) -> str | None:
    if document is None:
        return "empty continuation"
    return "exact duplicate" if document.sha256 in earlier else None


def _template(file: TaskFile, kind: Kind) -> _Template:
    template = _Template(
        kind.context if file.context is None else file.context,
        kind.continuation if file.continuation is None else file.continuation,
    )
    for text in template:
        template_names(text)
    return template


def _check_names(file: TaskFile, kind: Kind) -> None:
    names = (*kind.columns, *kind.optional_columns)
    for name in file.columns:
        if name not in names:
            raise unknown_name("column", name, names, f"Kind {file.kind} reads {', '.join(names)}.")

    if file.choices and ("choices" not in names or len(file.choices) < 2):
        raise UsageError(
            f"choices has {len(file.choices)} for the kind {file.kind}; give two or more, and the kind "
            "choices"
        )


def _columns(file: TaskFile, kind: Kind) -> dict[str, list[str]]:
    """The columns of the data for each that the kind reads; several are put together to a list."""
    names = (*kind.columns, *kind.optional_columns)
    return {name: file.columns.get(name, name).split(",") for name in names}


def _rows(
    task: LoadedTask,
    kind: Kind,
    path: str,
    split: str | None,
    num_dropped: Counter[str],
    provenance: dict[str, str],
) -> Iterator[tuple[str, dict[str, object]]]:
    """The data's rows, with what the kind reads under the kind's own names."""
    file = task.file
    columns = _columns(file, kind)
    used = {*itertools.chain(*columns.values()), *template_names("".join(_template(file, kind)))}
    rows = read_rows(
        task.place(path), used, num_dropped, provenance, revision=None, split=split, column_option="columns"
    )
    for place, fields in rows:
        row: dict[str, object] = {**fields, **file.values}
        if file.choices:
            row["choices"] = {"text": [*file.choices.values()], "label": [*file.choices]}
        for name, sources in columns.items():
            if name == "choices" and file.choices:
                continue
            missing = [source for source in sources if source not in fields]
            if missing and name in kind.columns and "translation" not in fields:
                among = ", ".join(sorted(fields)) or "no columns"
                raise CorpusError(
                    f"{place}: no {missing[0]!r} among {among}; [columns] {name} = … in the task file names "
                    "it"
                )
            if not missing:
                values = [fields[source] for source in sources]
                row[name] = values[0] if len(values) == 1 else _without_unused(values)
        yield place, row


def _without_unused(values: list[object]) -> list[object]:
    """Without what is null or empty at the end: questions with fewer choices leave the last columns empty."""
    while values and (values[-1] is None or values[-1] == "" or values[-1] != values[-1]):
        values = values[:-1]
    return values


def _shot_rows(task: LoadedTask, kind: Kind) -> list[tuple[str, dict[str, object]]]:
    shots = task.file.shots
    if shots is None or shots.path is None:
        return []
    rows = list(itertools.islice(_rows(task, kind, shots.path, shots.split, Counter(), {}), shots.num_shots))
    if len(rows) < shots.num_shots:
        raise UsageError(f"shots.num_shots is {shots.num_shots}, and {shots.path} has {len(rows)} rows")
    return rows


def _solved(
    file: TaskFile, kind: Kind, template: _Template, rows: list[tuple[str, dict[str, object]]]
) -> str:
    """Examples with their answers, as they stand before every question."""
    if file.shots is None:
        return ""
    text = ""
    for place, row in rows:
        parts = kind.parts(place, row, file)
        if not parts:
            raise CorpusError(f"{place}: an example that is to be solved has no answer")
        for request in (_request(place, part, template) for part in parts):
            text += request.context + request.choices[request.gold] + file.shots.separator
    return text


def _request(place: str, part: Part, template: _Template) -> _Request:
    choices = tuple(filled(template.continuation, values, place) for values in part.continuations)
    context, right = filled(template.context, part.values, place), choices[part.gold]
    for text in (context, *choices):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"{place}: {text[:40]!r} holds a lone surrogate, half of a character of UTF-16, which has no "
                "UTF-8 form; repair it where the file is made"
            ) from error
    if choices.count(right) > 1 and all(choices):
        raise CorpusError(f"{place}: the right answer {right!r} stands twice among the choices")
    return _Request(context, choices, part.gold)


def _document(file: TaskFile, before: str, request: _Request, cluster: str | None) -> Document | None:
    """A document; None where one of its continuations is empty."""
    if not all(request.choices):
        return None
    return make_document(
        request.choices[request.gold],
        source=file.source or UNKNOWN,
        context=before + request.context,
        choices=request.choices if len(request.choices) > 1 else None,
        license=file.license,
        language=file.language,
        cluster=cluster,
    )
