"""Automata from files: what the formats say, and one line for anything else."""

import json
import re
from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit_tasks.formal.automaton import Automaton
from evalkit_tasks.formal.automaton_files import MAX_FILE_BYTES, describe, read_automaton

_JFF = """<?xml version="1.0" encoding="UTF-8" standalone="no"?><!--Created with JFLAP 6.4.--><structure>&#13;
<type>fa</type>&#13;
{open}<state id="0" name="q0"><x>1.0</x><initial/></state>
<state id="1" name="q1"><final/></state>
<transition><from>0</from><to>1</to><read>ab</read></transition>
<transition><from>1</from><to>0</to><read/></transition>{more}
{close}</structure>"""


def _jff(more: str = "", tag: str = "automaton") -> str:
    return _JFF.format(open=f"<{tag}>" if tag else "", close=f"</{tag}>" if tag else "", more=more)


def _accepted(path: Path, words: list[str]) -> list[str]:
    automaton = Automaton.from_file(path)
    return [word for word in words if automaton.accepts(automaton.encode(word))[-1]]


@pytest.mark.parametrize(
    ("name", "content", "accepted", "said"),
    [
        # OpenFst prints the start first; the letter twice is a transducer of the identity.
        ("m.att", "2\t1\ta\ta\n1\t2\tb\tb\n2\n", ["ab", "abab"], "2 states, 2 letters (a b); 2 of 4"),
        ("m.att", "0 1 a 0.0\n1 0 b\n0 0\n1 Infinity\n", ["ab", "abab"], "2 states"),
        ("m.att", "s t a\ns s a\nt t <eps>\nt s b\nt\n", ["a", "aa", "aba"], "nondeterministic, made deter"),
        ("m.jff", _jff(), ["ab", "abab"], "3 states, 2 letters (a b); nondeterministic"),
        ("m.jff", _jff(tag=""), ["ab", "abab"], "3 states"),
        ("m.jff", _jff("<transition><from>1</from><to>1</to><read>[b-c]</read></transition>"),
         ["ab", "abab", "abc"], "3 letters (a b c)"),
        ("m.csv", "state,symbol,next,start,accepts\nq,a,r,yes,1\nr,b,q,,\nz,a,z,no,\n", ["ab", "abab"],
         "3 states, 2 letters (a b); 3 of 6 transitions are missing: they reject; no string leads to 1"),
        ("m.csv", "\ufeffnext, state, symbol, accepts, start\nr, q, a, , yes\nq, r, b\n, q, , yes\n",
         ["ab", "abab"], "2 states"),
        ("m.json", json.dumps({"start": 0, "accepts": ["q"], "transitions": [[0, "a", "q"], ["q", None, 0]]}),
         ["a", "aa"], "2 states, 1 letter (a); nondeterministic"),
    ],
)  # fmt: skip
def test_every_format(name: str, content: str, accepted: list[str], said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    letters = {letter for word in accepted for letter in word}
    words = [word for word in ("a", "aa", "ab", "ba", "aba", "abab", "abc") if letters >= set(word)]
    assert _accepted(path, words) == accepted
    assert said in describe(read_automaton(path))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.txt", "", "m.txt: automata are read from .att, .jff, .csv, .json files"),
        ("m.att", "", "no transition reads a letter"),
        ("m.att", "0 1 a\n", "no state accepts"),
        ("m.att", "0 1 a\n2\n", "no string leads to a state that accepts"),
        ("m.att", "0 1 a b\n1\n", "line 1 writes 'b': a transducer"),
        ("m.att", "0 1 a 0.5\n1\n", "line 1 has the weight '0.5'"),
        ("m.att", "0 1 a\n1 nan\n", "line 2 has the weight 'nan'"),
        ("m.att", "0 1 a a 0 0\n", "line 1 is no transition"),
        ("m.att", "0\t\ta\n", "line 1 is no transition"),
        ("m.att", "0 1 ε\n1\n", "the letter 'ε' may be meant as the empty string"),
        ("m.jff", "<structure>", "it is not XML: no element found"),
        ("m.jff", "<structure><type>pda</type></structure>", "it holds 'pda', not an automaton"),
        ("m.jff", "<html/>", "it holds 'html', not an automaton"),
        ("m.jff", "<!DOCTYPE lolz [<!ENTITY a 'b'>]>" + _jff(), "declares entities"),
        ("m.jff", _jff("<transition><to>7</to></transition>"), "'', which is the id of no state"),
        ("m.jff", _jff("<state id='1'/>"), "two states have the id '1'"),
        ("m.jff", _jff().replace("<initial/>", ""), "no state is the start"),
        ("m.csv", "from,to\n", "must name the columns state,symbol,next,start,accepts"),
        ("m.csv", "", "must name the columns"),
        ("m.csv", "state,symbol,next,start\na,b,,yes\n", "line 2 names no next state"),
        ("m.csv", "state,symbol,next,start\na,b,c,maybe\n", "line 2: start is 'maybe'; write yes or no"),
        ("m.csv", "state,symbol,next\na,b,c,d\n", "line 2 has more values"),
        ("m.json", "{}", "start is missing"),
        ("m.json", '{"start": 0, "accepts": [0], "transitions": [[0, "a"]]}', "transitions[0] has 2 entries"),
        ("m.json", '{"start": 0, "accepts": [0], "transitions": [], "x": 1}', "x is unknown"),
    ],
)  # fmt: skip
def test_what_is_no_automaton_is_one_line(name: str, content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(words)) as error:
        Automaton.from_file(path)
    assert "\n" not in str(error.value) and name in str(error.value)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("bytes", "larger than 4 MiB"),
        ("states", "it has 5,001 states; the most is 4,096"),
        ("subsets", "made deterministic it has over 4096 states"),
        ("depth", "nested too deeply"),
    ],
)
def test_what_is_too_large_is_one_line(kind: str, words: str, tmp_path: Path) -> None:
    any_letter = "".join(f"{n} {n + 1} {letter}\n" for n in range(1, 13) for letter in "ab")
    content = {
        "bytes": "0 0 a\n" * (MAX_FILE_BYTES // 6 + 1),
        "states": "".join(f"{n} {n + 1} a\n" for n in range(5000)) + "0\n",
        "subsets": f"0 0 a\n0 0 b\n0 1 a\n{any_letter}13\n",  # which remembers 13 letters
        "depth": "[" * 100_000,
    }
    path = tmp_path / ("m.json" if kind == "depth" else "m.att")
    path.write_text(content[kind])
    with pytest.raises(UsageError, match=words):
        Automaton.from_file(path)


def test_what_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "m.jff").write_bytes(b"\xff\xfe<\0s\0")
    for path, words in (
        (tmp_path / "m.jff", "it is not UTF-8, at byte 0"),
        (tmp_path / "none.jff", "No such file"),
        (Path("nul\0.jff"), "null"),
    ):
        with pytest.raises(UsageError, match=words):
            read_automaton(path)
