"""What reaches a terminal is shown and not obeyed, and there is one way for it to get there."""

import io
import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from evalkit.terminal import complain, console_for, print_table, printable, printable_json, show


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, żółw 文字 مرحبا \u00a0", "plain, żółw 文字 مرحبا \u00a0"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),  # CSI in one character
        ("a\nevalkit: forged", r"a\nevalkit: forged"),
        ("a\r\n\tb\x08\x7f", r"a\r\n\tb\x08\x7f"),
        ("gnp.\u202egpj\u202c", r"gnp.\u202egpj\u202c"),
        (
            "\u2066\u2069\u200e\u061c\u2028\u2029\ufeff\u200b",
            r"\u2066\u2069\u200e\u061c\u2028\u2029\ufeff\u200b",
        ),
        ("\U000e0041", r"\U000e0041"),  # a tag, which hides a letter
        ("\udc80", r"\udc80"),  # of a file's name that is no UTF-8
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian is misspelled without the joiner
        ("👩\u200d🔬", "👩\u200d🔬"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.text(st.characters(), max_size=40))
def test_nothing_of_any_text_is_obeyed(text: str) -> None:
    shown = printable(text)
    obeyed = {character for character in shown if unicodedata.category(character) in OBEYED}
    assert obeyed <= set("\u200c\u200d\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2") | {
        "\U000110bd",
        "\U000110cd",
    }
    assert printable(shown) == shown
    assert shown.encode().decode() == shown
    value = {"key " + text: [text, 1.5, None]}
    if all(unicodedata.category(character) != "Cs" for character in text):
        assert json.loads(printable_json(value)) == value
    assert printable(printable_json(value).replace("\n", "")) == printable_json(value).replace("\n", "")


def test_lines_tables_and_complaints(capsys: pytest.CaptureFixture[str]) -> None:
    show("a\x1b[2Jb\nc")
    complain("no\x1bsuch\nfile")
    out, err = capsys.readouterr()
    assert out == "a\\x1b[2Jb\\nc\n"
    assert err == "evalkit: no\\x1bsuch file\n"
    stream = io.StringIO()
    table = Table("\x1bhead", title="\x1btitle")
    table.add_row("[red]a\x1b[31m:cat:\u202e\n")
    console_for(stream, width=80).print(table)
    console_for(stream, width=80).print("line\x1b")
    text = stream.getvalue()
    assert "\x1b" not in text and "\u202e" not in text
    assert r"[red]a\x1b[31m:cat:\u202e\n" in text and r"\x1btitle" in text and r"line\x1b" in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_word_of_a_table_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    for licenses in (["CC-BY-SA-4.0, LGPL-2.1-or-later"], ["MIT, " * 30]):
        table = Table(box=None)
        table.add_column("corpus", no_wrap=True)
        table.add_column("licenses")
        table.add_row("a-corpus-with-a-long-name-2026-11", *licenses)
        terminal, pipe = Terminal(), io.StringIO()
        print_table(table, terminal)
        print_table(table, pipe)
        words = {word for word in re.split(r"[\s]|\x1b\[\d*m", terminal.getvalue()) if word}
        assert words == {"corpus", "licenses", "a-corpus-with-a-long-name-2026-11", *licenses[0].split()}
        assert len(pipe.getvalue().splitlines()) == 2


def test_no_cell_of_a_narrow_table_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    table = Table(box=None)
    table.add_column("documents", no_wrap=True, justify="right")
    table.add_column("seeds", no_wrap=True)
    for name in ("bits per byte", "licenses"):  # of which one wraps far more often than the next
        table.add_column(name)
    cells = (
        "1,234, incomplete",
        "0.95 1.00 0.95 (0.05)",
        "0.9312 " * 20,
        "LGPL-2.1-or-later-with-exceptions",
    )
    table.add_row(*cells)
    terminal = Terminal()
    print_table(table, terminal)
    text = terminal.getvalue()
    assert "…" not in text and text.count("0.9312") == 20
    assert all(cell in text for cell in (*cells[:2], cells[3]))
