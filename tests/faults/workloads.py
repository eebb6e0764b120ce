"""The commands that faults happen to, the folders in which they run, and what they are to leave behind."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.hub import MODEL
from tests.faults.victims import Victims
from tests.support.leaderboard import CONFIG, SOURCES
from tests.support.toy_source import prose

DATE = ("--date", "2026-10-20")
_TIMES = {
    "bytes_per_s",
    "created",
    "git",
    "seconds",
    "testing_cpu_s",
    "tokens_per_s",
    "training_cpu_s",
}
"""Fields that tell of when, how fast, and in which state of the checkout."""
NETWORK = "run, a network"
FROM_HUB = "run, from a hub"
_CACHES = (".git", "hub")
"""Folders of other programs in the commands' folders."""
_BOT = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "a bot"), ("EMAIL", "bot@example.org"))
}


class Workload(NamedTuple):
    """A command, and the folder that it begins with."""

    name: str
    words: tuple[str, ...]
    prepare: Callable[[Path, Victims], None]
    """Fills an empty folder with what the command needs."""
    is_slow: bool = False
    """Whether it takes seconds: struck less often."""


def environment(plugin: Path, cache: Path, hub: str) -> dict[str, str]:
    """Variables of the commands' process; the plug-in with the toy source is written.

    Args:
        plugin: a folder that is not there yet.
        cache: evalkit's.
        hub: the address of one.
    """
    info = plugin / "toy_sources-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-sources\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[evalkit.crawlers]\ntoy = toy_sources:toy\n")
    (plugin / "toy_sources.py").write_text(SOURCES)
    return {
        "PYTHONPATH": str(plugin),
        "EVALKIT_CACHE": str(cache),
        "HF_HOME": "hub",  # in each command's own folder
        "HF_ENDPOINT": hub,
        "NO_PROXY": "127.0.0.1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_DATE": "2026-10-20T00:00:00Z",
        "GIT_COMMITTER_DATE": "2026-10-20T00:00:00Z",
        **_BOT,
    }


def do(victims: Victims, folder: Path, *words: str) -> None:
    """A command that must do what it is there for."""
    ending = victims.run(words, folder)
    assert ending.code == 0, (words, ending)


def write_texts(folder: Path, _: Victims) -> None:
    """A file of texts to read or to import."""
    rows = [
        {
            "text": prose(f"text {number}"),
            "title": f"text {number}",
            "url": f"https://e.org/{number}",
            "published_at": "2026-10-03",
            "license": "CC0-1.0",
            "source": "toy",
            "language": "en",
        }
        for number in range(12)
    ]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_model(folder: Path, victims: Victims) -> None:
    """Texts and a small network's weights."""
    import torch

    from tests.support.rwkv7_files import random_tensors

    write_texts(folder, victims)
    torch.save(
        random_tensors(vocab_size=65536, num_channels=8, num_layers=1, head_size=8), folder / "small.pth"
    )


def write_cells(folder: Path, victims: Victims) -> None:
    """Cells and the stored corpus that they are of."""
    write_texts(folder, victims)
    do(victims, folder, "corpora", "import", "texts.jsonl", "--name", "toy")
    do(
        victims,
        folder,
        "run",
        "--models",
        "zstd,xz,brotli",
        "--corpora",
        "toy",
        "--token-bits",
        "--output",
        "runs",
    )


def write_board(folder: Path, _: Victims) -> None:
    """A leaderboard in a git checkout."""
    (folder / "leaderboard.toml").write_text(CONFIG.replace("{documents}", "12").rpartition("[[sources]]")[0])
    (folder / ".gitignore").write_text("/corpora/\n/site/\n/hub/\n")
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "start"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True, env={**os.environ, **_BOT})


def _after(*steps: str) -> Callable[[Path, Victims], None]:
    def prepare(folder: Path, victims: Victims) -> None:
        write_board(folder, victims)
        for step in steps:
            do(victims, folder, "leaderboard", step, *DATE)

    return prepare


WORKLOADS = (
    Workload(
        "run", ("run", "--models", "zstd,xz", "--corpora", "texts.jsonl", "--output", "runs"), write_texts
    ),
    Workload(
        NETWORK,
        ("run", "--models", "zstd,rwkv7:small.pth", "--corpora", "texts.jsonl", "--output", "runs"),
        write_model,
        is_slow=True,
    ),
    Workload(
        FROM_HUB,
        ("run", "--models", f"zstd,hf:{MODEL}", "--corpora", "texts.jsonl", "--output", "runs"),
        write_texts,
        is_slow=True,
    ),
    Workload("corpora import", ("corpora", "import", "texts.jsonl", "--name", "toy"), write_texts),
    Workload("report", ("report", "runs", "--output", "site"), write_cells, is_slow=True),
    Workload(
        "probe train",
        (
            *("probe", "train", "--task", "parity", "--model", "gru", "--steps", "3", "--train-length", "8"),
            *("--batch-size", "4", "--width", "16", "--items", "8", "--jobs", "1", "--output", "runs"),
        ),
        lambda folder, victims: None,
    ),
    Workload("leaderboard crawl", ("leaderboard", "crawl", *DATE), write_board),
    Workload("leaderboard publish", ("leaderboard", "publish", *DATE), _after("crawl")),
    Workload("leaderboard score", ("leaderboard", "score", *DATE), _after("crawl", "publish")),
    Workload("leaderboard site", ("leaderboard", "site"), _after("crawl", "publish", "score"), is_slow=True),
    Workload("leaderboard commit", ("leaderboard", "commit", *DATE), _after("crawl", "publish", "score")),
)
BY_NAME = {workload.name: workload for workload in WORKLOADS}


def state(folder: Path) -> dict[str, object]:
    """Every file below a folder with its content, times aside; of a git checkout what is committed."""
    contents: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.split("/")[0] in _CACHES or not path.is_file():
            continue
        data = path.read_bytes()
        contents[name] = data
        if _has_times(name, data):
            with contextlib.suppress(ValueError):  # what was damaged is compared as it is
                contents[name] = _without_times(json.loads(data))
    contents |= {f"{folder_name}/": None for folder_name in _empty_folders(folder)}
    if (folder / ".git").is_dir():
        for words in (
            ("log", "--format=%s"),
            ("ls-tree", "-r", "--name-only", "HEAD"),
            ("status", "--porcelain"),
        ):
            done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
            contents[f"git {words[0]}"] = done.stdout
    return contents


def _empty_folders(folder: Path) -> list[str]:
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_dir() and path.relative_to(folder).parts[0] not in _CACHES and not any(path.iterdir())
    ]


def _has_times(name: str, data: bytes) -> bool:
    return name.endswith(".json") and not name.startswith("site") and data.startswith(b"{")


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        if "created" in value:  # what has a time has a digest of itself: a cell's or a manifest's
            own_digest = "sha256" if "status" in value else "manifest_sha256"
            value = {key: part for key, part in value.items() if key != own_digest}
        return {key: _without_times(part) for key, part in value.items() if key not in _TIMES}
    return [_without_times(part) for part in value] if isinstance(value, list) else value


def differences(expected: Mapping[str, object], actual: Mapping[str, object]) -> list[str]:
    """What is lost, too much or otherwise, in words."""
    lines = [f"lost {name}" for name in sorted(expected.keys() - actual.keys())]
    lines += [f"stray {name}" for name in sorted(actual.keys() - expected.keys())]
    return lines + [
        f"another {name}"
        for name in sorted(expected.keys() & actual.keys())
        if expected[name] != actual[name]
    ]


def copied(template: Path, folder: Path) -> Path:
    """A fresh copy of a folder in the place of another."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder, symlinks=True)
    return folder
