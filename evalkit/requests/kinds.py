"""The kinds of request sets, in one table, `KINDS`: what each reads of a row, and what it makes of it.

To add one, write the function that makes `Part`s of a row, and its line.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from evalkit.corpora.choices import gold_place, read_choices
from evalkit.corpora.readers import type_name
from evalkit.errors import CorpusError
from evalkit.requests.task_file import TaskFile

_ASSISTANTS = ("assistant", "gpt", "model")
_LAST_WORD = re.compile(r"^(.*\S)(\s+\S+)\s*$", re.DOTALL)


class Part(NamedTuple):
    """One request of a row, before it is written out."""

    values: Mapping[str, object]
    """For the template of the context."""
    continuations: tuple[Mapping[str, object], ...]
    """For the template of the continuation: of each choice, or of the only one."""
    gold: int = 0
    """Which of them is the right one."""


Row = Mapping[str, object]


class RowLeftOut(CorpusError):
    """A row of which no request can be made though nothing is wrong with it; such rows are counted."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.reason = reason


NO_ANSWER = "no answer in the row"


class Kind(NamedTuple):
    """A kind of request sets."""

    help: str
    columns: tuple[str, ...]
    """What is read of a row."""
    optional_columns: tuple[str, ...]
    context: str
    """Template."""
    continuation: str
    parts: Callable[[str, Row, TaskFile], list[Part]]
    """The requests of a row, given where it stands; none where it does not say what is right."""


def _text(place: str, row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise CorpusError(f"{place}: {name!r} is {type_name(value)}, not a text")
    return value


def _choices(place: str, row: Row, task: TaskFile) -> list[Part]:
    texts, gold = _told_apart(place, "gold", row, row.get("choices"), task)
    return [Part(row, tuple({**row, "choice": text} for text in texts), gold)]


def _told_apart(
    place: str, gold_column: str, row: Row, value: object, task: TaskFile
) -> tuple[tuple[str, ...], int]:
    """The choices of a row and the place of the right one."""
    if isinstance(value, list) and len(value) == 1:
        raise RowLeftOut(place, "a single choice")
    choices = read_choices(place, value, may_be_empty=True)
    gold = gold_place(place, gold_column, row.get(gold_column), choices, task.gold_from)
    if gold is None:
        raise RowLeftOut(place, NO_ANSWER)
    if choices.texts.count(choices.texts[gold]) > 1 and all(choices.texts):
        raise RowLeftOut(place, "the right answer twice among the choices")
    return choices.texts, gold


def _answer(place: str, row: Row, name: str) -> str:
    """What is asked for; a null says nothing."""
    if row.get(name, "") is None:
        raise RowLeftOut(place, NO_ANSWER)
    return _text(place, row, name)


def _cloze(place: str, row: Row, task: TaskFile) -> list[Part]:
    text = _text(place, row, "text")
    if task.blank is None and row.get("options") is not None:
        raise CorpusError(
            f"{place}: options for no blank; blank = … in the task file says what stands for it"
        )
    if task.blank is None:
        match = _LAST_WORD.match(text)
        if match is None:
            raise CorpusError(f"{place}: 'text' has fewer than two words, so that none can be asked for")
        return [Part({**row, "before": match[1]}, ({**row, "answer": match[2], "after": ""},))]
    before, blank, after = text.partition(task.blank)
    if not blank:
        raise CorpusError(f"{place}: 'text' has no blank {task.blank!r}")
    if task.blank in after:
        raise CorpusError(f"{place}: 'text' has several blanks {task.blank!r}, and one can be asked for")
    stem = before.rstrip()  # the white space is the answer's, as tokenizers have it
    texts: tuple[str, ...]
    if row.get("options") is None:
        texts, gold = (_answer(place, row, "answer"),), 0
    else:
        texts, gold = _told_apart(place, "answer", row, row["options"], task)
    answers = tuple({**row, "answer": before[len(stem) :] + text, "after": after} for text in texts)
    return [Part({**row, "before": stem}, answers, gold)]


def _code(place: str, row: Row, _: TaskFile) -> list[Part]:
    tests = row.get("tests") or ""
    if isinstance(tests, list):
        tests = "\n".join(str(test) for test in tests)
    values = {**row, "prompt": _text(place, row, "prompt"), "tests": tests}
    return [Part(values, ({**values, "solution": _answer(place, row, "solution")},))]


def _translation(place: str, row: Row, task: TaskFile) -> list[Part]:
    pair = row.get("translation")  # as the data sets of WMT and OPUS have it
    if isinstance(pair, Mapping):
        languages = {side: task.values.get(f"{side}_language") for side in ("source", "target")}
        row = {**row, **{side: pair.get(language) for side, language in languages.items()}}
    values = {**row, "source": _text(place, row, "source"), "target": _answer(place, row, "target")}
    return [Part(values, (values,))]


def _chat(place: str, row: Row, _: TaskFile) -> list[Part]:
    """A request for each turn of the assistant's, behind all that was said before."""
    messages = row.get("messages")
    if isinstance(messages, str):
        messages = _parsed(place, "messages", messages)
    if not isinstance(messages, list):
        raise CorpusError(f"{place}: 'messages' is {type_name(messages)}, not a list")
    tools = row.get("tools")
    history = f"tools: {_as_json(place, 'tools', tools)}\n\n" if tools else ""
    parts = []
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise CorpusError(f"{place}: message {number} is {type_name(message)}, not an object")
        role = message.get("role", message.get("from"))
        if not isinstance(role, str):
            raise CorpusError(
                f"{place}: message {number} does not say whose it is: 'role' is {type_name(role)}"
            )
        said = _said(f"{place}: message {number}", message)
        if role in _ASSISTANTS and said and history:
            values = {**row, "history": history, "role": role}
            parts.append(Part(values, ({**values, "reply": said},)))
        history += f"{role}: {said}\n\n"
    return parts


def _said(place: str, message: Row) -> str:
    """What a message says: its text, then its calls of tools, one in a line as JSON."""
    content = message.get("content", message.get("value"))
    if isinstance(content, list):
        content = "".join(_part_text(place, part) for part in content)
    if content is not None and not isinstance(content, str):
        raise CorpusError(f"{place}: its content is {type_name(content)}, not a text")
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise CorpusError(f"{place}: its tool_calls are {type_name(calls)}, not a list")
    lines = [content] if content else []
    for call in calls:
        function = call.get("function", call) if isinstance(call, Mapping) else call
        if not isinstance(function, Mapping) or "name" not in function:
            raise CorpusError(f"{place}: a tool call has no name")
        arguments = function.get("arguments")
        if isinstance(arguments, str):  # as OpenAI's interface has them
            arguments = _parsed(place, "arguments", arguments or "{}")
        lines.append(_as_json(place, "tool_calls", {"name": function["name"], "arguments": arguments}))
    return "\n".join(lines)


def _part_text(place: str, part: object) -> str:
    """What a part of a message's content says; others than texts, as pictures, no model here reads."""
    text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None
    if not isinstance(text, str):
        raise CorpusError(f"{place}: a part of its content is no text; leave such rows out of the data")
    return text


def _parsed(place: str, name: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{place}: {name!r} is no JSON: {error}") from None


def _as_json(place: str, name: str, value: object) -> str:
    if isinstance(value, str):
        value = _parsed(place, name, value)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise CorpusError(f"{place}: {name!r} cannot be written as JSON: {error}") from None


KINDS: Mapping[str, Kind] = {
    "choices": Kind(
        "multiple choice: a question, a list of answers, which one is right",
        ("question", "choices"),
        ("gold",),
        "Question: {question}\nAnswer:",
        " {choice}",
        _choices,
    ),
    "cloze": Kind(
        "a text with a blank, or whose last word is asked for; options where there are any",
        ("text",),
        ("answer", "options"),
        "{before}",
        "{answer}{after}",
        _cloze,
    ),
    "code": Kind(
        "the beginning of a program, or what it shall do and its tests; its solution (nothing is run)",
        ("prompt", "solution"),
        ("tests",),
        "{prompt}",
        "{solution}",
        _code,
    ),
    "chat": Kind(
        "a conversation, with calls of tools: every turn of the assistant's, behind all that was said before",
        ("messages",),
        ("tools",),
        "{history}{role}:",
        " {reply}",
        _chat,
    ),
    "translation": Kind(
        "a text and its translation",
        ("source", "target"),
        ("translation",),
        "{source}\n=\n",
        "{target}",
        _translation,
    ),
}
"""Every kind by its name."""
