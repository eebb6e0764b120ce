import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import evalkit
from evalkit.cli.main import app
from evalkit.scoring.policy import POLICIES
from tests.support.toys import (
    PATIENCE_S,
    TEXTS,
    Outcome,
    cell_files,
    command_line,
    plugin_environment,
    run_cli,
    run_process,
    snapshot,
    write_plugin,
    write_texts,
)

# What people's scripts rely on: names may be added here, and none may go.
COMMANDS = {
    "audit": [],
    "bench": ["compress", "kernels", "profile", "score"],
    "compare": [],
    "compress": [],
    "corpora": ["audit", "check", "import", "list", "publish", "rebuild", "rm", "show", "verify"],
    "cutoff": [],
    "crawl": [],  # its sources are found when it is called
    "curve": [],
    "decompress": [],
    "env": [],
    "explore": [],
    "export": [],
    "leaks": [],
    "leaderboard": [
        "backfill",
        "check",
        "commit",
        "crawl",
        "fetch",
        "init",
        "months",
        "prune",
        "publish",
        "refresh",
        "score",
        "site",
        "window",
    ],
    "lm-eval": [],  # everything behind it is lm-evaluation-harness's own
    "models": ["formats", "list", "show"],
    "losses": [],
    "parity": [],
    "plan": [],
    "plot": [],
    "probe": ["bench", "compile", "list", "registers", "show", "table", "train"],
    "report": [],
    "requests": ["accuracy", "build", "export", "show"],
    "run": [],
    "snr": [],
    "status": [],
    "table": [],
}
OPTIONS = ["--debug", "--help", "--install-completion", "--show-completion", "--version"]
SHORT = {"--output": ["-o"], "--quiet": ["-q"], "--verbose": ["-v"]}
RUN_OPTIONS = {
    "--accept-versions": False,
    "--address": None,
    "--audit": False,
    "--context-gain": None,
    "--corpora": None,
    "--date": None,
    "--device": "auto",
    "--device-map": None,
    "--dry-run": False,
    "--dtype": "auto",
    "--engine": "local",
    "--hidden-state-probe": False,
    "--ignore-tensors": None,
    "--json": False,
    "--lengths": None,
    "--limit": None,
    "--log-file": None,
    "--max-context": None,
    "--models": None,
    "--output": "runs",
    "--policy": "document",
    "--prefix": None,
    "--processes": None,
    "--quiet": False,
    "--prove": 0,
    "--seed": 0,
    "--shard": None,
    "--shots": None,
    "--tasks": None,
    "--token-bits": False,
    "--trust-remote-code": False,
    "--try-prefixes": False,
    "--unaudited": False,
    "--verbose": False,
    "--workers": "auto",
    "--until": None,
    "--watch": None,
}
COMPARE_OPTIONS = {
    "a": ...,
    "b": ...,
    "--common-documents": False,
    "--corpus": None,
    "--device": "auto",
    "--documents": 5,
    "--dtype": "auto",
    "--ignore-tensors": None,
    "--json": False,
    "--kl": False,
    "--limit": None,
    "--max-context": None,
    "--output": "runs",
    "--policy": "document",
    "--prefix": None,
    "--trust-remote-code": False,
}


def no_constants(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


def strict(text: str) -> Any:
    return json.loads(text, parse_constant=no_constants)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "texts.json", TEXTS)


# --- what is promised


def test_commands_and_options_are_frozen() -> None:
    run_cli("--version")  # the program adds the commands of the other rooms
    program: Any = typer.main.get_command(app)
    assert {
        name: sorted(getattr(command, "commands", {})) for name, command in program.commands.items()
    } == COMMANDS
    for command, expected in (("run", RUN_OPTIONS), ("compare", COMPARE_OPTIONS)):
        parameters = program.commands[command].params
        assert sorted(parameter.opts[0] for parameter in parameters) == sorted(expected)
        for parameter in parameters:
            name, *short = parameter.opts
            assert short == SHORT.get(name, [])
            assert not parameter.secondary_opts  # no --no-json
            if name.startswith("--"):
                assert parameter.default == expected[name], name  # type: ignore[literal-required, index]
    assert sorted([*(name for parameter in program.params for name in parameter.opts), "--help"]) == OPTIONS


def test_help_and_version() -> None:
    for words in (["--help"], ["run", "--help"], ["compare", "--help"], []):
        outcome = run_cli(*words)
        assert outcome.exit_code == (0 if words else 2)
        assert "Usage:" in outcome.stdout + outcome.stderr
    assert run_cli("--version") == (0, f"evalkit {evalkit.__version__}\n", "")


def test_help_lists_every_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    for command in ("run", "compare"):
        printed = run_cli(command, "--help").stdout
        assert all(f"{policy.name}: {policy.help}" in printed for policy in POLICIES.values()), printed


def test_help_imports_nothing_heavy() -> None:
    script = """
import sys
from evalkit.cli.main import main
sys.argv = ["evalkit", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = "torch transformers pyarrow numpy pandas matplotlib datasets tokenizers huggingface_hub".split()
print("heavy:", [name for name in heavy if name in sys.modules])
"""
    for words in ("--help", "run --help", "leaderboard --help", "export --help", "--version", "models list"):
        command = [sys.executable, "-W", "error", "-c", script, *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == "heavy: []"


def test_scoring_with_codecs_needs_neither_torch_nor_transformers(texts: Path, tmp_path: Path) -> None:
    script = """
import sys, evalkit
evalkit.run(["zstd"], [sys.argv[1]], options=evalkit.RunOptions(output=sys.argv[2]))
print([name for name in ("torch", "transformers", "datasets") if name in sys.modules])
"""
    command = [sys.executable, "-W", "error", "-c", script, str(texts), str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_module_is_the_program(texts: Path, tmp_path: Path) -> None:
    command = ["run", "--models", "zstd,brotli", "--corpora", texts, "--output", tmp_path / "runs"]
    fresh = run_process(*command)
    assert fresh.exit_code == 0, fresh.stderr
    assert run_process(*command) == run_cli(*command)
    assert run_process(*command).stdout == fresh.stdout
    assert run_process("--version") == (0, f"evalkit {evalkit.__version__}\n", "")


# --- run


def test_the_table_goes_to_stdout_and_the_rest_to_stderr(texts: Path, tmp_path: Path) -> None:
    outcome = run_cli("run", "--models", "zstd", "--corpora", texts, "--output", tmp_path / "runs")
    assert outcome.exit_code == 0
    assert "bits per byte ± 95 % interval, lower is better" in outcome.stdout
    assert [line.split()[:2] for line in outcome.stdout.splitlines()][2] == ["1", "zstd"]
    assert outcome.stderr.startswith("0 of 1 cells done, 1 to score\n")
    assert "documents, " in outcome.stderr


def test_json_is_one_object_and_is_what_the_cells_say(texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "runs"
    few_texts = write_texts(tmp_path / "other.json", TEXTS[:2])
    command = [
        "run",
        "--models",
        "zstd,brotli",
        "--corpora",
        f"{texts},{few_texts}",
        "--output",
        output,
        "--json",
    ]
    outcome = run_cli(*command)
    assert outcome.exit_code == 0
    content = strict(outcome.stdout)
    assert outcome.stdout == json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert sorted(content) == [
        *(
            "cells",
            "corpora",
            "corpora_counted",
            "failures",
            "num_scored",
            "policy",
            "ranking",
            "schema_version",
        )
    ]
    on_disk = {str(path): strict(path.read_text(encoding="utf-8")) for path in cell_files(output)}
    assert {cell.pop("file"): cell for cell in content["cells"]} == on_disk
    assert len(on_disk) == content["num_scored"] == 4
    assert (content["corpora"], content["failures"]) == (["texts", "other"], [])
    assert sorted(ranked["model"] for ranked in content["ranking"]) == ["brotli", "zstd"]
    for ranked in content["ranking"]:
        values = [
            cell["metrics"]["bits_per_byte"]
            for cell in on_disk.values()
            if cell["model"]["name"] == ranked["model"]
        ]
        assert ranked["bits_per_byte_macro"] == pytest.approx(sum(values) / 2, rel=1e-12)
        assert ranked["compression_rate_percent_macro"] == 12.5 * ranked["bits_per_byte_macro"]
    again = strict(run_cli(*command).stdout)
    assert again.pop("num_scored") == 0
    assert again["ranking"] == content["ranking"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_dry_run_prints_the_plan_loads_nothing_and_writes_nothing(
    as_json: bool, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "plugin"))
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    output = tmp_path / "runs"
    command = ["run", "--models", "toy:abc,zstd", "--corpora", texts, "--output", output]
    dry = [*command, "--dry-run", *["--json"] * as_json]
    outcome = run_cli(*dry)
    assert outcome.exit_code == 0
    plan = outcome.stderr if as_json else outcome.stdout
    num_bytes = sum(len(text.encode()) for text in TEXTS)
    assert plan.splitlines() == [
        "0 of 2 cells done, 2 to score",
        f"  toy:abc on texts: 7 documents, {num_bytes} bytes, policy document",
        f"  zstd on texts: 7 documents, {num_bytes} bytes, policy document",
    ]
    if as_json:
        assert strict(outcome.stdout)["cells"] == []
    else:
        assert outcome.stderr == ""
    assert not output.exists()
    assert not (tmp_path / "log").exists()

    assert run_cli(*command[:2], "zstd", *command[3:]).exit_code == 0
    before = snapshot(output)
    assert "1 of 2 cells done, 1 to score" in "".join(run_cli(*dry)[1:])
    assert snapshot(output) == before
    assert not (tmp_path / "log").exists()
    assert run_cli(*command).exit_code == 0
    assert (tmp_path / "log").read_text() == "abc\n"


def test_without_arguments_it_is_the_embedded_models_and_the_codecs_on_the_standard_library() -> None:
    outcome = run_cli("run", "--dry-run")
    assert outcome.exit_code == 0
    lines = outcome.stdout.splitlines()
    assert lines[0] == "0 of 6 cells done, 6 to score"
    names = ["rwkv7-nano", "llama-nano", "xz", "zstd", "brotli", "ppmd"]
    assert [line.split()[0] for line in lines[1:]] == names
    assert all(" on python-stdlib: " in line for line in lines[1:])


def test_env_names_no_user_machine_or_folder() -> None:
    facts = strict(run_cli("env", "--json").stdout)
    assert facts["evalkit"] == evalkit.__version__
    assert facts["device"] == "cpu" or facts["device"].startswith("cuda")
    assert str(Path.home()) not in json.dumps(facts)
    assert run_cli("env").stdout.splitlines()[0].split() == ["evalkit:", evalkit.__version__]


# --- plug-ins


COMMAND = """
import typer
app = typer.Typer()

@app.command()
def hello(name: str) -> None:
    "Greets."
    typer.echo(f"hello {name}")

@app.command()
def fail() -> None:
    from evalkit.errors import CrawlError
    raise CrawlError("the source\\nis gone")
"""


def test_an_installed_package_adds_a_loader_and_a_command(texts: Path, tmp_path: Path) -> None:
    source = f"{COMMAND}\nfrom tests.support.toys import identify, load\n"
    folder = write_plugin(tmp_path / "plugin", commands="greet = toy_plugin:app", source=source)
    env = plugin_environment(folder)
    scored = run_process(
        *("run", "--models", "toy:codec", "--corpora", texts, "--output", tmp_path / "runs"), env=env
    )
    assert scored.exit_code == 0, scored.stderr
    assert "toy:codec" in scored.stdout
    [cell] = cell_files(tmp_path / "runs")
    assert strict(cell.read_text())["model"]["target"] == "codec"
    assert run_process("greet", "hello", "you", env=env) == (0, "hello you\n", "")
    assert "greet" in run_process("--help", env=env).stdout
    assert run_process("greet", "fail", env=env) == (1, "", "evalkit: the source is gone\n")


@pytest.mark.parametrize(
    ("point", "source", "says"),
    [
        ("greet = no_such_module:app", "", "ModuleNotFoundError"),
        ("greet = toy_plugin:app", "raise RuntimeError('not\\ntoday')", "RuntimeError"),
        ("greet = toy_plugin:app", "app = (", "SyntaxError"),
        ("greet = toy_plugin:app", "other = 1", "AttributeError"),
        ("greet = toy_plugin:app", "app = print", "not a typer.Typer"),
        ("run = toy_plugin:app", COMMAND, "evalkit has a command of this name"),
    ],
)
def test_a_broken_command_is_reported_and_takes_nothing_down(
    point: str, source: str, says: str, tmp_path: Path
) -> None:
    folder = write_plugin(tmp_path / "plugin", commands=point, source=source)
    outcome = run_process("--version", env=plugin_environment(folder))
    assert (outcome.exit_code, outcome.stdout) == (0, f"evalkit {evalkit.__version__}\n")
    [line] = outcome.stderr.splitlines()
    name = point.split()[0]
    assert line.startswith(f"evalkit: command {name!r} ({point.split()[-1]}) is not available: ")
    assert says in line


def test_what_nobody_foresaw_is_one_line_too(tmp_path: Path) -> None:
    source = f"{COMMAND}\n@app.command()\ndef crash() -> None:\n    {{}}['key\\nof nothing']\n"
    folder = write_plugin(tmp_path / "plugin", commands="greet = toy_plugin:app", source=source)
    env = plugin_environment(folder)
    outcome = run_process("greet", "crash", env=env)
    assert isinstance(outcome, Outcome)
    assert outcome.exit_code == 1
    [line] = outcome.stderr.splitlines()
    assert line.startswith("evalkit: unexpected KeyError: ")
    assert "--debug" in line
    debug = run_process("--debug", "greet", "crash", env=env)
    assert debug.exit_code == 1
    assert "Traceback" in debug.stderr
    assert "crash" in debug.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_lacks_is_escaped_and_json_stays_json(
    encoding: str, texts: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    path = write_texts(tmp_path / "few.json", ["文字を数える。", "é"])
    Path("evalkit.toml").write_text('[models."é-文"]\nloader = "codec"\ntarget = "xz"\n', encoding="utf-8")
    compared = subprocess.run(
        command_line("compare", "é-文", "ppmd", "--corpus", path, "--json"),
        env=environment,
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )
    written = "utf-8" if encoding == "ascii" else encoding  # click takes ASCII for a mistake
    assert json.loads(compared.stdout.decode(written))["model_a"] == "é-文"
    table = subprocess.run(
        command_line("run", "--models", "é-文", "--corpora", texts),
        env=environment,
        capture_output=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert "\\u6587" in table.stdout.decode(encoding)


def test_compare_says_which_file_is_missing(texts: Path, tmp_path: Path) -> None:
    outcome = run_cli("compare", "nowhere.json", "xz", "--corpus", texts)
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1)
    assert "there is no file nowhere.json" in outcome.stderr
    outcome = run_cli("compare", texts, "xz", "--corpus", texts)
    assert (outcome.exit_code, outcome.stderr.count("\n")) == (2, 1)
    assert "is a cell's file; give another cell's, or two models and --corpus" in outcome.stderr
