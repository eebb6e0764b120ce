import io
from pathlib import Path

import pytest
from rich.console import Console

from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.runner.progress import BarReporter, LineReporter, describe, duration, reporter_for
from evalkit.runner.reporter import ItemProgress
from evalkit.runner.tasks import run_tasks
from evalkit.scoring.documents import Progress
from evalkit.tasks import TaskOptions
from tests.evalkit.runner.test_tasks import Counting
from tests.support.toys import TEXTS, BigramModel, BrokenModel, corpus_of


def at(done: float, *, elapsed_s: float = 2.0) -> Progress:
    num_documents = int(10 * done)
    return Progress(num_documents, num_documents * 1000, num_documents * 2500.0, done, elapsed_s)


def test_what_is_said_of_progress() -> None:
    assert describe(at(0.5), 10) == "5/10 documents, 2.5 kB/s, 2.500 bits/byte, 2 s left"
    assert describe(at(0.25, elapsed_s=100), 10).endswith("5 min 0 s left")
    assert describe(at(0.0, elapsed_s=0), 10) == "0/10 documents"
    assert describe(at(1.0), 10) == "10/10 documents, 5.0 kB/s, 2.500 bits/byte"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lines_come_at_most_once_per_interval_and_at_the_end() -> None:
    stream, now = io.StringIO(), [100.0]
    reporter = LineReporter(stream, clock=lambda: now[0])
    reporter.start("model", "corpus", 10)
    times = [101, 105, 109, 110, 111, 119, 120, 121, 155, 156]
    for number, time in enumerate(times, start=1):
        now[0] = time
        reporter.advance(at(number / 10))
    reporter.finish()
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == [
        f"model on corpus: {number}/10 documents" for number in (4, 7, 9, 10)
    ]


def test_the_last_line_comes_once() -> None:
    stream, now = io.StringIO(), [0.0]
    reporter = LineReporter(stream, clock=lambda: now[0])
    reporter.finish()  # nothing was started
    reporter.start("model", "corpus", 10)
    now[0] = 50
    reporter.advance(at(1.0))
    reporter.finish()
    reporter.finish()
    assert len(stream.getvalue().splitlines()) == 1


def test_a_run_tells_its_plan_and_its_end(tmp_path: Path) -> None:
    stream = io.StringIO()
    corpus = corpus_of(TEXTS)
    run([BigramModel("old")], [corpus], options=RunOptions(output=tmp_path))
    models = [BigramModel("old"), BigramModel("new", 1), BrokenModel("nan")]
    run(
        models,
        [corpus],
        options=RunOptions(output=tmp_path, reporter=LineReporter(stream, clock=lambda: 0.0)),
    )
    lines = stream.getvalue().splitlines()
    assert lines[:3] == [
        "1 of 3 cells done, 2 to score",
        f"  new on corpus: 7 documents, {corpus.num_bytes} bytes, policy document",
        f"  broken-nan on corpus: 7 documents, {corpus.num_bytes} bytes, policy document",
    ]
    assert len(lines) == 5
    assert lines[3].startswith("new on corpus: 7/7 documents, ")
    bits_per_byte = sum(map(BigramModel(seed=1).bits, TEXTS)) / corpus.num_bytes
    assert f"{bits_per_byte:.3f} bits/byte" in lines[3]


def test_of_a_task_items_are_counted(tmp_path: Path) -> None:
    stream = io.StringIO()
    tasks = Counting().make(["sheep"], TaskOptions("2026-11-01"))
    run_tasks(
        [BigramModel("one")],
        tasks,
        options=RunOptions(output=tmp_path, reporter=reporter_for(stream)),
    )
    assert stream.getvalue().splitlines()[-1] == "one on sheep (counting): 3/3 items"
    shown, console = terminal()
    reporter = BarReporter(console)
    reporter.start("one", "sheep", 10)
    reporter.advance(ItemProgress(5, 0.5, 2.0))
    reporter.finish()
    assert "5/10 items, 2 s left" in shown.getvalue()


def test_a_failed_cell_has_no_last_line(tmp_path: Path) -> None:
    stream = io.StringIO()
    breaking = corpus_of(["BREAK", *TEXTS])
    run([BrokenModel("nan")], [breaking], options=RunOptions(output=tmp_path, reporter=LineReporter(stream)))
    assert "7/7" not in stream.getvalue()
    assert "FAILED broken-nan on corpus: " in stream.getvalue()


def terminal() -> tuple[io.StringIO, Console]:
    stream = io.StringIO()
    return stream, Console(file=stream, force_terminal=True, width=160, legacy_windows=False)


def test_a_terminal_shows_a_bar_with_documents_speed_and_bits(tmp_path: Path) -> None:
    stream, console = terminal()
    corpus = corpus_of(TEXTS)
    run(
        [BigramModel("[red]model")],
        [corpus],
        options=RunOptions(output=tmp_path, reporter=BarReporter(console)),
    )
    shown = stream.getvalue()
    assert "0 of 1 cells done, 1 to score" in shown
    assert "[red]model on corpus" in shown  # no markup in names
    assert "7/7 documents" in shown
    assert "kB/s" in shown
    bits_per_byte = sum(map(BigramModel().bits, TEXTS)) / corpus.num_bytes
    assert f"{bits_per_byte:.3f} bits/byte" in shown
    assert "cell 1/1: [red]model on corpus" in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")  # the cursor is back


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_cursor_comes_back_whatever_happens(error: type[BaseException], tmp_path: Path) -> None:
    class Fails(BigramModel):
        def nats(self, *_: object, **__: object) -> list[object]:  # type: ignore[override]
            raise error

    stream, console = terminal()
    try:
        run([Fails()], [corpus_of(TEXTS)], options=RunOptions(output=tmp_path, reporter=BarReporter(console)))
    except KeyboardInterrupt:
        assert error is KeyboardInterrupt
    shown = stream.getvalue()
    assert "\x1b[?25l" in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")


def test_a_long_message_is_one_line_on_a_terminal_too() -> None:
    stream, console = terminal()
    BarReporter(console).message("word " * 100)
    assert stream.getvalue().count("\n") == 1


def test_the_stream_decides_which(tmp_path: Path) -> None:
    assert isinstance(reporter_for(io.StringIO()), LineReporter)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(reporter_for(Terminal()), BarReporter)
