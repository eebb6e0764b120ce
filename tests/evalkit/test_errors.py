import pytest

from evalkit.errors import CorpusError, EvalkitError, first_line, one_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n\n  one  \ntwo"), "one"),
        (RuntimeError("PytorchStreamReader failed:\n  no central directory\nframe #0"), None),
        (ValueError("only an announcement:"), "only an announcement:"),
        (MemoryError(), "MemoryError"),
        (OSError(" \n "), "OSError"),
    ],
)
def test_the_first_line_of_an_error_says_something(error: Exception, line: str | None) -> None:
    assert first_line(error) == (line or "PytorchStreamReader failed: no central directory")


def test_a_message_in_one_line_keeps_every_word() -> None:
    assert one_line(" the device\n  has\tleft\r\nthe building\n") == "the device has left the building"
    assert one_line("") == ""


@pytest.mark.parametrize(
    "end", sorted({chr(n) for n in range(0x3000) if len(f"a{chr(n)}b".splitlines()) > 1})
)
def test_a_message_is_one_line_whatever_it_quotes(end: str) -> None:
    """Columns of a table may be called anything."""
    message = str(CorpusError(f"no 'text' among te{end}xt"))
    assert len(message.splitlines()) == 1
    assert message in (
        "no 'text' among te xt",
        f"no 'text' among te{end!r}xt".replace(repr(end), repr(end)[1:-1]),
    )
    assert str(EvalkitError()) == ""
