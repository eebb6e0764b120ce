"""What is typed wrongly most often, and the line that says how it is written."""

import json
from pathlib import Path

import pytest
import torch

from evalkit.corpora.store import load_corpora
from evalkit.models.devices import resolve_dtype
from evalkit.models.protocol import LoadOptions
from tests.support.toys import run_cli

COMMIT = "0123456789" * 4
CRAWL = "crawl wikipedia --since 2026-01-01 --until 2026-01-02"

# What is typed, and what is said; the folder has data/notes.json, checkpoints/step-100 and tiny.gguf.
WRONG = {
    "run --models Qwen/Qwen2.5-0.5B": "Did you mean qwen2.5-0.5b or",
    "run --models my-org/my-model": "A repository of the hub is written hf:my-org/my-model.",
    "run --models https://huggingface.co/a/b-c/tree/main": "A repository of the hub is written hf:a/b-c.",
    "run --models hf:https://huggingface.co/a/b": "the repository of that address is written hf:a/b",
    "run --models http://127.0.0.1:8000/v1": "A server is written openai:http://127.0.0.1:8000/v1;",
    "run --models checkpoints/step-100": "A model in a file or folder is written hf:checkpoints/step-100.",
    "run --models checkpoints/step-10": "Did you mean hf:checkpoints/step-100?",
    "run --models ./checkpoint/step-100": "Did you mean hf:checkpoints/step-100?",
    "run --models hf:./checkpoint/step-100": "/checkpoints/step-100?",
    "run --models tiny.gguf": "A model in a file or folder is written gguf:tiny.gguf.",
    "run --models tyni.gguf": "Did you mean gguf:tiny.gguf?",
    "run --models RWKV7-Nano": "Did you mean rwkv7-nano",
    "run --models gzip": "evalkit models list` shows the names",
    "run --models hff:a/b": "Did you mean hf?",
    "run --models ,": "name at least one model",
    "run --models xz --corpora data/note.json": "Did you mean data/notes.json?",
    "run --models xz --corpora dta/notes.json": "Did you mean data/notes.json?",
    "run --models xz --corpora data/*.jsonl": "no file or folder here matches this pattern;",
    "run --models xz --corpora Salesforce/wikitext": "is written hub:Salesforce/wikitext@COMMIT",
    "run --models xz --corpora https://huggingface.co/datasets/a/b": "is written hub:a/b@COMMIT",
    "run --models xz --corpora https://host/text.txt": "download it and give the file",
    "run --models xz --corpora hub:a/b": "its commit must be given",
    "run --models xz --corpora python-stdlb": "Did you mean python-stdlib?",
    "run --models xz --policy documnt": "Did you mean document?",
    "run --models xz --device gpu": "use auto, cpu, cuda, cuda:N or mps",
    "run --models xz --dtype int8": "use auto, float32, bfloat16, float16",
    "run --models xz --limit 0": "give 1 or more",
    "run --models xz -q -v": "are opposites",
    "run --model xz": "--models",
    "run --models xz;zstd": "Names go by commas: xz,zstd.",
    "run --models zz*": "no model's name matches 'zz*'.",
    "run --models checkpoints tiny.gguf": "a pattern in quotes",
    "run --models --limit 3": "--models was given no value: --limit is an option",
    "run --models xz --output -q": "--output was given no value: -q is an option",
    "run --models xz --corpora --corpra python-stdlib": "--corpora was given no value",
    "explore --models rwkv7-g1*": "--models names 18; the page shows one or two",
    "audit rwkv7-g1* --json": "rwkv7-g1* matches 18 models, and one is needed",
    "compare *-nano xz --corpus data/notes.json": "*-nano matches 3 models, and one is needed",
    "crawl wikipedia --since --until 2026-01-02": "--since was given no value: --until is an option",
    "export data": "Give one of: csv, parquet,",
    "plot": "Give one of: parameters,",
    "rn --models xz": "Did you mean 'run'?",
    "report nothing": "give the folder that `evalkit run --output` wrote",
    "corpora import data/note.json --name a": "Did you mean data/notes.json?",
    "crawl wikipdia --since 2026-01-01 --until 2026-01-02": "Did you mean wikipedia?",
    f"{CRAWL} --contact you@example.org": "is a placeholder",
    "crawl wikipedia --since 2026-01-03 --until 2026-01-02": "swap them",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data", "notes.json").write_text(json.dumps(["The stake is paid in bits."]))
    Path("checkpoints", "step-100").mkdir(parents=True)
    Path("tiny.gguf").touch()
    return tmp_path


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_command_is_told_how_it_is_written(command: str, folder: Path) -> None:
    dry = ["--dry-run"] if command.startswith("run ") else []
    outcome = run_cli(*command.split(), *dry)
    assert outcome.exit_code in (1, 2) and not outcome.stdout
    assert WRONG[command] in " ".join(outcome.stderr.replace("│", " ").split())
    assert "Traceback" not in outcome.stderr and not Path("runs").exists()


def test_what_a_shell_would_expand_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    Path("data", "more.json").write_text('["a second text"]')
    outcome = run_cli("run", "--models", "xz", "--corpora", "~/data/*.json", "--dry-run")
    assert [line.split()[2] for line in outcome.stdout.splitlines()[1:]] == ["more:", "notes:"]


def test_a_pattern_means_stored_corpora_before_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_CORPORA", str(folder / "store"))
    common = (
        "--source",
        "test",
        "--license",
        "CC0-1.0",
        "--date-from",
        "2026-01-01",
        "--date-to",
        "2026-01-02",
    )
    for name in ("notes-1", "notes-2"):
        assert run_cli("corpora", "import", "data/notes.json", "--name", name, *common).exit_code == 0
    Path("notes-3.txt").write_text("a file")
    for wish, names in (
        ("notes-*", ["notes-1", "notes-2"]),
        ("*,notes-1", ["python-stdlib", "notes-2", "notes-1"]),
        ("notes-*.txt", ["notes-3"]),
    ):
        assert [corpus.name for corpus in load_corpora(wish.split(","))] == names


def test_a_precision_has_the_names_that_people_give_it(folder: Path) -> None:
    for name, dtype in (("bf16", torch.bfloat16), ("half", torch.float16), ("fp32", torch.float32)):
        assert resolve_dtype(LoadOptions(dtype=name)) is dtype
    outcome = run_cli("run", "--models", "xz", "--corpora", "data/notes.json", "-q")
    assert (outcome.exit_code, outcome.stderr) == (0, "") and "xz" in outcome.stdout
