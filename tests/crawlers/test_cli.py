"""``evalkit crawl`` as users meet it: commands, plug-ins, one-line errors, and on to ``evalkit run``."""

import inspect
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner, Result

import evalkit.cli.main
from evalkit.errors import UsageError
from evalkit_crawlers.cli import app
from evalkit_crawlers.command import crawl_command
from evalkit_crawlers.source import Source
from tests.crawlers.crawling.test_thousand import paper
from tests.support.crawling import CONTACT
from tests.support.replay import FakeClock, Reply, Request, Server, serve
from tests.support.site_arxiv import ARXIV_HOSTS, arxiv_site
from tests.support.toy_source import pages, toy_site

ROOT = Path(__file__).parents[2]
WINDOW = ["--since", "2026-11-01", "--until", "2026-11-15"]

PLUGIN = '''
from typing import Annotated
import typer
from evalkit_crawlers.command import crawl_command
from tests.support.toy_source import ToySource

@crawl_command
def command(colour: Annotated[str, typer.Option("--colour", help="Of the toys.")] = "red"):
    """Toys of all kinds."""
    return ToySource()
'''


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's package with a source, and one that is broken, both installed."""
    for name, code in {"toy_crawler_plugin": PLUGIN, "broken_plugin": "import no_such_module\n"}.items():
        (tmp_path / f"{name}.py").write_text(code)
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        command = name.split("_")[0]
        (folder / "entry_points.txt").write_text(f"[evalkit.crawlers]\n{command} = {name}:command\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def at_once(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    monkeypatch.setattr("evalkit_crawlers.crawling.crawl.SystemClock", lambda: clock)


def crawl(server: Server, *arguments: str) -> Result:
    endpoints = [f"--endpoint={host}={url}" for host, url in server.endpoints.items()]
    return CliRunner().invoke(app, [*arguments, *endpoints], catch_exceptions=False)


def evalkit_process(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join(map(str, filter(None, (path, ROOT))))
    return subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        env=os.environ | {"PYTHONPATH": search, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_users_package_adds_a_source(plugins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    at_once(monkeypatch, clock)
    with serve(toy_site(pages(5)), ["listing.example", "pages.example"], clock) as server:
        result = crawl(server, "toy", *WINDOW, "--contact", CONTACT, "--allow-private-hosts")
    assert result.exit_code == 0
    assert result.stdout.startswith("toy-2026-11-01-2026-11-15: 5 documents, ")
    assert "licenses: 5 CC-BY-4.0" in result.stdout
    assert Path("corpora/toy-2026-11-01-2026-11-15/manifest.json").exists()


def test_a_broken_plugin_is_one_line_and_the_others_work(plugins: Path) -> None:
    process = evalkit_process("crawl", "--help", path=plugins)
    assert process.returncode == 0
    assert "Toys of all kinds." in process.stdout
    assert {"arxiv", "news", "wikipedia", "toy"} <= set(process.stdout.split())
    (line,) = process.stderr.splitlines()
    assert line.startswith(
        "evalkit: source 'broken' (broken_plugin:command) is not available: ModuleNotFoundError"
    )


def test_bad_input_is_one_line_before_anything_is_fetched() -> None:
    process = evalkit_process("crawl", "arxiv", "--since", "2026-11-15", "--until", "2026-11-01")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "evalkit: --until 2026-11-01 lies before --since 2026-11-15; swap them\n"


def test_help_imports_no_crawler() -> None:
    code = (
        "import sys\nimport evalkit.cli.main\nsys.argv = ['evalkit', '--help']\n"
        "try:\n    evalkit.cli.main.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'httpx2', 'lxml', 'trafilatura', 'feedparser', 'evalkit_crawlers.http.fetch'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    assert "crawl" in process.stdout


def test_the_contact_is_needed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALKIT_CONTACT", raising=False)
    clock = FakeClock()
    at_once(monkeypatch, clock)
    with serve(arxiv_site([paper(1)]), ARXIV_HOSTS, clock) as server:
        with pytest.raises(UsageError, match="--contact"):
            crawl(server, "arxiv", *WINDOW, "--allow-private-hosts")
        assert server.log == []
        assert crawl(server, "arxiv", *WINDOW, "--allow-private-hosts", "--contact", CONTACT).exit_code == 0
        again = crawl(server, "arxiv", *WINDOW, "--allow-private-hosts", "--name", "again")
        assert again.exit_code == 0
        assert {request.headers["user-agent"][-len(CONTACT) - 2 :] for request in server.requests()} == {
            f"({CONTACT})"
        }


def test_an_interrupted_crawl_ends_at_once_and_says_how_to_go_on(plugins: Path) -> None:
    child: list[subprocess.Popen[str]] = []
    started = threading.Event()
    inner = toy_site(pages(9))

    def site(request: Request) -> Reply:
        started.wait()
        if request.path == "/doc0000":  # eight more are to come, by the system's clock
            child[0].send_signal(signal.SIGINT)
            return Reply(b"never sent", stall_after=0)  # who waits for it waits until it times out
        return inner(request)

    with serve(site, ["listing.example", "pages.example"]) as server:
        endpoints = [f"--endpoint={host}={url}" for host, url in server.endpoints.items()]
        arguments = ["crawl", "toy", *WINDOW, "--contact", CONTACT, "--allow-private-hosts", *endpoints]
        process = subprocess.Popen(
            [sys.executable, "-m", "evalkit", *arguments],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(plugins), str(ROOT)])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        child.append(process)
        started.set()
        _, errors = process.communicate()
        paths = [request.path for request in server.requests("pages.example")]
    assert process.returncode == 130
    assert paths == ["/robots.txt", "/doc0000"]
    assert "Traceback" not in errors and "next try" not in errors
    assert errors.splitlines()[-1].startswith("evalkit: interrupted; what is finished is kept")


def test_private_hosts_need_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    at_once(monkeypatch, clock)
    with serve(arxiv_site([paper(1)]), ARXIV_HOSTS, clock) as server:
        with pytest.raises(Exception, match="private address"):
            crawl(server, "arxiv", *WINDOW, "--contact", CONTACT)
        assert server.log == []


def test_a_crawled_corpus_goes_straight_into_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    at_once(monkeypatch, clock)
    papers = [paper(number) for number in range(1, 7)]
    with serve(arxiv_site(papers), ARXIV_HOSTS, clock) as server:
        result = crawl(
            server,
            "arxiv",
            *WINDOW,
            "--categories",
            "cs.CL,math",
            "--contact",
            CONTACT,
            "--allow-private-hosts",
        )
        assert result.exit_code == 0
    names = ["arxiv-2026-11-01-2026-11-15", "arxiv-2026-11-01-2026-11-15-abstracts"]
    assert [line.partition(":")[0] for line in result.stdout.splitlines()[::2]] == names
    run = CliRunner().invoke(
        evalkit.cli.main.app,
        ["run", "--models", "zstd", "--corpora", ",".join(names), "--json"],
        catch_exceptions=False,
    )
    assert run.exit_code == 0
    cells = json.loads(run.stdout)["cells"]
    assert {cell["corpus"]["name"] for cell in cells} == set(names)
    for cell in cells:
        # Words from a list of about ninety: far less than a byte's 8 bits, far more than nothing.
        assert 1.0 < cell["metrics"]["bits_per_byte"] < 4.5
        assert cell["totals"]["num_documents"] == 4


def test_a_plugin_with_options_that_typer_does_not_know_is_one_line(plugins: Path) -> None:
    (plugins / "broken_plugin.py").write_text("def command(depth: int | str = 0): ...\n")
    process = evalkit_process("crawl", "--help", path=plugins)
    assert process.returncode == 0 and "Toys of all kinds." in process.stdout
    (line,) = process.stderr.splitlines()
    assert line.startswith(
        "evalkit: source 'broken' (broken_plugin:command) is not available: AssertionError"
    )


def test_a_sources_command_has_its_options_between_the_common_ones() -> None:
    options: list[tuple[str, int]] = []

    @crawl_command
    def command(
        colour: Annotated[str, typer.Option("--colour", help="Of the toys.")],
        size: Annotated[int, typer.Option("--size")] = 3,
    ) -> Source:
        """Toys."""
        options.append((colour, size))
        raise UsageError("made")

    parameters = inspect.signature(command).parameters
    assert list(parameters)[:5] == ["since", "until", "colour", "size", "max_documents"]
    assert command.__doc__ == "Toys." and parameters["size"].default == 3
    with pytest.raises(UsageError, match="made"):
        command(since="2026-11-01", until="2026-11-15", colour="red")
    with pytest.raises(TypeError, match="colour"):
        command(since="2026-11-01", until="2026-11-15")
    assert options == [("red", 3)]
    toys = typer.Typer()
    toys.command()(command)
    result = CliRunner().invoke(toys, ["--since", "2026-11-01", "--until", "2026-11-15", "--colour", "blue"])
    assert isinstance(result.exception, UsageError) and options[1:] == [("blue", 3)]
