"""Task files, and what they make of rows in the public formats."""

import json
from pathlib import Path

import pytest
import yaml

from evalkit.corpora.document import Corpus
from evalkit.corpora.importers import read_documents
from evalkit.errors import CorpusError, EvalkitError, UsageError
from evalkit.requests.build import build_requests
from evalkit.requests.exports import export_requests
from evalkit.requests.task_file import load_task

ARC = {"question": "2+2?", "choices": {"text": ["3", "4"], "label": ["A", "B"]}, "answerKey": "B"}
CALL = {"function": {"name": "weather", "arguments": '{"city": "Bern"}'}}
CHAT = [
    {"role": "user", "content": "Weather in Bern?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "12 °C"},
    {"role": "assistant", "content": "12 degrees."},
]


def build(folder: Path, rows: list[object], **fields: object) -> Corpus:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = {"name": "set", "data": {"path": "rows.jsonl"}, **fields}
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(task), encoding="utf-8")
    return build_requests(load_task(path))


@pytest.mark.parametrize(
    ("row", "fields", "expected"),
    [
        (
            ARC,
            {"kind": "choices", "columns": {"gold": "answerKey"}},
            ("Question: 2+2?\nAnswer:", [" 3", "* 4"]),
        ),
        (
            {"question": "2-1?", "choices": {"text": ["2", "1"], "label": ["1", "2"]}, "gold": "2"},
            {"kind": "choices"},
            ("Question: 2-1?\nAnswer:", [" 2", "* 1"]),
        ),
        (
            {"question": "1-2?", "choices": ["1", "-1"], "gold": "-1"},
            {"kind": "choices"},
            ("Question: 1-2?\nAnswer:", [" 1", "* -1"]),
        ),
        (
            {"question": "q?", "choices": {"choices": ["a", "b", "c"], "labels": [0, 1, 0]}},  # TruthfulQA
            {"kind": "choices"},
            ("Question: q?\nAnswer:", [" a", "* b", " c"]),
        ),
        (
            {
                "question": "q?",
                "choices": [{"text": "a", "label": "A"}, {"text": "b", "label": "B"}],
                "key": "B",
            },
            {"kind": "choices", "columns": {"gold": "key"}},
            ("Question: q?\nAnswer:", [" a", "* b"]),
        ),
        (
            {"question": "q?", "choices": [{"text": "a", "correct": False}, {"text": "b", "correct": True}]},
            {"kind": "choices"},
            ("Question: q?\nAnswer:", [" a", "* b"]),
        ),
        (
            {"passage": "p", "question": "q?", "answer": True},  # BoolQ
            {"kind": "choices", "columns": {"gold": "answer"}, "choices": {"false": "no", "true": "yes"}},
            ("Question: q?\nAnswer:", [" no", "* yes"]),
        ),
        (
            {"premise": "p", "hypothesis": "h", "label": 2.0},  # a table that lacks a label elsewhere
            {
                "kind": "choices",
                "columns": {"gold": "label", "question": "premise"},
                "choices": {"0": "True", "1": "Neither", "2": "False"},
                "context": "{premise} {hypothesis}:",
            },
            ("p h:", [" True", " Neither", "* False"]),
        ),
        (
            {"ctx": "A dog", "a": "barks.", "b": "flies.", "label": "0"},
            {
                "kind": "choices",
                "columns": {"question": "ctx", "choices": "a,b", "gold": "label"},
                "context": "{question}",
                "description": "Go on.\n",
            },
            ("Go on.\nA dog", ["* barks.", " flies."]),
        ),
        (
            {"question": "{x}?", "choices": ["{y}", "z"], "gold": "{y}"},
            {"kind": "choices", "continuation": " {{{choice}}}"},
            ("Question: {x}?\nAnswer:", ["* {{y}}", " {z}"]),
        ),
        (
            {"text": "It ran because _ was fast.", "o1": "the cat", "o2": "the dog", "answer": "2"},
            {"kind": "cloze", "blank": "_", "gold_from": 1, "columns": {"options": "o1,o2"}},
            ("It ran because", [" the cat was fast.", "* the dog was fast."]),
        ),
        ({"text": "the old wooden  door\n"}, {"kind": "cloze"}, ("the old wooden", ["*  door"])),
        (
            {"prompt": "def f():\n", "solution": "    return 1\n", "tests": ["assert f() == 1"]},
            {"kind": "code", "context": "{tests}\n{prompt}"},
            ("assert f() == 1\ndef f():\n", ["*    return 1\n"]),
        ),
        (
            {"translation": {"en": "Good day.", "de": "Guten Tag."}},
            {
                "kind": "translation",
                "values": {"source_language": "en", "target_language": "de"},
                "context": "{source_language}: {source}\n{target_language}:",
                "continuation": " {target}",
            },
            ("en: Good day.\nde:", ["* Guten Tag."]),
        ),
    ],
)
def test_rows_become_requests(
    tmp_path: Path, row: object, fields: dict[str, object], expected: tuple[str, list[str]]
) -> None:
    [document] = build(tmp_path, [row], **fields).documents
    context, choices = expected
    gold = [choice.removeprefix("*") for choice in choices if choice.startswith("*")]
    assert (document.context, [document.text]) == (context, gold)
    plain = tuple(choice.removeprefix("*") for choice in choices)
    assert document.choices == (plain if len(choices) > 1 else None)


def test_every_turn_of_an_assistant_is_a_request_of_one_question(tmp_path: Path) -> None:
    first, second = build(tmp_path, [{"messages": CHAT}], kind="chat").documents
    call = ' {"name": "weather", "arguments": {"city": "Bern"}}'
    assert (first.context, first.text) == ("user: Weather in Bern?\n\nassistant:", call)
    assert second.context == f"{first.context}{call}\n\ntool: 12 °C\n\nassistant:"
    assert second.text == " 12 degrees." and first.cluster == second.cluster is not None


def test_solved_examples_stand_before_questions_and_what_has_no_answer_is_counted(tmp_path: Path) -> None:
    rows: list[object] = [
        {"question": q, "choices": ["a", "b"], "gold": gold}
        for q, gold in zip("pqrr", (0, 1, -1, 0), strict=True)
    ]
    task = {"kind": "choices", "context": "{question}:", "shots": {"num_shots": 1, "separator": "|"}}
    corpus = build(tmp_path, [*rows, rows[-1]], **task)
    assert [document.context for document in corpus.documents] == ["p: a|q:", "p: a|r:"]
    assert corpus.manifest.num_dropped == {"no answer in the row": 1, "exact duplicate": 1}
    again = build(tmp_path, [*rows, rows[-1]], **task)
    assert again.sha256 == corpus.sha256  # of the texts alone
    [written] = export_requests(corpus, "jsonl", tmp_path / "set.jsonl")
    assert read_documents(written).corpus("set", "read from").sha256 == corpus.sha256


def test_rows_that_nothing_can_be_made_of_are_counted_and_the_others_are_read(tmp_path: Path) -> None:
    rows: list[object] = [
        {"question": "p", "a": "x", "b": "y", "c": None},  # no right answer
        {"question": "q", "a": "x", "b": "y", "c": "z", "gold": "c"},
        {"question": "r", "a": "x", "b": "y", "c": "", "gold": ["B"]},
        {"question": "s", "a": "x", "b": None, "c": None, "gold": 0},
        {"question": "t", "a": "x", "b": "y", "c": "x", "gold": "a"},
    ]
    corpus = build(tmp_path, rows, kind="choices", columns={"choices": "a,b,c"}, context="{question}")
    assert [(document.text, document.choices) for document in corpus.documents] == [
        (" z", (" x", " y", " z")),
        (" y", (" x", " y")),
    ]
    assert corpus.manifest.num_dropped == {
        "no answer in the row": 1,
        "a single choice": 1,
        "the right answer twice among the choices": 1,
    }
    rows = [{"source": "a", "target": None}, {"source": "a", "target": "b"}]
    assert build(tmp_path, rows, kind="translation").manifest.num_dropped == {"no answer in the row": 1}


def test_a_right_answer_is_told_by_a_label_in_other_capitals(tmp_path: Path) -> None:
    task = {"kind": "choices", "choices": {"false": "no", "true": "yes"}}
    corpus = build(tmp_path, [{"question": "q", "gold": "True"}, {"question": "r", "gold": False}], **task)
    assert [document.text for document in corpus.documents] == [" yes", " no"]


@pytest.mark.parametrize(
    ("row", "fields", "error", "message"),
    [
        (ARC, {"kind": "chois"}, UsageError, "unknown kind 'chois'. Did you mean choices"),
        (ARC, {"kind": "choices"}, CorpusError, "(1 no answer in the row); [columns] gold = … in the task"),
        (ARC, {"kind": "choices", "choices": {"A": "a"}}, UsageError, "choices has 1 for the kind choices"),
        (ARC, {"kind": "cloze", "choices": {"A": "a", "B": "b"}}, UsageError, "and the kind choices"),
        (
            {"question": "q", "choices": {"choices": ["a", "b"], "labels": [1, 1]}},
            {"kind": "choices"},
            CorpusError,
            "line 1: 2 choices are marked as right",
        ),
        (ARC, {"kind": "choices", "columns": {"gol": "x"}}, UsageError, "unknown column 'gol'"),
        (ARC, {"kind": "choices", "context": "{question.x}"}, UsageError, "is no name of a value"),
        (ARC, {"kind": "choices", "context": "{"}, UsageError, "a brace that is text is written twice"),
        ({"text": "word"}, {"kind": "cloze"}, CorpusError, "fewer than two words"),
        ({"text": "a b"}, {"kind": "cloze", "blank": "_"}, CorpusError, "has no blank '_'"),
        (
            {"text": "a __ b", "answer": "c"},
            {"kind": "cloze", "blank": "_"},
            CorpusError,
            "several blanks '_'",
        ),
        ({"text": "a _ b", "options": ["c", "d"]}, {"kind": "cloze"}, CorpusError, "options for no blank"),
        ({"messages": "x"}, {"kind": "chat"}, CorpusError, "'messages' is no JSON"),
        (
            {"messages": [{"content": "a"}, {"role": "assistant", "content": "b"}]},
            {"kind": "chat"},
            CorpusError,
            "message 0 does not say whose it is: 'role' is null",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}]},
            {"kind": "chat"},
            CorpusError,
            "message 0: a part of its content is no text",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            {"kind": "chat"},
            CorpusError,
            "message 0: a part of its content is no text",
        ),
        (
            {"question": 1, "choices": ["a", "b"], "gold": "Z"},
            {"kind": "choices"},
            CorpusError,
            "'gold' is 'Z'",
        ),
        (
            {"question": 1, "choices": ["a", "a"], "gold": 0},
            {"kind": "choices"},
            CorpusError,
            "no request is left of it (1 the right answer twice among the choices)",
        ),
        (
            {"question": "\ud800", "choices": ["a", "b"], "gold": 0},
            {"kind": "choices"},
            CorpusError,
            "holds a lone surrogate",
        ),
        ({"text": "a b"}, {"kind": "cloze", "limit": 0}, UsageError, "limit is 0"),
        ({"text": "a b"}, {"kind": "cloze", "shot": {}}, UsageError, "shot is unknown"),
    ],
)
def test_what_is_no_task_or_no_row_of_one_is_refused_in_a_line(
    tmp_path: Path, row: object, fields: dict[str, object], error: type[EvalkitError], message: str
) -> None:
    with pytest.raises(error) as raised:
        build(tmp_path, [row], **fields)
    assert message in str(raised.value)


TASK = "name: set\nkind: choices\ndata:\n  path: rows.jsonl\n"


def test_a_task_file_says_each_thing_once_and_dates_with_quotes_or_without(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(TASK + "date_from: 2026-11-01\ndate_to: '2026-11-02'\n", encoding="utf-8")
    task = load_task(path).file
    assert (task.date_from, task.date_to) == ("2026-11-01", "2026-11-02")
    path.write_text(TASK + "values: {target_language: no}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="target_language must be a string, not False; YAML reads yes, no"):
        load_task(path)
    for text, line in ((TASK + "name: other\n", 5), (TASK + "  path: other.jsonl\n", 5)):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=f"stands twice, again in line {line}"):
            load_task(path)
