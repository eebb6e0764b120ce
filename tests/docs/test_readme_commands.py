"""README's commands run as they stand, where a newcomer would type them."""

import json
import shlex
from pathlib import Path

import pytest

from tests.support.pages import README, blocks
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint
from tests.support.toys import run_cli

# What takes a download or minutes is planned as it stands.
PLANNED = ("rwkv7-0.1b", "smollm2-135m", "--tasks")
# Somebody else's server, a download, and a training whose cells are committed (`make results`).
NOT_RUN = ("crawl ", "compare rwkv7-0.1b", "probe train ")


def test_readmes_commands_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    texts = ["The stake is paid in bits.", "Straße hat acht davon, nicht sieben."]
    Path("notes.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    tokenizer = byte_level_tokenizer()
    model = random_model("llama", tokenizer.get_vocab_size())
    save_checkpoint(Path("checkpoints", "step-10000"), model, as_fast(tokenizer))
    lines = [line for block in blocks(README) for line in block.code.splitlines()]
    commands = [line.removeprefix("evalkit ") for line in lines if line.startswith("evalkit ")]
    commands = [command for command in commands if not command.startswith(NOT_RUN)]
    assert len(commands) == 5
    for command in commands:
        shorter = ["--dry-run"] if any(word in command for word in PLANNED) else []
        shorter += ["--no-plots"] if command.startswith("report ") else []
        outcome = run_cli(*shlex.split(command), *shorter)
        assert outcome.exit_code == 0 and outcome.stdout, (command, outcome.stderr)
    assert Path("site", "index.html").is_file()
    [crawl] = [line.removeprefix("evalkit ") for line in lines if line.startswith("evalkit crawl ")]
    assert "is a placeholder" in run_cli(*shlex.split(crawl)).stderr
