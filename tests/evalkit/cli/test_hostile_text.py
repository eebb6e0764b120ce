"""Every command with hostile titles, ids, names and messages: what it prints is shown and not obeyed."""

import csv
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evalkit.corpora.store import make_corpus, make_document, save_corpus
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.cells import probe_content, task_content, write_cell_files
from tests.support.pages import all_commands
from tests.support.toys import BigramModel, Outcome, run_cli
from tests.support.training_runs import write_checkpoint

EVIL = "\x1b[2Jred\x1b]0;title\x07\x9b31m\u202egnp\u2066\nevalkit: forged\r\x08\u2028\u200b\U000e0041="
OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, results, a file of models and a leaderboard, with hostile text wherever there is text."""
    folder = tmp_path_factory.mktemp("hostile")
    documents = [
        make_document(
            f"{number} " + "words of a text, " * (10 + number) + EVIL,
            source=EVIL,
            id=f"{''.join(EVIL.split())}{number}",
            url=f"https://example.org/{EVIL}",
            title=f"=HYPERLINK(0){EVIL}{number}",
            cluster=f"{EVIL}{number}",
            license=EVIL,
            language=f"{EVIL}{number % 2}",
            story_id=f"{EVIL}{number // 2}",
            published_at="2026-11-03",
            extractor=EVIL,
        )
        for number in range(6)
    ]
    corpus = make_corpus(
        "evil",
        documents,
        description=EVIL,
        provenance={EVIL: EVIL},
        num_dropped={EVIL: 3},
        date_from="2026-11-01",
    )
    save_corpus(corpus, folder / "corpora")
    models = [BigramModel(f"toy:{EVIL}{name}", seed, lossy="15 ") for seed, name in enumerate("ab")]
    run(models, [corpus], options=RunOptions(output=folder / "runs"), token_bits=True)
    for run_name in "ab":
        for step in range(1, 4):
            bits = np.array([100.0 + step + document.num_bytes for document in corpus.documents])
            write_checkpoint(folder / "training", f"{EVIL}{run_name}", step, corpus, bits)
    write_cell_files(folder / "runs" / "task" / "cell.json", task_content(model=EVIL, task=EVIL))
    write_cell_files(folder / "probes" / "cell.json", probe_content(task=EVIL, model=EVIL))
    (folder / "damaged" / EVIL.replace("/", "")).mkdir(parents=True)
    (folder / "damaged" / EVIL.replace("/", "") / "cell.json").write_text(json.dumps({EVIL: EVIL}))
    quoted = '"' + "".join(f"\\U{ord(character):08x}" for character in EVIL) + '"'  # as TOML has it
    (folder / "evalkit.toml").write_text(
        f"[models.evil]\nloader = 'hf'\ntarget = 'owner/name'\nlicense = {quoted}\nreleased = '2026'\n",
        encoding="utf-8",
    )
    (folder / "leaderboard.toml").write_text(f"title = {quoted}\n[{quoted}]\n", encoding="utf-8")
    (folder / f"{EVIL.replace('/', '')}.jsonl").write_text("{")
    return folder


def cell(folder: Path, number: int) -> Path:
    return sorted((folder / "runs" / "evil").rglob("*.json"))[number]


Lines = Callable[[Path], list[list[str | Path]]]
_WINDOW: list[str | Path] = ["--since", "2026-11-01", "--until", "2026-11-02", "--contact", EVIL]
_REFRESH: Lines = lambda folder: [[]]  # noqa: E731 - its leaderboard.toml cannot be read, and why is told

# Each command's lines of arguments, without the command. Where the work would be long, the request is wrong.
COMMANDS: dict[tuple[str, ...], Lines] = {
    ("audit",): lambda folder: [
        [EVIL],
        [f"rwkv7:{EVIL}", "--json"],
        ["rwkv7-nano", "--tokenization-bound", EVIL],
    ],
    ("bench", "compress"): lambda folder: [["--model", EVIL], ["--corpus", EVIL]],
    ("bench", "kernels"): lambda folder: [["--device", EVIL]],
    ("bench", "profile"): lambda folder: [["--corpus", EVIL], ["--threads", EVIL]],
    ("bench", "score"): lambda folder: [["--device", EVIL], ["--corpora", EVIL]],
    ("compare",): lambda folder: [
        [cell(folder, 0), cell(folder, 1)],
        [cell(folder, 0), cell(folder, 1), "--common-documents"],
        [cell(folder, 0), cell(folder, 1), "--common-documents", "--json"],
        [EVIL, EVIL, "--corpus", "evil"],
        [EVIL, "rwkv7-nano", "--corpus", "evil", "--kl"],
        ["llama-nano", "rwkv7-nano", "--corpus", EVIL, "--kl"],
    ],
    ("compress",): lambda folder: [[EVIL, "--model", "rwkv7-nano"], [cell(folder, 0), "--model", EVIL]],
    ("corpora", "audit"): lambda folder: [
        ["evil", "--html", "evil.html"],
        ["evil", "--json", "--keep"],
        ["evil", "--against", EVIL],
        [EVIL, "--keep"],
    ],
    ("corpora", "check"): lambda folder: [
        ["evil", "--against", "evil"],
        ["evil", "--against", "evil", "--json"],
        ["evil", "--against", EVIL],
    ],
    ("corpora", "import"): lambda folder: [
        [folder / f"{EVIL.replace('/', '')}.jsonl", "--name", "x"],
        [folder, "--name", "all", "--source", EVIL, "--license", "MIT"],
        [folder, "--name", EVIL],
    ],
    ("corpora", "list"): lambda folder: [[], ["--json"]],
    ("corpora", "publish"): lambda folder: [["evil", "--repo", "owner/name"], ["evil", "--repo", EVIL]],
    ("corpora", "rebuild"): lambda folder: [
        ["published/evil", "--offline"],
        ["published/evil", "--offline", "--partial"],
        [EVIL, "--offline"],
    ],
    ("corpora", "rm"): lambda folder: [["evil"], ["evil", "--output", EVIL], [EVIL, "--yes"]],
    ("corpora", "show"): lambda folder: [["evil"], ["evil", "--json"], [EVIL]],
    ("corpora", "verify"): lambda folder: [["evil"], ["evil", "--json"], [EVIL]],
    ("crawl", "arxiv"): lambda folder: [_WINDOW, [*_WINDOW, "--categories", EVIL]],
    ("crawl", "biorxiv"): lambda folder: [[*_WINDOW, "--server", EVIL], [*_WINDOW, "--name", EVIL]],
    ("crawl", "github"): lambda folder: [[*_WINDOW, "--languages", EVIL], [*_WINDOW, "--name", EVIL]],
    ("crawl", "law"): lambda folder: [[*_WINDOW, "--jurisdictions", EVIL], [*_WINDOW, "--name", EVIL]],
    ("crawl", "news"): lambda folder: [[*_WINDOW, "--feeds", EVIL], [*_WINDOW, "--endpoint", EVIL]],
    ("crawl", "stackexchange"): lambda folder: [[*_WINDOW, "--sites", EVIL], [*_WINDOW, "--name", EVIL]],
    ("crawl", "wikipedia"): lambda folder: [[*_WINDOW, "--languages", EVIL], [*_WINDOW, "--name", EVIL]],
    ("cutoff",): lambda folder: [["evil", "runs"], [EVIL, "runs"], [EVIL, EVIL], ["evil", "runs", "--json"]],
    ("curve",): lambda folder: [
        ["training"],
        ["training", "--json"],
        ["training", "--against", EVIL],
        ["training", "--fit", EVIL],
        ["training", "--runs", EVIL],
        ["training", "-o", EVIL],
        ["runs"],
    ],
    ("decompress",): lambda folder: [[EVIL], [cell(folder, 0), "-o", EVIL]],
    ("env",): lambda folder: [[], ["--json"]],
    ("explore",): lambda folder: [["--models", EVIL], ["--models", "rwkv7-nano", "--prefix", EVIL]],
    ("export",): lambda folder: [
        ["runs", "--format", "csv", "-o", "x.csv"],
        ["damaged", "--format", "csv", "-o", "x.csv"],
        ["runs", "--format", EVIL, "-o", "x"],
        ["runs", "--format", "csv", "--documents", "-o", "documents.csv"],
        ["runs", "--format", "documents", "-o", EVIL],
        ["runs", "--format", "documents", "-o", "/dev/stdout"],
        ["runs", "--format", "every-eval-ever", "--relationship", EVIL, "-o", "x"],
    ],
    ("parity",): lambda folder: [["runs"], ["runs", "--json"], ["runs", "--reference", EVIL], [EVIL]],
    ("leaderboard", "backfill"): lambda folder: [["--model", EVIL]],
    ("leaderboard", "check"): _REFRESH,
    ("leaderboard", "commit"): _REFRESH,
    ("leaderboard", "crawl"): _REFRESH,
    ("leaderboard", "fetch"): _REFRESH,
    ("leaderboard", "init"): lambda folder: [[EVIL, "--contact", "me@uni-x.edu"], ["--contact", EVIL]],
    ("leaderboard", "months"): _REFRESH,
    ("leaderboard", "prune"): _REFRESH,
    ("leaderboard", "publish"): _REFRESH,
    ("leaderboard", "refresh"): _REFRESH,
    ("leaderboard", "score"): _REFRESH,
    ("leaderboard", "site"): _REFRESH,
    ("leaderboard", "window"): lambda folder: [[], ["--date", EVIL], ["--config", EVIL]],
    ("leaks",): lambda folder: [
        ["evil", "runs"],
        [EVIL, "runs"],
        [EVIL, EVIL],
        ["evil", "runs", "--corpora", EVIL],
        ["evil", "runs", "--older", EVIL],
    ],
    ("lm-eval",): lambda folder: [["ls", EVIL]],
    ("losses",): lambda folder: [
        ["runs"],
        ["runs", "--json"],
        ["runs", "--corpora", EVIL],
        ["runs", "--axes", EVIL],
        ["runs", "--models", EVIL],
    ],
    ("models", "formats"): lambda folder: [[], ["--json"]],
    ("models", "list"): lambda folder: [[], ["--json"]],
    ("models", "show"): lambda folder: [["evil"], ["evil", "--json"], [EVIL]],
    ("plan",): lambda folder: [["--models", "evil,zstd", "--corpora", "evil"], ["--device", EVIL]],
    ("plot",): lambda folder: [[EVIL, "runs", "-o", "x.png"], ["heatmap", EVIL, "-o", "x.png"]],
    ("probe", "bench"): lambda folder: [["--model", EVIL]],
    ("probe", "compile"): lambda folder: [[EVIL, "--output", "x"]],
    ("probe", "list"): lambda folder: [[], ["--json"]],
    ("probe", "registers"): lambda folder: [["--states", EVIL]],
    ("probe", "show"): lambda folder: [["parity"], ["regex:(a|b)*a", "--json"], [EVIL]],
    ("probe", "table"): lambda folder: [["probes"], ["probes", "--json"], [EVIL]],
    ("probe", "train"): lambda folder: [["--task", EVIL, "--model", EVIL]],
    ("report",): lambda folder: [["damaged", "--output", "site"], [EVIL]],
    ("requests", "accuracy"): lambda folder: [["runs"], ["runs", "--json"], [EVIL]],
    ("requests", "build"): lambda folder: [[folder / "leaderboard.toml"], [EVIL]],
    ("requests", "export"): lambda folder: [["jsonl", "evil", "-o", "x.jsonl"], [EVIL, "evil", "-o", "x"]],
    ("requests", "show"): lambda folder: [["evil"], ["evil", "--json"], [EVIL]],
    ("run",): lambda folder: [
        ["--models", "zstd", "--corpora", "evil"],
        ["--models", "zstd", "--corpora", "evil", "--json"],
        ["--models", "zstd,evil", "--corpora", "evil", "--dry-run"],
        ["--models", EVIL, "--corpora", "evil"],
        ["--models", "zstd", "--corpora", EVIL],
        ["--models", "zstd", "--corpora", "evil", "--engine", EVIL],
        ["--models", f"hf:{EVIL}", "--corpora", "evil"],
        ["--models", "zstd", "--tasks", EVIL],
    ],
    ("snr",): lambda folder: [
        ["training"],
        ["training", "--json"],
        ["training", "--corpora", EVIL],
        ["runs"],
    ],
    ("status",): lambda folder: [["runs"], ["runs", "--json"], [EVIL]],
    ("table",): lambda folder: [
        ["training", "--by", "step"],
        ["training", "--by", EVIL],
        ["runs"],
        ["runs", "--json"],
        ["runs", "--published"],
        ["runs", "--published", "--json"],
        [EVIL],
    ],
}


WITHOUT_FOREIGN_TEXT = {("env",), ("models", "formats"), ("probe", "list")}


def obeyed(outcome: Outcome) -> set[str]:
    text = outcome.stdout + outcome.stderr
    assert "\nevalkit: forged" not in text and "\revalkit: forged" not in text
    return {character for character in text if unicodedata.category(character) in OBEYED} - {"\n"}


def test_every_command_is_tried() -> None:
    assert set(COMMANDS) == set(all_commands())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_a_command_prints_is_shown_and_not_obeyed(
    command: tuple[str, ...], hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hostile)
    printed = ""
    for arguments in COMMANDS[command](hostile):
        outcome = run_cli(*command, *arguments)
        assert not obeyed(outcome), (command, arguments)
        assert outcome.stdout or outcome.stderr, (command, arguments)
        assert "unexpected" not in outcome.stderr, outcome.stderr
        if "--json" in arguments and outcome.stdout:
            json.loads(outcome.stdout)
        printed += outcome.stdout + outcome.stderr
    assert command in WITHOUT_FOREIGN_TEXT or r"\x1b" in printed or r"\u001b" in printed, printed


def test_what_is_exported_as_csv_is_no_formula(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hostile)
    for options in ([], ["--documents"]):
        assert run_cli("export", "runs", "--format", "csv", "-o", "out.csv", *options).exit_code == 0
        with Path("out.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        fields = [field for row in rows for field in row.values()]
        assert not [field for field in fields if field.lstrip()[:1] in ("=", "@", "+")]
        numbers = [float(field) for field in fields if field.startswith("-")]
        assert all(number < 0 for number in numbers)
    assert {row["title"] for row in rows} >= {f"'=HYPERLINK(0){EVIL}{number}" for number in range(6)}
