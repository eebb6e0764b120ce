"""The hub client against a small hub on this machine: real requests, real cache folders."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from evalkit.errors import ModelError
from evalkit.models.hub import weight_files, weights_sha256
from tests.support.hub_server import hub_environment
from tests.support.local_hub import COMMIT, EXPIRED_TOKEN, ModelHub, digest, serve
from tests.support.rwkv7_files import random_tensors, save_fla_folder
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint
from tests.support.toys import PATIENCE_S

FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "model.safetensors": b"safe weights" * 100,
    "pytorch_model.bin": b"pickled weights" * 100,
    "original/consolidated.00.pth": b"original weights" * 100,
}


SIZES = {name: len(data) for name, data in FILES.items()}
DIGESTS = {name: digest(name, data) for name, data in FILES.items()}


@pytest.fixture(scope="module")
def hub() -> Iterator[ModelHub]:
    with serve({"owner/tiny": FILES, "gated/model": FILES}) as server:
        yield server


def client(script: str, endpoint: str, home: Path, **variables: str) -> list[Any]:
    """Run a script beside a client of its own; what it passed to ``say``, one value per call.

    A process of its own, because the client reads its environment when it is imported, and the tests'
    own environment says that there is no network.
    """
    prelude = """
import dataclasses, json
from evalkit.errors import ModelError
from evalkit.models.hub import cached_files, download, hub_files, weights_sha256
def say(value):
    print(json.dumps(dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value, default=str))
def refused(call, *args):
    try:
        call(*args)
    except ModelError as error:
        return str(error)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", prelude + script],
        env=hub_environment(home, **{"HF_ENDPOINT": endpoint} | variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Nothing but the answers: no progress bar where stderr is not a terminal.
    assert "%|" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there


def test_looking_downloading_and_looking_again_offline(hub: ModelHub, tmp_path: Path) -> None:
    requests: list[str] = hub.requests
    requests.clear()
    before, digest_before, nothing = client(
        """
snapshot = hub_files("owner/tiny")
say(snapshot)
say(weights_sha256(snapshot.files))
say(cached_files("owner/tiny"))
""",
        hub.url,
        tmp_path,
    )
    assert before == {
        "repo": "owner/tiny",
        "commit": COMMIT,
        "files": DIGESTS,
        "local_folder": None,
        "sizes": SIZES,
    }
    assert not any("/resolve/" in request for request in requests)  # nothing was downloaded for it
    assert nothing is None

    folder, after, partial = client(
        f"""
say(download("owner/tiny", "{COMMIT}", ["*.json", "model.safetensors"]))
say(hub_files("owner/tiny"))
say(cached_files("owner/tiny"))
""",
        hub.url,
        tmp_path,
    )
    downloaded = ["config.json", "model.safetensors"]
    assert sorted(path.name for path in Path(folder).iterdir()) == downloaded
    assert (Path(folder) / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert after == before | {"local_folder": folder}
    assert partial == after | {
        "files": {name: DIGESTS[name] for name in downloaded},
        "sizes": {name: SIZES[name] for name in downloaded},
    }
    assert not any("pytorch_model.bin" in request for request in requests)

    requests.clear()
    offline_script = f"""
snapshot = hub_files("owner/tiny")
say(snapshot)
say(weights_sha256(snapshot.files))
say(download("owner/tiny", "{COMMIT}", ["*.json", "model.safetensors"]))
say(refused(hub_files, "owner/other"))
"""
    for endpoint, variables, reason in (
        (hub.url, {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        (NOWHERE, {}, "ConnectError"),
    ):
        offline, digest_offline, again, refusal = client(offline_script, endpoint, tmp_path, **variables)
        assert offline == partial
        assert digest_offline == digest_before
        assert again == folder
        assert refusal == (
            f"cannot reach the hub for owner/other ({reason}) and not all of it is in the local cache: "
            "connect once, or give a local path"
        )
    [missing] = client(
        f'say(refused(download, "owner/tiny", "{COMMIT}", ["*.bin"]))',
        hub.url,
        tmp_path,
        HF_HUB_OFFLINE="1",
    )
    assert missing.startswith("cannot reach the hub for owner/tiny (HF_HUB_OFFLINE is set)")
    assert requests == []


def test_sizes_and_types_of_weights_are_told_before_they_are_fetched(tmp_path: Path) -> None:
    tokenizer = as_fast(byte_level_tokenizer())
    model = random_model("llama", len(tokenizer)).bfloat16()
    save_checkpoint(tmp_path / "llama", model, tokenizer)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    tokenizer.save_pretrained(tmp_path / "sharded")
    save_fla_folder(tmp_path / "rwkv", random_tensors(vocab_size=257, num_channels=64, num_layers=1))
    packed = {"a.qweight": torch.zeros(8, 96).int(), "a.scales": torch.zeros(2, 96).half()}
    shutil.copytree(tmp_path / "llama", tmp_path / "packed")
    save_file(packed, tmp_path / "packed" / "model.safetensors")
    config = tmp_path / "packed" / "config.json"
    settings = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    config.write_text(json.dumps(json.loads(config.read_text()) | settings))
    shutil.copytree(tmp_path / "llama", tmp_path / "damaged")
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"\xff" * 100)
    names = ("llama", "sharded", "rwkv", "packed", "damaged")
    repositories = {
        f"owner/{name}": {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in names
    }
    num_shards = len(list((tmp_path / "sharded").glob("*.safetensors")))
    assert num_shards > 2
    script = """
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
models = ["hf:owner/llama", "hf:owner/sharded", "rwkv7:owner/rwkv", "hf:owner/packed", "hf:owner/damaged"]
for model in models:
    details = locate_models([model], LoadOptions("cpu"))[0].identity.details
    say([details.get("num_parameters"), details.get("stored_dtype")])
"""
    with serve(repositories) as hub:
        said = client(script, hub.url, tmp_path / "home")
        requests, num_ranges = hub.requests, hub.num_ranges
    assert num_ranges == len(names) - 1 + num_shards
    size = model.num_parameters()
    tensors = random_tensors(vocab_size=257, num_channels=64, num_layers=1)
    num_rwkv = sum(tensor.numel() for tensor in tensors.values())
    assert said == [
        [size, "bfloat16"],
        [size, "bfloat16"],
        [num_rwkv, "float32"],
        [64 * 96, "gptq 4-bit, int32"],
        [None, None],
    ]
    # Nothing but these parts was asked for.
    assert sum(request.endswith(".safetensors") for request in requests) == num_ranges


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_a_config_beyond_its_weights_is_refused_before_they_are_fetched(tmp_path: Path, suffix: str) -> None:
    tokenizer = as_fast(byte_level_tokenizer())
    folder = tmp_path / "llama"
    save_checkpoint(folder, random_model("llama", len(tokenizer)), tokenizer)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"intermediate_size": 10_000_000}))
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    weights = files.pop("model.safetensors")
    name = "pytorch_model.bin" if suffix == "bin" else "model.safetensors"
    with serve({"owner/large": files | {name: weights}}) as hub:
        [message] = client(
            """
from evalkit.models.loading import load_model
say(refused(load_model, "hf:owner/large"))
""",
            hub.url,
            tmp_path / "home",
        )
        fetched = [
            request for request in hub.requests if request == f"GET /owner/large/resolve/{COMMIT}/{name}"
        ]
    assert f"parameters, and the weights beside it have {len(weights):,} bytes" in message
    assert len(fetched) <= (1 if suffix == "safetensors" else 0)  # of which the header is looked at


def test_refusals_are_one_line_that_says_what_to_do(hub: ModelHub, tmp_path: Path) -> None:
    endpoint = hub.url
    messages = client(
        f"""
say(refused(hub_files, "missing/model"))
say(refused(hub_files, "owner/tiny", "v9"))
say(refused(hub_files, "no such name"))
say(refused(hub_files, "broken/model"))
say(refused(hub_files, "broken/model", "{COMMIT}"))
say(refused(download, "gated/model", "{COMMIT}", ["*.safetensors"]))
say(refused(download, "owner/tiny", "{COMMIT}", ["*.gguf", "x.onnx"]))
""",
        endpoint,
        tmp_path,
    )
    missing, revision, name, broken, broken_commit, gated, unmatched = messages
    assert not any("\n" in message for message in messages)
    assert missing.startswith("the hub has no model missing/model, or it is private")
    assert "HF_TOKEN" in missing
    assert revision == f"owner/tiny has no revision 'v9': see {endpoint}/owner/tiny/commits/main"
    assert name == "'no such name' is not the name of a hub repository (owner/name)"
    assert broken.startswith("cannot reach the hub for broken/model (")
    assert broken_commit == "the hub answered 503 for broken/model: try again later"
    assert f"gated/model is gated: accept its licence at {endpoint}/gated/model and set HF_TOKEN" in gated
    assert "has no file *.gguf or x.onnx" in unmatched


@pytest.mark.parametrize("obstacle", ["a captive portal", "an expired token"])
def test_what_is_in_the_cache_needs_no_answer(tmp_path: Path, obstacle: str) -> None:
    use = f"""
say(hub_files("owner/tiny"))
say(hub_files("owner/tiny", "{COMMIT}"))
say(download("owner/tiny", "{COMMIT}", ["*.json", "*.safetensors"]))
"""
    missing = f"""
say(refused(hub_files, "owner/second"))
say(refused(download, "owner/tiny", "{COMMIT}", ["*.bin"]))
"""
    with serve({"owner/tiny": FILES, "owner/second": FILES}) as hub:
        client(f'download("owner/tiny", "{COMMIT}", ["*.json", "*.safetensors"])', hub.url, tmp_path)
        before = client(use, hub.url, tmp_path)
        hub.is_captive = obstacle == "a captive portal"
        variables = {} if hub.is_captive else {"HF_TOKEN": EXPIRED_TOKEN}
        main, commit, folder = client(use, hub.url, tmp_path, **variables)
        messages = client(missing, hub.url, tmp_path, **variables)
    downloaded = {name: DIGESTS[name] for name in ("config.json", "model.safetensors")}
    assert (
        main
        == commit
        == before[1]
        | {
            "files": downloaded,
            "sizes": {name: SIZES[name] for name in downloaded},
        }
    )
    assert folder == before[2]
    said = "a network's login page" if obstacle == "a captive portal" else "renew it, or unset HF_TOKEN"
    for message in messages:
        assert said in message
        assert "\n" not in message


def test_weights_prefer_safetensors_of_the_topmost_folder() -> None:
    assert weight_files(DIGESTS) == {"model.safetensors": DIGESTS["model.safetensors"]}
    without = {name: digest for name, digest in DIGESTS.items() if not name.endswith(".safetensors")}
    assert set(weight_files(without)) == {"pytorch_model.bin"}
    assert set(weight_files({"a/x.safetensors": "1", "b/y.safetensors": "2", "z.bin": "3"})) == {
        "a/x.safetensors",
        "b/y.safetensors",
    }
    assert weight_files({"config.json": "1"}) == {}


def test_weights_digest_depends_on_names_and_contents_only() -> None:
    shards = {"model-1.safetensors": "aa", "model-2.safetensors": "bb"}
    expected = hashlib.sha256(b"model-1.safetensors aa\nmodel-2.safetensors bb\n").hexdigest()
    assert weights_sha256(shards) == expected
    assert weights_sha256({**dict(reversed(shards.items())), "config.json": "cc"}) == expected
    assert weights_sha256({"model-1.safetensors": "bb", "model-2.safetensors": "aa"}) != expected
    with pytest.raises(ModelError, match="no weights"):
        weights_sha256({"config.json": "cc"})
