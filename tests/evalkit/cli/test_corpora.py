import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from evalkit.cli.corpora import app
from evalkit.corpora.store import load_corpus
from evalkit.errors import CorpusError, UsageError

OPTIONS = ["--source", "test", "--license", "CC0-1.0", "--date-from", "2026-01-01", "--date-to", "2026-01-31"]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A store with one corpus of 3 documents and 8 bytes."""
    path = tmp_path / "texts.json"
    path.write_text('["abc", "", "d€", "f", "f"]', encoding="utf-8")
    result = run(
        "import", path, "--name", "tiny", *OPTIONS, "--language", "en", "--store", tmp_path / "store"
    )
    assert result.exit_code == 0, result.output
    assert "tiny: 3 documents, 8 bytes, 2026-01-01 to 2026-01-31, SHA-256 " in result.output
    assert result.output.endswith("left out: 1 empty\nleft out: 1 exact duplicate\n")
    return tmp_path / "store"


def test_list(stored: Path) -> None:
    lines = run("list", "--store", stored).output.splitlines()
    assert lines[0].split() == ["corpus", "documents", "bytes", "from", "to", "licenses", "sha256"]
    assert lines[1].split()[0] == "python-stdlib"
    assert lines[1].split()[3] == lines[1].split()[4] == load_corpus("python-stdlib").date_from
    assert lines[2].split()[:6] == ["tiny", "3", "8", "2026-01-01", "2026-01-31", "CC0-1.0"]
    listed = json.loads(run("list", "--json", "--store", stored).output)
    assert [entry["name"] for entry in listed] == ["python-stdlib", "tiny"]
    assert listed[1]["num_bytes"] == 8


def test_a_broken_corpus_does_not_hide_the_others(stored: Path) -> None:
    (stored / "broken").mkdir()
    (stored / "broken" / "manifest.json").write_text("{")
    result = run("list", "--store", stored)
    assert result.exit_code == 1
    assert "tiny" in result.stdout
    assert result.stderr.startswith("corpus broken: manifest.json: it cannot be read")
    listed = json.loads(run("list", "--json", "--store", stored).stdout)
    assert listed[2]["name"] == "broken"


def test_show(stored: Path) -> None:
    output = run("show", "tiny", "--store", stored).output
    assert "num_dropped     empty: 1, exact duplicate: 1\n" in output
    shown = json.loads(run("show", "tiny", "--json", "--store", stored).output)
    assert shown["num_documents"] == 3
    assert shown["licenses"] == {"CC0-1.0": 3}
    built_in = json.loads(run("show", "python-stdlib", "--json").output)
    assert built_in["date_from"] == built_in["date_to"] == load_corpus("python-stdlib").date_from
    refused = run("show", "tinny", "--store", stored).exception
    assert isinstance(refused, UsageError)
    assert "Did you mean tiny?" in str(refused)


def test_verify(stored: Path) -> None:
    result = run("verify", "tiny", "--store", stored)
    assert (result.exit_code, result.output) == (0, "tiny: every document is as stored\n")
    [parquet] = (stored / "tiny").glob("*.parquet")
    data = bytearray(parquet.read_bytes())
    data[-20] ^= 1
    parquet.write_bytes(data)
    result = run("verify", "tiny", "--store", stored)
    assert result.exit_code == 1
    assert result.output.startswith(f"tiny: {parquet.name}: its SHA-256 is ")
    result = run("verify", "tiny", "--json", "--store", stored)
    assert result.exit_code == 1
    assert len(json.loads(result.output)["problems"]) >= 1


def test_import_refuses(stored: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.json"
    missing = run("import", path, "--name", "x", *OPTIONS[:2], "--store", stored).exception
    assert isinstance(missing, UsageError)
    assert "--license (for 3 of 3 documents), --date-from and --date-to (for 3 of 3 documents)" in str(
        missing
    )
    path.write_text('["other"]')
    taken = run("import", path, "--name", "tiny", *OPTIONS, "--store", stored).exception
    assert isinstance(taken, CorpusError)
    assert "choose another name" in str(taken)
    assert run("import", path, *OPTIONS).exit_code == 2  # no --name


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, evalkit.cli.corpora;"
        "print({'pyarrow', 'datasets', 'pandas', 'numpy', 'torch'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_help_shows_the_defaults() -> None:
    output = run("import", "--help").output
    assert "text, else content" in output
    assert "EVALKIT_CORPORA" in output
