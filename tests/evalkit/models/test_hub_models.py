"""Models of a hub, from the name to the score: a real client, a server on this machine, then no network."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import tiny_models
from tests.support.adapters import save_pair
from tests.support.commands import run_commands
from tests.support.gguf_files import random_model, write_parts
from tests.support.hub_server import hub_environment
from tests.support.local_hub import COMMIT, LATER_COMMIT, serve
from tests.support.rwkv7_files import TINY, random_tensors, save_fla_folder
from tests.support.toys import TEXTS, write_texts


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("llama")
    fast = tiny_models.as_fast(tiny_models.byte_level_tokenizer(), eos_token="<|endoftext|>")
    tiny_models.save_checkpoint(folder, tiny_models.random_model("llama", len(fast)), fast)
    return {
        "owner/rwkv": {"small.pth": TINY.read_bytes(), "other.pth": b"not this one"},
        "owner/llama": {path.name: path.read_bytes() for path in folder.iterdir()},
        "owner/quantised": {
            "small.gguf": random_model(folder / "small.gguf", "llama").read_bytes(),
            "other.gguf": b"not this one",
        },
    }


def run_command(models: str, folder: Path) -> list[str | Path]:
    texts = write_texts(folder / "texts.json", TEXTS)
    return ["run", "--models", models, "--corpora", texts, "--output", folder / "runs", "--json"]


def test_from_the_name_to_the_score_and_again_offline(
    repositories: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    models = "rwkv7:owner/rwkv/small.pth,hf:owner/llama,gguf:owner/quantised:small.gguf"
    with serve(repositories) as hub:
        [online] = run_commands(
            [run_command(models, tmp_path)], hub_environment(tmp_path / "home", HF_ENDPOINT=hub.url)
        )
        assert online.exit_code == 0, online.stderr
        downloaded = {request.rpartition("/")[2] for request in hub.requests if "/resolve/" in request}
        assert {"small.pth", "small.gguf"} <= downloaded
        assert not {"other.pth", "other.gguf"} & downloaded
    result: dict[str, Any] = json.loads(online.stdout)
    assert result["num_scored"] == 3
    for cell in result["cells"]:
        assert cell["model"]["revision"] == COMMIT
    commands = [run_command(models, tmp_path), run_command(f"rwkv7:{TINY}", tmp_path)]
    offline, local = run_commands(commands, hub_environment(tmp_path / "home", HF_HUB_OFFLINE="1"))
    assert offline.exit_code == 0, offline.stderr
    again = json.loads(offline.stdout)
    assert again["num_scored"] == 0
    assert again["cells"] == result["cells"]
    [same] = json.loads(local.stdout)["cells"]
    rwkv = next(cell for cell in result["cells"] if cell["model"]["loader"] == "rwkv7")
    assert same["model"]["weights_sha256"] == rwkv["model"]["weights_sha256"]
    assert same["totals"]["total_bits"] == pytest.approx(rwkv["totals"]["total_bits"], rel=1e-6)


def test_what_is_damaged_in_the_cache_is_not_scored_under_the_published_digest(
    repositories: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """Of weights, which the hub calls by their SHA-256, and of a small file, which it calls as git does."""
    models = "rwkv7:owner/rwkv/small.pth,hf:owner/llama"
    home = tmp_path / "home"
    with serve(repositories) as hub:
        run_commands([run_command(models, tmp_path)], hub_environment(home, HF_ENDPOINT=hub.url))
    [weights], [config] = home.rglob("small.pth"), home.rglob("snapshots/*/config.json")
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.resolve().write_bytes(content)
    config.resolve().write_bytes(config.read_bytes() + b"\n")
    command = [*run_command(models, tmp_path), "--output", tmp_path / "damaged"]
    [outcome] = run_commands([command], hub_environment(home, HF_HUB_OFFLINE="1"))
    result = json.loads(outcome.stdout)
    assert (outcome.exit_code, result["cells"]) == (1, [])
    reasons = [failure["reason"] for failure in result["failures"]]
    for reason, path in zip(reasons, (weights, config), strict=True):
        assert f"{path.name} in the local cache is damaged: it is not what the hub states" in reason
        assert f"delete {path.resolve()} and run again" in reason


def test_a_branch_that_moves_after_planning_gives_no_other_number_under_the_planned_key(
    repositories: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """The planned commit is scored, or nothing where the hub has it no more."""
    first = {"llama": repositories["owner/llama"], "rwkv": {"small.pth": TINY.read_bytes()}}
    hubs = [f"{owner}/{name}" for owner in ("plain", "moved", "gone") for name in first]
    with serve({repo: first[repo.partition("/")[2]] for repo in hubs}) as hub:
        for name, files in first.items():
            weights = next(path for path in files if path.endswith((".safetensors", ".pth")))
            later = files | {weights: _changed(files[weights])}
            hub.move(f"moved/{name}", later, keeps_history=True)
            hub.move(f"gone/{name}", later, keeps_history=False)
        commands = [
            [*run_command(f"hf:{owner}/llama,rwkv7:{owner}/rwkv", tmp_path), "--output", tmp_path / owner]
            for owner in ("plain", "moved", "gone")
        ]
        outcomes = run_commands(commands, hub_environment(tmp_path / "home", HF_ENDPOINT=hub.url))
        assert [hub.head(repo) == LATER_COMMIT for repo in hubs] == [False, False, True, True, True, True]
    plain, moved, gone = (json.loads(outcome.stdout) for outcome in outcomes)
    names = {
        owner: sorted(path.name for path in (tmp_path / owner).rglob("*.json"))
        for owner in ("plain", "moved", "gone")
    }
    assert len(names["plain"]) == 2
    assert (names["moved"], names["gone"]) == (names["plain"], [])
    for expected, cell in zip(plain["cells"], moved["cells"], strict=True):
        assert cell["model"]["revision"] == COMMIT
        assert cell["totals"]["total_bits"] == expected["totals"]["total_bits"]
    assert (outcomes[2].exit_code, gone["cells"], len(gone["failures"])) == (1, [], 2)
    for failure in gone["failures"]:
        assert f"has no revision '{COMMIT}'" in failure["reason"]


def _changed(weights: bytes) -> bytes:
    """Other numbers in a file of the same form."""
    content = bytearray(weights)
    content[len(content) // 2] ^= 1
    return bytes(content)


def test_a_repository_is_loaded_by_what_it_holds_and_adapters_from_the_hub_too(
    repositories: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    save_pair(tmp_path, "lora")
    adapter = {path.name: path.read_bytes() for path in (tmp_path / "adapter").iterdir()}
    base = {path.name: path.read_bytes() for path in (tmp_path / "base").iterdir()}
    release = tmp_path / "release"
    save_fla_folder(release, random_tensors(vocab_size=257, num_channels=64, num_layers=1))
    hub_of = {
        **repositories,
        "owner/pth": {"small.pth": TINY.read_bytes()},
        "owner/release": {path.name: path.read_bytes() for path in release.iterdir()},
        "owner/base": base,
        "owner/adapter": adapter,
    }
    models = {
        "hub:owner/llama": "hf",
        f"hub:owner/pth@{COMMIT}": "rwkv7",
        "hub:owner/release": "rwkv7",
        "hf:owner/base+owner/adapter": "hf",
        f"hf:{tmp_path}/base+owner/adapter@{COMMIT}": "hf",
        f"hf:owner/base+{tmp_path}/adapter": "hf",
    }
    commands = [run_command(model, tmp_path) for model in (*models, "hub:owner/adapter", "hub:owner/nothing")]
    with serve(hub_of) as hub:
        outcomes = run_commands(commands, hub_environment(tmp_path / "home", HF_ENDPOINT=hub.url))
    cells = []
    for outcome in outcomes[: len(models)]:
        assert outcome.exit_code == 0, outcome.stderr
        cells += json.loads(outcome.stdout)["cells"]
    assert [cell["model"]["loader"] for cell in cells] == list(models.values())
    assert [cell["model"]["revision"] for cell in cells] == [COMMIT, COMMIT, COMMIT, COMMIT, None, COMMIT]
    assert cells[0]["model"]["name"] == "hub:owner/llama"
    assert [cell["model"]["name"] for cell in cells[3:]] == [
        "hf:owner/base+owner/adapter",
        f"hf:base+owner/adapter@{COMMIT}",
        "hf:owner/base+adapter",
    ]
    details = [cell["model"]["adapter"] for cell in cells[3:]]
    assert details == [f"owner/adapter@{COMMIT}", f"owner/adapter@{COMMIT}", "adapter"]
    bits = [cell["totals"]["total_bits"] for cell in cells]
    assert bits[3] == bits[4] == bits[5] != bits[0]
    assert "is a PEFT adapter without its model, owner/base; name both: hf:owner/base+" in outcomes[-2].stderr
    assert "the hub has no model owner/nothing" in outcomes[-1].stderr


REFUSALS = {
    "rwkv7:owner/rwkv": "holds 2 checkpoints; name one: rwkv7:owner/rwkv/small.pth",
    "rwkv7:owner/rwkv/missing.pth": "has no file 'missing.pth'",
    "rwkv7:owner/nothing/small.pth": "the hub has no model owner/nothing",
    "hf:owner/nothing": "the hub has no model owner/nothing",
    "hf:owner/llama@v2": "no revision 'v2'",
}


def test_what_the_hub_does_not_have(repositories: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    with serve(repositories) as hub:
        commands = [run_command(model, tmp_path) for model in REFUSALS]
        outcomes = run_commands(commands, hub_environment(tmp_path / "home", HF_ENDPOINT=hub.url))
    for message, outcome in zip(REFUSALS.values(), outcomes, strict=True):
        assert (outcome.exit_code, outcome.stdout) == (1, "")
        assert outcome.stderr.startswith("evalkit: ")
        assert message in outcome.stderr
        assert outcome.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_model_in_parts_is_fetched_whole(tmp_path: Path) -> None:
    """By the name of a part, in a folder of the repository; nothing of the files beside it is fetched."""
    whole = random_model(tmp_path / "whole.gguf", "llama")
    parts = write_parts(whole, tmp_path / "F32" / "model", 3)
    names = {f"F32/{path.name}": path.read_bytes() for path in parts}
    later = dict(list(names.items())[1:])
    repositories = {
        "owner/parts": {"Q4_0/model-00001-of-00002.gguf": b"not this one", **names},
        "owner/later": later,
    }
    models = f"gguf:owner/parts:F32/{parts[1].name},gguf:owner/later"
    with serve(repositories) as hub:
        online, local = run_commands(
            [run_command(models, tmp_path), run_command(f"gguf:{whole}", tmp_path)],
            hub_environment(tmp_path / "home", HF_ENDPOINT=hub.url),
        )
        downloaded = {request.partition("/resolve/")[2] for request in hub.requests if "/resolve/" in request}
    assert {f"{COMMIT}/{name}" for name in names} <= downloaded
    assert not any("Q4_0" in name for name in downloaded)
    result = json.loads(online.stdout)
    [cell], [failure] = result["cells"], result["failures"]
    assert "owner/later has no F32/model-00001-of-00003.gguf" in failure["reason"]
    [same] = json.loads(local.stdout)["cells"]
    assert same["totals"]["total_bits"] == cell["totals"]["total_bits"]
    assert same["model"]["weights_sha256"] != cell["model"]["weights_sha256"]
