"""Models of a hub, from the name to the score: a real client, a server on this machine, then no network."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import tiny_models
from tests.support.local_hub import COMMIT, serve
from tests.support.rwkv7_files import TINY


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("llama")
    fast = tiny_models.as_fast(tiny_models.byte_level_tokenizer(), eos_token="<|endoftext|>")
    tiny_models.save_checkpoint(folder, tiny_models.random_model("llama", len(fast)), fast)
    return {
        "owner/rwkv": {"small.pth": TINY.read_bytes(), "other.pth": b"not this one"},
        "owner/llama": {path.name: path.read_bytes() for path in folder.iterdir()},
    }


def evalkit_run(models: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_HOME": str(folder / "home"), "NO_PROXY": "127.0.0.1", **variables}
    arguments = ["run", "--models", models, "--limit", "2", "--output", str(folder / "runs"), "--json"]
    return subprocess.run(
        [sys.executable, "-m", "evalkit", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_from_the_name_to_the_score_and_again_offline(
    repositories: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    models = "rwkv7:owner/rwkv/small.pth,hf:owner/llama"
    with serve(repositories) as hub:
        online = evalkit_run(models, tmp_path, HF_ENDPOINT=hub.url)
        assert online.returncode == 0, online.stderr
        downloaded = {request.rpartition("/")[2] for request in hub.requests if "/resolve/" in request}
        assert "small.pth" in downloaded
        assert "other.pth" not in downloaded
    result: dict[str, Any] = json.loads(online.stdout)
    assert result["num_scored"] == 2
    for cell in result["cells"]:
        assert cell["model"]["revision"] == COMMIT
    offline = evalkit_run(models, tmp_path, HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    again = json.loads(offline.stdout)
    assert again["num_scored"] == 0
    assert again["cells"] == result["cells"]
    local = evalkit_run(f"rwkv7:{TINY}", tmp_path, HF_HUB_OFFLINE="1")
    [same] = json.loads(local.stdout)["cells"]
    rwkv = next(cell for cell in result["cells"] if cell["model"]["loader"] == "rwkv7")
    assert same["model"]["weights_sha256"] == rwkv["model"]["weights_sha256"]
    assert same["totals"]["total_bits"] == pytest.approx(rwkv["totals"]["total_bits"], rel=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("rwkv7:owner/rwkv", "holds 2 checkpoints; name one: rwkv7:owner/rwkv/small.pth"),
        ("rwkv7:owner/rwkv/missing.pth", "has no file 'missing.pth'"),
        ("rwkv7:owner/nothing/small.pth", "the hub has no model owner/nothing"),
        ("hf:owner/nothing", "the hub has no model owner/nothing"),
        ("hf:owner/llama@v2", "no revision 'v2'"),
    ],
)
def test_what_the_hub_does_not_have(
    repositories: dict[str, dict[str, bytes]], tmp_path: Path, model: str, message: str
) -> None:
    with serve(repositories) as hub:
        done = evalkit_run(model, tmp_path, HF_ENDPOINT=hub.url)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("evalkit: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()
