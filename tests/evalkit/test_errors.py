import pytest

from evalkit.errors import first_line, one_line


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
